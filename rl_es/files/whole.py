"""Whole files or none: what the suite writes goes to a temporary name, is flushed, and renamed.

A process that is killed while it writes leaves the temporary file; whoever owns the name that it
was for removes it (`tidy`).
"""

import contextlib
import errno
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from rl_es.errors import DamagedError, StorageError, UserError

SET_ASIDE = "set_aside"  # the folder, in one of results, of files that were found damaged


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
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


def tidy(folder: Path, stem: str = "") -> None:
    """Removes what killed writers left in a folder of files of this stem, or of any.

    Only for whoever alone may write them: a temporary file of a writer that lives would go, too.
    """
    for path in folder.glob(f".{stem}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


Note = Callable[[str], None]
Read = TypeVar("Read")


def read_whole(folder: Path, path: Path, read: Callable[[Path], Read], note: Note) -> Read | None:
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
    with replacing(path) as temporary:
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
