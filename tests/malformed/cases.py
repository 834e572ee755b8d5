"""The corpus as cases: what is wrong, what stands in the folder, the command, what it says."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rl_es.results import checksums, text_files

CORPUS = Path(__file__).parent / "corpus"
FILES = ("sweeps", "overrides", "speed", "command_lines")  # about one file, in a folder of its own
FOLDERS = ("folders", "policies", "tables_of_others")


@dataclass(frozen=True)
class Case:
    """Something malformed.

    Attributes:
      what: it is.
      command: the command line.
      says: a part of the message.
      code: the exit code.
      folder: the sort of results folder that it starts from; empty for none.
      changes: of the case, by kind; see `corpus/folders.yaml`.
    """

    what: str
    command: tuple[str, ...]
    says: str
    code: int = 2
    folder: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)


def corpus() -> Iterator[Case]:
    """Every case."""
    for name in FILES:
        content = yaml.safe_load((CORPUS / f"{name}.yaml").read_text())
        for case in content["cases"]:
            yield _of_file(content, case)
    for name in FOLDERS:
        for group in yaml.safe_load((CORPUS / f"{name}.yaml").read_text())["groups"]:
            for case in group["cases"]:
                yield _of_folder(group, case)


def _of_file(content: Mapping[str, Any], case: dict[str, Any]) -> Case:
    command = [*(case["command"] if "command" in case else content["command"])]
    if "command_repeat" in case:
        part, times = case["command_repeat"]
        command.append(part * times)
    if "set" in case or "set_repeat" in case:
        part, times = case.get("set_repeat", (case.get("set", ""), 1))
        command += ["--set", case.get("before", "") + part * times + case.get("after", "")]
    changes = {"write": {content["file"]: _bytes(content["base"], case)}}
    return Case(case["what"], tuple(command), case["says"], case.get("code", 2), changes=changes)


def _bytes(base: str, case: Mapping[str, Any]) -> bytes:
    """The content of a case's file."""
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "repeat" in case:
        part, times = case["repeat"]
        return f"{case.get('before', '')}{part * times}{case.get('after', '')}".encode()
    text = case.get("text", base)
    for old, new in case.get("change", {}).items():
        assert old in text, (case["what"], old)
        text = text.replace(old, new)
    return text.encode()


def _of_folder(group: Mapping[str, Any], case: dict[str, Any]) -> Case:
    about = {"what", "command", "options", "says", "code"}
    command = (*case.get("command", group["command"]), *case.get("options", ()))
    changes = {kind: value for kind, value in case.items() if kind not in about}
    return Case(case["what"], command, case["says"], case.get("code", 2), group["folder"], changes)


def damage(root: Path, changes: Mapping[str, Any], run_id: str = "") -> None:
    """Makes a case's changes in `root`, where its results folder is."""
    for kind, files in changes.items():
        named = files.items() if isinstance(files, dict) else ((name, None) for name in files)
        for name, value in named:
            path = root / name.replace("RUN", run_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            _CHANGES[kind](path, value)


def _copy(path: Path, source: str) -> None:
    root = next(parent for parent in path.parents if (parent / source).exists())
    shutil.copy(root / source, path)


def _merge_json(path: Path, changes: Mapping[str, Any]) -> None:
    content = json.loads(path.read_text())
    text_files.write_json(path, _merged(content, changes))


def _merged(content: Any, changes: Any) -> Any:
    if not isinstance(content, dict) or not isinstance(changes, dict):
        return changes
    merged = content | {key: _merged(content.get(key), value) for key, value in changes.items()}
    return {key: value for key, value in merged.items() if value != "DROP"}


def _put(path: Path, make: Callable[[], Any]) -> None:
    path.unlink(missing_ok=True)
    make()


_CHANGES: Mapping[str, Callable[[Path, Any], Any]] = {
    "write": lambda path, content: path.write_bytes(content),
    "text": lambda path, text: path.write_text(text),
    "hex": lambda path, text: path.write_bytes(bytes.fromhex(text)),
    "repeat": lambda path, of: path.write_text(of[0] * of[1]),
    "append": lambda path, text: path.write_bytes(path.read_bytes() + bytes.fromhex(text)),
    "cut": lambda path, size: path.write_bytes(path.read_bytes()[:size]),
    "sealed": lambda path, text: path.write_bytes(checksums.seal(bytes.fromhex(text))),
    "whole": lambda path, content: _put(path, lambda: text_files.write_json(path, content)),
    "json": _merge_json,
    "copy": _copy,
    "link": lambda path, target: _put(path, lambda: path.symlink_to(target)),
    "folder": lambda path, _: _put(path, path.mkdir),
    "remove": lambda path, _: path.unlink(),
    "remove_folder": lambda path, _: shutil.rmtree(path),
}


def state(root: Path) -> dict[str, str]:
    """What every file below a folder holds: a hash, or where a link leads."""
    entries = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            entries[name] = f"-> {path.readlink()}"
        elif path.is_file():
            entries[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            entries[name] = "a folder"
    return entries
