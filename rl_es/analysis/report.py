"""The report of a results folder: tables, figures and a page to read, all made anew from its cells.

A folder whose runs are still going, or partly failed, has a report of what is there.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from rl_es import tables
from rl_es.analysis import figures, page, palette, panels, summary, variants
from rl_es.files import write_bytes, write_text

PANELS = 12  # environments a figure; more make further figures
KINDS = ("png", "svg")
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
    drawn = _draw(folder / "figures", curves, runs)
    text = page.compose(folder, runs, overview, [path for path in drawn if path.suffix == ".png"])
    write_text(folder / "index.md", text)
    return [*written, folder / "summary.csv", *drawn, folder / "index.md"]


def _draw(folder: Path, curves: pd.DataFrame, runs: pd.DataFrame) -> list[Path]:
    """Writes all figures and removes those of an earlier report that are no longer made."""
    styles = figures.styles_of(runs)
    environments = sorted(runs["env"].unique(), key=palette.natural)
    parts = [environments[i : i + PANELS] for i in range(0, len(environments), PANELS)]
    written = []
    for name, draw in DRAWN.items():
        for number, part in enumerate(parts, start=1):
            figure = draw(
                curves[curves["env"].isin(part)].reset_index(drop=True),
                runs[runs["env"].isin(part)].reset_index(drop=True),
                styles,
            )
            stem = name if number == 1 else f"{name}_{number}"
            for kind in KINDS:
                written.append(folder / f"{stem}.{kind}")
                write_bytes(written[-1], panels.encode(figure, kind))
    ours = re.compile(rf"({'|'.join(DRAWN)})(_\d+)?\.({'|'.join(KINDS)})")
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and path not in written:
            path.unlink()
    return written
