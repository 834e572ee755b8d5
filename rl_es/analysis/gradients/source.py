"""What the figures of gradient estimates are drawn from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rl_es import estimates
from rl_es.analysis import csvs
from rl_es.analysis.digits import span
from rl_es.analysis.drawing import palette
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.gradients import rank_bias
from rl_es.analysis.gradients.summary import COLUMNS, summarise
from rl_es.errors import UserError
from rl_es.files import sums

BIAS = "rank_bias.csv"
_TEXTS = ("env", "family", "label", "agent", "reference")
_WHOLE = ("windows", "n", "samples", "pairs", "rank")


@dataclass(frozen=True)
class Gradients:
    """The summary of a folder of gradient estimates, or of some of its families.

    Attributes:
      table: `summary.summarise`.
      bias: `rank_bias.rank_bias`; empty where no environment knows its expected estimates.
      styles: of all labels of the folder, in the order of legends.
    """

    table: pd.DataFrame
    bias: pd.DataFrame
    styles: Mapping[str, Style]

    def within(self, subjects: Sequence[str]) -> "Gradients":
        """Some families alone."""
        rows = self.table[self.table["family"].isin(subjects)]
        bias = self.bias[self.bias["env"].isin(rows["env"])]
        return replace(self, table=rows.reset_index(drop=True), bias=bias.reset_index(drop=True))

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The rows of the summary and, where there are any, of the bias by rank."""
        return {"gradients": self.table, **({"rank_bias": self.bias} if len(self.bias) else {})}

    def counted(self) -> str:
        """'n = 3 seeds'."""
        return f"n = {span(self.table['n'])} seeds"


def of(table: pd.DataFrame, bias: pd.DataFrame | None = None) -> Gradients:
    """The source made of a whole summary, and of the table of bias by rank if there is one."""
    styles = palette.styles(dict(zip(table["label"], table["agent"], strict=True)))
    return Gradients(table, rank_bias.NONE if bias is None else bias, styles)


def load(folder: Path) -> Gradients:
    """Reads a folder: its estimates, or else the tables made from them.

    Raises:
      UserError: it holds neither, or a damaged file.
    """
    if (folder / estimates.FOLDER).is_dir():
        rows = estimates.load(folder)
        return of(summarise(rows), rank_bias.rank_bias(rows))
    bias = folder / BIAS
    found = _read(bias, rank_bias.COLUMNS) if bias.exists() else None
    return of(_read(folder / "summary.csv", COLUMNS), found)


def _read(path: Path, columns: Collection[str]) -> pd.DataFrame:
    sums.check(path)
    table = csvs.read(path, list(columns), "table of gradient estimates")[list(columns)]
    if table.empty:
        raise UserError(f"{path}: not a readable table of gradient estimates (it has no rows)")
    for name in columns:
        if name not in _TEXTS:
            table[name] = csvs.numbers(path, table, name)
        if name in _WHOLE:
            if not (table[name] % 1 == 0).all():
                raise UserError(f"{path}: column '{name}': must be whole numbers")
            table[name] = table[name].astype(int)
    return table
