"""Tables that were written as text, such as `runs.csv`, with the types of their columns."""

from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

import pyarrow as pa

from rl_es.files import csv_files


def read(path: Path, what: str, columns: Mapping[str, pa.DataType]) -> list[dict[str, Any]]:
    """The rows of a CSV file, empty cells as None.

    Args:
      path: the file.
      what: its kind, for messages.
      columns: types by name. A column that is not among them, a setting, is read as numbers or
        switches where all of its values are such, and else as text.

    Raises:
      UserError: it cannot be read.
      ValueError: a cell is not of its column's type.
    """
    head, cells = csv_files.read(path, what)
    rows: list[dict[str, Any]] = [
        {name: value or None for name, value in zip(head, row, strict=True)} for row in cells
    ]
    for name in head:
        values = {row[name] for row in rows} - {None}
        read = _reader(columns.get(name), values)
        for row in rows:
            row[name] = None if row[name] is None else read(row[name])
    return rows


def _reader(kind: pa.DataType | None, values: Set[str]) -> Callable[[str], Any]:
    """How the text of a column is read; where `kind` is None its values decide."""
    if kind is not None:
        return {pa.int64(): lambda text: int(float(text)), pa.float64(): float}.get(kind, str)
    if values <= {"True", "False"}:
        return lambda text: text == "True"
    try:
        _ = [float(value) for value in values]
    except ValueError:
        return str
    return float
