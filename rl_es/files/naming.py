"""The names of files: what of a file's or a sweep's content may become one, and how.

Nothing that is read decides where something is written or deleted unless it went through here: a
run's id and a workload's key are sixteen hex digits, a label becomes one part of a path that stays
in its folder, and a file that is named beside others lies beside them.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_es.errors import UserError, brief, did_you_mean
from rl_es.files.whole import check_folder

LONGEST = 80  # characters of a label in a name, where several may be joined in one
_KEY = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def is_key(text: str) -> bool:
    """Whether this is the id of a run, or the key of a workload."""
    return _KEY.fullmatch(text) is not None


def env_part(env: str) -> str:
    """An environment's label as a file's name without suffix; no two of a sweep share one.

    Raises:
      UserError: it is none that a sweep can have: names joined by `/`, which have no `+`.
    """
    name = env.replace("/", "+")
    if "+" in env or not all(_NAME.fullmatch(part) for part in name.split("+")):
        raise UserError(f"'{brief(env)}' is no label of an environment")
    return name


def slug(text: str, longest: int = LONGEST) -> str:
    """Any text as a part of a file's name: some of its signs, and a hash where it is cut."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_.") or "x"
    if len(name) <= longest:
        return name
    told = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name[: longest - 9]}-{told}"


def is_beside(name: Any, suffix: str) -> bool:
    """Whether this is the name of a file of a kind, in the folder where it is named."""
    return isinstance(name, str) and name.endswith(suffix) and _NAME.fullmatch(name) is not None


def beside(folder: Path, name: Any, suffix: str) -> Path | None:
    """The file of that name and kind in a folder; None where there is none, or a link elsewhere."""
    if not is_beside(name, suffix):
        return None
    path = folder / name
    return path if path.is_file() and not path.is_symlink() else None


def apart(paths: Sequence[Path]) -> list[str]:
    """Folders by as much of the ends of their paths as tells them from each other."""
    paths = [path.resolve() for path in paths]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({place})" for place, path in enumerate(paths, start=1)]


def check_file(path: Path, option: str = "--out") -> Path:
    """A file that exists or can be made.

    Raises:
      UserError: it is a folder, or lies in a file; `option` asked for it.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; {option} needs a file")
    check_folder(path.parent, option)
    return path


def folder_of_results(path: Path) -> Path:
    """A folder that has to be there.

    Raises:
      UserError: it is not; names the nearest beside it.
    """
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"{path}: is a file, not a results folder")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    names = [other.name for other in beside if other.is_dir()]
    near = did_you_mean(path.name, names)
    raise UserError(f"{path}: no such folder{near if 'did you mean' in near else ''}")
