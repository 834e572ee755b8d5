"""Whole files or none: what the suite writes goes to a temporary name, is flushed, and renamed."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rl_es.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed and takes the name `path`.

    The temporary name keeps the suffix (writers choose a format by it) and starts with a dot, so
    that no reader takes it for a finished file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
