"""Compares two recordings: the output of their commands, and the files that these wrote."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.frozen.contents import Entries, entries, text_entries
from tests.frozen.recorder import COMMANDS, folders

# Files that equal runs may differ in as a whole: locks, films, event files, checksums of others.
IGNORED = ("*.lock", "SHA256SUMS", "events.out.*", "*.mp4", COMMANDS)
FIXED = ("figures", "tables")  # jobs that read committed tables alone


def compared_jobs(first: Path, second: Path) -> list[str]:
    """Returns the names of the jobs that both recordings have."""
    names = {folder.name for folder in folders(first)}
    return sorted(names & {folder.name for folder in folders(second)})


def differences(first: Path, second: Path) -> Iterator[str]:
    """Yields a line about each difference between the jobs that both recordings have."""
    for job in compared_jobs(first, second):
        left, right = (recording / "jobs" / job for recording in (first, second))
        yield from _commands(job, left, right)
        yield from _files(job, left, right)


def _commands(job: str, left: Path, right: Path) -> Iterator[str]:
    pair = [json.loads((folder / COMMANDS).read_text()) for folder in (left, right)]
    if len(pair[0]) != len(pair[1]):
        yield f"{job}: {len(pair[0])} commands against {len(pair[1])}"
    for one, other in zip(*pair, strict=False):
        name = f"{job}: `{' '.join(one['arguments'])}`"
        if one["arguments"] != other["arguments"]:
            yield f"{name}: against `{' '.join(other['arguments'])}`"
        if one["code"] != other["code"]:
            yield f"{name}: exit code {one['code']} against {other['code']}"
        for stream in ("output", "errors"):
            texts = (text_entries(one[stream]), text_entries(other[stream]))
            for line in _entries(*texts):
                yield f"{name}: {stream}: {line}"


def _files(job: str, left: Path, right: Path) -> Iterator[str]:
    names = [_names(folder) for folder in (left, right)]
    for name in sorted(names[0] ^ names[1]):
        yield f"{job}/{name}: only in the {'first' if name in names[0] else 'second'}"
    alike: dict[str, list[str]] = {}  # names of files that differ in the same way
    for name in sorted(names[0] & names[1]):
        if (left / name).read_bytes() != (right / name).read_bytes():
            pair = (entries(folder / name, job in FIXED) for folder in (left, right))
            for line in _entries(*pair):
                alike.setdefault(line, []).append(name)
    for line, files in alike.items():
        more = f" (and {len(files) - 1} more files in the same way)" if len(files) > 1 else ""
        yield f"{job}/{files[0]}: {line}{more}"


def _names(folder: Path) -> set[str]:
    """Returns the names of the files below a folder; links are not followed."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    kept = (path for path in paths if not any(path.match(pattern) for pattern in IGNORED))
    return {path.relative_to(folder).as_posix() for path in kept if "__pycache__" not in path.parts}


def _entries(left: Entries, right: Entries) -> Iterator[str]:
    """Yields a line about the first entry that differs, and how many more do."""
    differing = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    if differing:
        key = differing[0]
        more = f" (and {len(differing) - 1} more entries)" if len(differing) > 1 else ""
        values = [repr(held.get(key, "absent")) for held in (left, right)]
        yield f"{key}: {' against '.join(values)}{more}"
