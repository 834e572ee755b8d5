"""Files read up to a size: whatever a name leads to, memory is not filled by it."""

from pathlib import Path


def read_bytes(path: Path, most: int) -> bytes:
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
