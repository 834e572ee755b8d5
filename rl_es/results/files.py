"""Files of results folders: atomic writes, bounded reads, safe names and locks.

- A file is written under a temporary name, flushed and renamed, so that readers see all of it or
  nothing. A process that is killed while it writes leaves the temporary file; the next owner of the
  name removes it (`remove_temporary`).
- A file is read up to a size, so that no file fills the memory.
- Content that is read never decides by itself where something is written or deleted. A run's id and
  a workload's key must be sixteen hex digits, a label becomes one part of a path (`env_part`,
  `slug`), and a file that an index names must lie beside that index (`path_beside`).
- A process claims a group of runs by a lock on `claims/<group>.lock`. The operating system releases
  the lock when the process ends, so no claim outlives its process. Locks hold between the processes
  of one machine, and between machines on file systems that share locks, such as NFS 4.
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

SET_ASIDE = "set_aside"  # the folder of a results folder's damaged files


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success the file is flushed and renamed to `path`.

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
    """Writes a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporary(folder: Path, stem: str = "") -> None:
    """Removes the temporary files that killed writers left in a folder.

    The caller must be the only writer: temporary files of living writers are removed, too.

    Args:
      folder: the folder.
      stem: of the files that were written; '' for all.
    """
    for path in folder.glob(f".{stem}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


Note = Callable[[str], None]
Read = TypeVar("Read")


def read_or_set_aside(
    folder: Path, path: Path, read: Callable[[Path], Read], note: Note
) -> Read | None:
    """Returns the content of a file of a results folder; None where it is missing or damaged.

    A damaged file is set aside, so that its content is computed again.

    Args:
      folder: the results folder.
      path: the file.
      read: reads the file, and raises a `DamagedError`.
      note: receives a message about a file that is set aside.
    """
    if not path.exists():
        return None
    try:
        return read(path)
    except DamagedError as error:
        note(set_aside(folder, path, error))
        return None


def set_aside(folder: Path, path: Path, error: DamagedError) -> str:
    """Moves a damaged file of a results folder into its `set_aside`; returns a message about it."""
    name = "+".join(path.relative_to(folder).parts)
    candidates = (folder / SET_ASIDE / f"{name}.{n}" for n in itertools.count(1))
    target = next(candidate for candidate in candidates if not candidate.exists())
    target.parent.mkdir(exist_ok=True)
    os.replace(path, target)
    reason = str(error).removeprefix(f"{path}: ").split("; ")[0]
    return f"{path}: {reason}; set aside as {target}"


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes a UTF-8 text file atomically."""
    write_bytes(path, content.encode())


def check_folder(path: Path, option: str = "--out") -> Path:
    """Returns the path of a folder that exists or can be made.

    Raises:
      UserError: it, or one of its parents, is a file; the message names `option`.
    """
    for ancestor in (path, *path.parents):
        if ancestor.exists():
            if not ancestor.is_dir():
                raise UserError(f"{ancestor}: is a file; {option} needs a folder")
            break
    return path


def read_bounded(path: Path, most: int) -> bytes:
    """Returns the bytes of a file that has at most `most` of them.

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
    """Returns True for the form of a run's id and of a workload's key: 16 hex digits."""
    return _KEY.fullmatch(text) is not None


def env_part(env: str) -> str:
    """Returns an environment's label as a file name without suffix, unique in its sweep.

    Raises:
      UserError: no sweep can have this label: it is not made of names without `+`, joined by `/`.
    """
    name = env.replace("/", "+")
    if "+" in env or not all(_NAME.fullmatch(part) for part in name.split("+")):
        raise UserError(f"'{brief(env)}' is no label of an environment")
    return name


def slug(text: str, longest: int = LONGEST) -> str:
    """Returns a text as a part of a file name: safe characters, and a hash where it is cut."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_.") or "x"
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name[: longest - 9]}-{digest}"


def is_beside(name: Any, suffix: str) -> bool:
    """Returns True for a plain file name with this suffix, which cannot lead to another folder."""
    return isinstance(name, str) and name.endswith(suffix) and _NAME.fullmatch(name) is not None


def path_beside(folder: Path, name: Any, suffix: str) -> Path | None:
    """Returns the file of this name in a folder; None for no file, a link or another suffix."""
    if not is_beside(name, suffix):
        return None
    path = folder / name
    return path if path.is_file() and not path.is_symlink() else None


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Returns names of folders: the shortest ends of their paths that differ from each other."""
    paths = [path.resolve() for path in paths]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({number})" for number, path in enumerate(paths, start=1)]


def check_file(path: Path, option: str = "--out") -> Path:
    """Returns the path of a file that exists or can be made.

    Raises:
      UserError: it is a folder, or a parent is a file; the message names `option`.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; {option} needs a file")
    check_folder(path.parent, option)
    return path


def folder_of_results(path: Path) -> Path:
    """Returns the path of an existing folder.

    Raises:
      UserError: there is no such folder; the message names the nearest beside it.
    """
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"{path}: is a file, not a results folder")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    names = [sibling.name for sibling in beside if sibling.is_dir()]
    near = did_you_mean(path.name, names)
    raise UserError(f"{path}: no such folder{near if 'did you mean' in near else ''}")


FOLDER = "claims"


class Claim:
    """A lock on a file, until `release` is called."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def release(self) -> None:
        """Releases the lock; may be called twice."""
        self._file.close()


def claim_path(folder: Path, key: str) -> Path:
    """Returns the path of the lock of a group, by its key, or of another thing, by its name."""
    return folder / FOLDER / f"{key}.lock"


def claim(folder: Path, key: str) -> Claim | None:
    """Claims a group; returns None where another process, or this one, has claimed it."""
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
    """Returns who signed a claim last, for messages: 'process 17 on host'."""
    try:
        return claim_path(folder, key).read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"


@contextmanager
def hold_claim(folder: Path, key: str) -> Iterator[None]:
    """Holds a claim during the context, after waiting for its present holder."""
    path = claim_path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sign(file: BinaryIO) -> None:
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    file.flush()
