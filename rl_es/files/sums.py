"""`SHA256SUMS`: checksums of a folder's tables, as `sha256sum --check SHA256SUMS` reads them.

Tables are made from files that carry their own checksums; where a folder holds the tables alone,
as a copy of them, these are what is checked. A folder without the file is taken as it is.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from rl_es.errors import DamagedError
from rl_es.files.whole import write_text

NAME = "SHA256SUMS"


def write(paths: Iterable[Path]) -> None:
    """Writes the checksums of files of one folder, which must be all that are ever checked in it.

    Args:
      paths: the files; at least one.
    """
    paths = sorted(paths)
    lines = [f"{_digest(path)}  {path.name}\n" for path in paths]
    write_text(paths[0].parent / NAME, "".join(lines))


def check(path: Path) -> None:
    """Checks a table against the checksums beside it, if there are any.

    Raises:
      DamagedError: it was cut short or altered, or the checksums were.
    """
    sums = path.parent / NAME
    if not sums.exists():
        return
    try:
        known = sums.read_text().splitlines()
        whole = f"{_digest(path)}  {path.name}" in known
    except (OSError, ValueError) as error:
        raise DamagedError(f"{sums}: cannot be read ({error})") from None
    if not whole:
        raise DamagedError(
            f"{path}: not what {NAME} beside it says; copy both again, or remove {NAME} if the "
            "table was changed on purpose"
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
