"""The report of gradient estimates, made anew from the rows of its folder."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from rl_es import estimates
from rl_es.analysis.drawing import files as drawn
from rl_es.analysis.gradients import figure, page
from rl_es.analysis.gradients.summary import summarise
from rl_es.files import write_text

PANELS = 6
NAMES = ("variance",)


def write(folder: Path) -> list[Path]:
    """Writes the tables, the figure and `index.md` of a folder; returns their paths.

    Raises:
      UserError: the folder holds no estimate, or a damaged one.
    """
    rows = estimates.load(folder)
    table = summarise(rows)
    written = [estimates.write_table(folder, rows), folder / "summary.csv"]
    write_text(written[-1], table.to_csv(index=False))
    files = drawn.write(folder / "figures", NAMES, _figures(table))
    write_text(folder / "index.md", page.compose(folder, table, files))
    return [*written, *files, folder / "index.md"]


def _figures(table: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    shown = figure.families(table)
    for start in range(0, len(shown), PANELS):
        yield NAMES[0], figure.variance(table, shown[start : start + PANELS])
