"""Who runs which group of a results folder: a lock on a file, `claims/<group>.lock`.

The operating system lets go of a lock when the process that holds it ends, however it ends: no
claim outlives its holder. Locks hold between processes of one machine, and of several where the
file system locks for all of them (NFS 4 and most cluster file systems do).
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

FOLDER = "claims"


class Claim:
    """A lock that is held; `release` lets go of it."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def release(self) -> None:
        """Lets go of it; may be called twice."""
        self._file.close()


def path_of(folder: Path, key: str) -> Path:
    """The lock of a group, by its key, or of another thing, by its name."""
    return folder / FOLDER / f"{key}.lock"


def take(folder: Path, key: str) -> Claim | None:
    """Claims a group; None where another process, or this one, has it."""
    path = path_of(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+b")  # noqa: SIM115  (held for as long as the claim)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    _sign(file)
    return Claim(file)


def holder(folder: Path, key: str) -> str:
    """Who signed a claim last, for people: 'process 17 on host'."""
    try:
        return path_of(folder, key).read_text().strip() or "another process"
    except (OSError, ValueError):
        return "another process"


@contextmanager
def held(folder: Path, key: str) -> Iterator[None]:
    """Claims something that is soon let go of, after whoever has it."""
    path = path_of(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sign(file: BinaryIO) -> None:
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    file.flush()
