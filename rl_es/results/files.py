"""Whole files or none: what the suite writes goes to a temporary name, is flushed, and renamed.

A process that is killed while it writes leaves the temporary file; whoever owns the name that it
was for removes it (`tidy`).

Files read up to a size: whatever a name leads to, memory is not filled by it.

The names of files: what of a file's or a sweep's content may become one, and how.

Nothing that is read decides where something is written or deleted unless it went through here: a
run's id and a workload's key are sixteen hex digits, a label becomes one part of a path that stays
in its folder, and a file that is named beside others lies beside them.

Who runs which group of a results folder: a lock on a file, `claims/<group>.lock`.

The operating system lets go of a lock when the process that holds it ends, however it ends: no
claim outlives its holder. Locks hold between processes of one machine, and of several where the
file system locks for all of them (NFS 4 and most cluster file systems do).
"""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from rl_es.errors import DamagedError, StorageError, UserError, brief, did_you_mean

SET_ASIDE = "set_aside"  # the folder, in one of results, of files that were found damaged


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed and takes the name `path`.

    The temporary name keeps the suffix (writers choose a format by it) and starts with a dot, so
    that no reader takes it for a finished file.

    Raises:
      StorageError: the disk is full, or the file cannot be written for another reason.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush(temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
            _flush(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        full = "; make room and run the same command again" if error.errno in _FULL else ""
        reason = error.strerror or str(error)
        raise StorageError(f"{path}: cannot be written ({reason}){full}") from error


_FULL = (errno.ENOSPC, errno.EDQUOT)


def _flush(path: Path) -> None:
    """Has the system write a file, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporary(folder: Path, stem: str = "") -> None:
    """Removes what killed writers left in a folder of files of this stem, or of any.

    Only for whoever alone may write them: a temporary file of a writer that lives would go, too.
    """
    for path in folder.glob(f".{stem}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


Note = Callable[[str], None]
Read = TypeVar("Read")


def read_or_set_aside(
    folder: Path, path: Path, read: Callable[[Path], Read], note: Note
) -> Read | None:
    """What a file of a results folder holds; None where there is none, or a damaged one.

    A damaged file is set aside, which `note` is told of: what it held is to be made anew.
    """
    if not path.exists():
        return None
    try:
        return read(path)
    except DamagedError as error:
        note(set_aside(folder, path, error))
        return None


def set_aside(folder: Path, path: Path, error: DamagedError) -> str:
    """Moves a damaged file of a results folder into its `set_aside`; returns what to say of it."""
    name = "+".join(path.relative_to(folder).parts)
    there = (folder / SET_ASIDE / f"{name}.{n}" for n in itertools.count(1))
    target = next(place for place in there if not place.exists())
    target.parent.mkdir(exist_ok=True)
    os.replace(path, target)
    reason = str(error).removeprefix(f"{path}: ").split("; ")[0]
    return f"{path}: {reason}; set aside as {target}"


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes a UTF-8 text file whole or not at all."""
    write_bytes(path, content.encode())


def check_folder(path: Path, option: str = "--out") -> Path:
    """A folder that exists or can be made.

    Raises:
      UserError: it, or a folder that it lies in, is a file; `option` asked for it.
    """
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise UserError(f"{place}: is a file; {option} needs a folder")
            break
    return path


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a file that has no more than `most` of them.

    Raises:
      OSError: it cannot be read.
      ValueError: it is larger.
    """
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"too large: more than {most} bytes")
    return content


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


def path_beside(folder: Path, name: Any, suffix: str) -> Path | None:
    """The file of that name and kind in a folder; None where there is none, or a link elsewhere."""
    if not is_beside(name, suffix):
        return None
    path = folder / name
    return path if path.is_file() and not path.is_symlink() else None


def distinct_names(paths: Sequence[Path]) -> list[str]:
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


FOLDER = "claims"


class Claim:
    """A lock that is held; `release` lets go of it."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def release(self) -> None:
        """Lets go of it; may be called twice."""
        self._file.close()


def claim_path(folder: Path, key: str) -> Path:
    """The lock of a group, by its key, or of another thing, by its name."""
    return folder / FOLDER / f"{key}.lock"


def claim(folder: Path, key: str) -> Claim | None:
    """Claims a group; None where another process, or this one, has it."""
    path = claim_path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+b")  # noqa: SIM115  (open for as long as the claim is held)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    _sign(file)
    return Claim(file)


def claim_holder(folder: Path, key: str) -> str:
    """Who signed a claim last, for people: 'process 17 on host'."""
    try:
        return claim_path(folder, key).read_text().strip() or "another process"
    except (OSError, ValueError):
        return "another process"


@contextmanager
def is_claimed(folder: Path, key: str) -> Iterator[None]:
    """Claims something that is soon let go of, after whoever has it."""
    path = claim_path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sign(file: BinaryIO) -> None:
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    file.flush()
