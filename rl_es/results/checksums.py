"""SHA-256 checksums that files carry in themselves, so that damage is always noticed.

Plain bytes end with theirs, JSON holds it under `sha256`, and Parquet in its metadata. Each covers
every other byte of its file. Tables that people read as text carry none: `SHA256SUMS` beside them
does, as `sha256sum --check` reads it (`rl_es.results.checksums`).

`SHA256SUMS`: checksums of a folder's tables, as `sha256sum --check SHA256SUMS` reads them.

Tables are made from files that carry their own checksums; where a folder holds the tables alone,
as a copy of them, these are what is checked. A folder without the file is taken as it is.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rl_es.errors import DamagedError
from rl_es.results.files import write_text

JSON_KEY = "sha256"
PARQUET_KEY = b"rl_es.sha256"
BLANK = b"0" * 64  # stands in a Parquet file's metadata while its checksum is taken
_BYTES = 32
_SEAL = re.compile(re.escape(PARQUET_KEY) + rb".{1,3}?([0-9a-f]{64})", re.DOTALL)


def seal(content: bytes) -> bytes:
    """The content, followed by its checksum."""
    return content + hashlib.sha256(content).digest()


def unseal(stored: bytes) -> bytes:
    """The content of what `sealed` gave.

    Raises:
      ValueError: it is damaged.
    """
    content, digest = stored[:-_BYTES], stored[-_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its checksum is wrong")
    return content


def json_text(content: Mapping[str, Any]) -> str:
    """A JSON object as text that holds its own checksum; keys are sorted."""
    own = {key: value for key, value in content.items() if key != JSON_KEY}
    return _text({**own, JSON_KEY: hashlib.sha256(_text(own).encode()).hexdigest()})


def json_content(text: str) -> dict[str, Any]:
    """The object of what `json_text` gave, without its checksum.

    Raises:
      ValueError: it is damaged, or was changed by hand.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    if JSON_KEY not in content:
        raise ValueError("it has no checksum")
    if json_text(content) != text:
        raise ValueError("its checksum is wrong")
    return {key: value for key, value in content.items() if key != JSON_KEY}


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"


def parquet_seal(content: bytes) -> bytes:
    """The checksum to write over `BLANK` in a Parquet file of this content."""
    return hashlib.sha256(content).hexdigest().encode()


def check_parquet(content: bytes) -> None:
    """Checks the content of a Parquet file that was sealed.

    Raises:
      ValueError: it is damaged, or was never sealed.
    """
    found = [*_SEAL.finditer(content)]
    if not found:
        raise ValueError("it has no checksum")
    start, end = found[-1].span(1)
    if parquet_seal(content[:start] + BLANK + content[end:]) != found[-1][1]:
        raise ValueError("its checksum is wrong")


NAME = "SHA256SUMS"


def write_sums(paths: Iterable[Path]) -> None:
    """Writes the checksums of files of one folder, which must be all that are ever checked in it.

    Args:
      paths: the files; at least one.
    """
    paths = sorted(paths)
    lines = [f"{_digest(path)}  {path.name}\n" for path in paths]
    write_text(paths[0].parent / NAME, "".join(lines))


def check_sums(path: Path) -> None:
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
