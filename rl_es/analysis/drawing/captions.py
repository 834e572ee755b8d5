"""The caption in a figure's file: its kind, n, the kind of interval, and a hash of its input.

It is one JSON object, in the PNG text chunk `Description`, in the SVG element `dc:description`, and
under `Subject` in a PDF's document information, beside the title in each.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es.errors import UserError


@dataclass(frozen=True)
class Caption:
    """The data of a figure's caption.

    Attributes:
      figure: the kind's name.
      title: what it shows.
      n: how many runs means and intervals are of, as under the figure.
      interval: the kind of interval; empty where there is none.
      replicates: of the bootstrap; None for another kind of interval.
      input: `fingerprint` of the rows that are drawn.
      version: of the suite.
    """

    figure: str
    title: str
    n: str
    interval: str
    replicates: int | None
    input: str
    version: str = version("rl_es")


_WHOLE = {"png": "Description", "svg": "Description", "pdf": "Subject"}
_DATES = {
    "png": "Software",
    "svg": "Date",
    "pdf": "CreationDate",
}  # matplotlib's own version or date: left out


def metadata(caption: Caption | None, kind: str) -> dict[str, str | None]:
    """The metadata that `savefig` writes into a png, svg or pdf; without date and program."""
    left_out: dict[str, str | None] = {_DATES[kind]: None}
    if caption is None:
        return left_out
    return {**left_out, "Title": caption.title, _WHOLE[kind]: json.dumps(asdict(caption))}


def read(path: Path) -> Caption:
    """The caption of a PNG that this suite wrote.

    Raises:
      UserError: there is none in it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return Caption(**json.loads(image.info[_WHOLE["png"]]))
    except (OSError, UnidentifiedImageError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a figure of this suite ({error!r})") from None


def fingerprint(tables: Mapping[str, pd.DataFrame]) -> str:
    """The SHA-256 of tables, the same for any order of rows and columns and any file format.

    Numbers are hashed as float64. Columns without any value are left out.
    """
    whole = hashlib.sha256()
    for name in sorted(tables):
        frame = tables[name].dropna(axis="columns", how="all")
        columns = sorted(frame.columns)
        rows = zip(*(map(_plain, frame[column]) for column in columns), strict=True)
        lines = sorted(json.dumps(row, sort_keys=True) for row in rows)
        whole.update("\n".join([name, json.dumps(columns), *lines, ""]).encode())
    return whole.hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if value is None or value is pd.NA or value != value:
        return None
    return float(value) if isinstance(value, int | float | np.number) else str(value)
