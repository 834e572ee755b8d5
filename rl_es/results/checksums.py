"""SHA-256 checksums of results files: a reader notices every changed or missing byte.

Checkpoints end with their checksum, JSON holds it under `sha256`, and Parquet in its metadata. Each
checksum covers every other byte of its file.

Tables hold none. `SHA256SUMS` beside them lists theirs, as `sha256sum --check SHA256SUMS` reads
them. It is checked where a folder holds tables without the cells that they are made from, such as a
copy; a folder without this file is read unchecked.

Parquet's page checksums do not replace the checksum in the metadata: they cover data pages only,
and of a small file of 1391 bytes pyarrow read 474 changed bytes without an error, 32 of them as
other content. A checksum file beside each cell does not replace it either: a cell and its checksum
cannot be renamed in one atomic step, so a killed process could leave a good cell without its own.
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
    """Returns the content, followed by its checksum."""
    return content + hashlib.sha256(content).digest()


def unseal(sealed_bytes: bytes) -> bytes:
    """Returns the content of bytes that `seal` returned.

    Raises:
      ValueError: it is damaged.
    """
    content, digest = sealed_bytes[:-_BYTES], sealed_bytes[-_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its checksum is wrong")
    return content


def json_text(content: Mapping[str, Any]) -> str:
    """Returns a JSON object as text that holds its own checksum; keys are sorted."""
    data = {key: value for key, value in content.items() if key != JSON_KEY}
    return _text({**data, JSON_KEY: hashlib.sha256(_text(data).encode()).hexdigest()})


def json_content(text: str) -> dict[str, Any]:
    """Returns the object of a text that `json_text` returned, without its checksum.

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
    """Returns the checksum to write over `BLANK` in a Parquet file of this content."""
    return hashlib.sha256(content).hexdigest().encode()


def check_parquet(content: bytes) -> None:
    """Checks the content of a Parquet file against the checksum in its metadata.

    Raises:
      ValueError: it is damaged, or has no checksum.
    """
    seals = [*_SEAL.finditer(content)]
    if not seals:
        raise ValueError("it has no checksum")
    start, end = seals[-1].span(1)
    if parquet_seal(content[:start] + BLANK + content[end:]) != seals[-1][1]:
        raise ValueError("its checksum is wrong")


NAME = "SHA256SUMS"


def write_sums(paths: Iterable[Path]) -> None:
    """Writes `SHA256SUMS` of the files of one folder; it replaces the earlier one.

    Args:
      paths: all files of the folder that have a checksum there; at least one.
    """
    paths = sorted(paths)
    lines = [f"{_digest(path)}  {path.name}\n" for path in paths]
    write_text(paths[0].parent / NAME, "".join(lines))


def check_sums(path: Path) -> None:
    """Checks a table against `SHA256SUMS` beside it, if there is one.

    Raises:
      DamagedError: the table or the list of checksums was cut short or altered.
    """
    sums = path.parent / NAME
    if not sums.exists():
        return
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
        matches = f"{_digest(path)}  {path.name}" in lines
    except (OSError, ValueError) as error:
        raise DamagedError(f"{sums}: cannot be read ({error})") from None
    if not matches:
        raise DamagedError(
            f"{path}: not what {NAME} beside it says; copy both again, or remove {NAME} if the "
            "table was changed on purpose"
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
