"""What the figures of gradient estimates are drawn of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rl_es import estimates
from rl_es.analysis.drawing import palette
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.gradients.summary import COLUMNS, summarise
from rl_es.errors import UserError


@dataclass(frozen=True)
class Gradients:
    """The summary of a folder of gradient estimates, or of some of its families.

    Attributes:
      table: `summary.summarise`.
      styles: of all labels of the folder, in the order of legends.
    """

    table: pd.DataFrame
    styles: Mapping[str, Style]

    def within(self, subjects: Sequence[str]) -> "Gradients":
        """Some families alone."""
        rows = self.table[self.table["family"].isin(subjects)]
        return replace(self, table=rows.reset_index(drop=True))

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The rows of the summary."""
        return {"gradients": self.table}

    def counted(self) -> str:
        """'n = 3 seeds'."""
        low, high = self.table["n"].min(), self.table["n"].max()
        return f"n = {low if low == high else f'{low} to {high}'} seeds"


def of(table: pd.DataFrame) -> Gradients:
    """The source of a whole summary."""
    styles = palette.styles(dict(zip(table["label"], table["agent"], strict=True)))
    return Gradients(table, styles)


def load(folder: Path) -> Gradients:
    """What a folder's figures are drawn of: its estimates, or else its `summary.csv`.

    Raises:
      UserError: it holds neither, or a damaged file.
    """
    if (folder / estimates.FOLDER).is_dir():
        return of(summarise(estimates.load(folder)))
    try:
        return of(pd.read_csv(folder / "summary.csv")[list(COLUMNS)])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder / 'summary.csv'}: not a readable summary ({error})") from None
