"""The report of a results folder: tables, figures and a page to read, all made anew from its cells.

A folder whose runs are still going, or partly failed, has a report of what is there.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from rl_es import tables
from rl_es.analysis import drawn, figures, page, palette, summary, variants
from rl_es.files import write_text

PANELS = 12  # environments a figure; more make further figures
DRAWN: dict[str, Callable[..., Figure]] = {
    "learning_curves": figures.learning_curves,
    "final_returns": figures.final_returns,
    "wall_clock": figures.wall_clock,
}


def write(folder: Path) -> list[Path]:
    """Writes the tables, figures and `index.md` of a results folder; returns their paths.

    Raises:
      UserError: the folder holds no cell, or a damaged one.
    """
    curves, runs = variants.apart(*tables.load(folder))
    written = tables.write_tables(folder, curves, runs)
    overview = summary.summarise(curves, runs)
    write_text(folder / "summary.csv", overview.to_csv(index=False))
    files = drawn.write(folder / "figures", tuple(DRAWN), _figures(curves, runs))
    text = page.compose(folder, runs, overview, [path for path in files if path.suffix == ".png"])
    write_text(folder / "index.md", text)
    return [*written, folder / "summary.csv", *files, folder / "index.md"]


def _figures(curves: pd.DataFrame, runs: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    styles = figures.styles_of(runs)
    environments = sorted(runs["env"].unique(), key=palette.natural)
    parts = [environments[i : i + PANELS] for i in range(0, len(environments), PANELS)]
    for name, draw in DRAWN.items():
        for part in parts:
            figure = draw(
                curves[curves["env"].isin(part)].reset_index(drop=True),
                runs[runs["env"].isin(part)].reset_index(drop=True),
                styles,
            )
            yield name, figure
