"""CSV files that people or other programs wrote, read as tables of text, then of numbers.

A file is UTF-8 text of no more than some bytes, whatever its name ends in.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rl_es.errors import UserError, brief
from rl_es.files import csv_files

MAX_BYTES = 64 * 2**20


def read(path: Path, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The rows of a file, every cell as text.

    Args:
      path: the file.
      columns: that it must have; it may have others.
      what: its kind, for messages.

    Raises:
      UserError: it cannot be read, a row has more or fewer cells than the head, or a column is
        missing or there twice.
    """
    head, rows = csv_files.read(path, what, MAX_BYTES)
    for name in columns:
        if name not in head:
            there = ", ".join(map(brief, head[:20])) or "none"
            raise UserError(f"{path}: no column '{brief(name)}'; it has {there}")
        if head.count(name) > 1:
            raise UserError(f"{path}: column '{brief(name)}' stands there twice")
    return pd.DataFrame(rows, columns=head, dtype=str)


def numbers(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    """A column as numbers; NaN where a cell is empty.

    Raises:
      UserError: a cell holds something else.
    """
    cells = table[column].str.strip()
    found = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = cells[found.isna() & ~cells.str.lower().isin(["", "nan", "none", "null", "na"])]
    if len(wrong):
        place = int(wrong.index[0]) + 2
        raise UserError(
            f"{path}: column '{brief(column)}', row {place}: must be a number, "
            f"is '{brief(wrong.iloc[0])}'"
        )
    return found
