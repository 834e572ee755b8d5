"""CSV files, ours or others', as text: what the cells mean comes after.

A file is UTF-8 text of no more than some bytes, whatever its name ends in.
"""

import csv
import io
from pathlib import Path

from rl_es.errors import UserError, control, why
from rl_es.files.bounded import read_bytes

MAX_BYTES = 2**30


def read(path: Path, what: str, most: int = MAX_BYTES) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a file, without its empty lines.

    Args:
      path: the file.
      what: its kind, for messages.
      most: bytes.

    Raises:
      UserError: it cannot be read, or a row has more or fewer cells than the head.
    """
    try:
        text = read_bytes(path, most).decode("utf-8-sig")
        if sign := control(text):
            raise ValueError(f"it has a control character, {sign}")
        head, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
        for number, row in enumerate(rows, start=2):
            if row and len(row) != len(head):
                raise ValueError(f"row {number} has {len(row)} cells, the head has {len(head)}")
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: not a readable {what} ({why(error)})") from None
    return head, [row for row in rows if row]
