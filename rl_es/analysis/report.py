"""The report of a results folder: tables, figures and a page to read, all made anew from its cells.

A folder whose runs are still going, or partly failed, has a report of what is there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from rl_es import tables
from rl_es.analysis import (
    best,
    drawn,
    figures,
    page,
    parameters,
    results,
    success,
    summary,
    surface,
)
from rl_es.analysis.results import Results
from rl_es.files import write_text

PANELS = 12  # environments a figure; more make further figures
ROWS = 4  # where an environment takes a row
DRAWN: dict[str, Callable[..., Figure]] = {
    "learning_curves": figures.learning_curves,
    "final_returns": figures.final_returns,
    "wall_clock": figures.wall_clock,
}


@dataclass(frozen=True)
class Kind:
    """A figure that is drawn where there is something to draw.

    Attributes:
      where: the environments that are drawn.
      draw: what is drawn of the results of some of them.
      most: environments a figure; more make further figures.
    """

    where: Callable[[Results], list[str]]
    draw: Callable[[Results], Figure]
    most: int


FITTING = {
    "success": Kind(success.where, success.draw, ROWS),
    "parameters": Kind(parameters.where, parameters.draw, ROWS),
    "surface": Kind(surface.where, surface.draw, ROWS),
    best.NAME: Kind(best.where, best.draw, PANELS),
}


def write(folder: Path) -> list[Path]:
    """Writes the tables, figures and `index.md` of a results folder; returns their paths.

    Raises:
      UserError: the folder holds no cell, or a damaged one.
    """
    found = results.load(folder)
    curves, runs = found.curves, found.runs
    written = tables.write_tables(folder, curves, runs)
    overview = summary.summarise(curves, runs)
    write_text(folder / "summary.csv", overview.to_csv(index=False))
    files = drawn.write(folder / "figures", (*DRAWN, *FITTING), _figures(found))
    text = page.compose(folder, runs, overview, [path for path in files if path.suffix == ".png"])
    write_text(folder / "index.md", text)
    return [*written, folder / "summary.csv", *files, folder / "index.md"]


def _figures(found: Results) -> Iterator[tuple[str, Figure]]:
    for name, draw in DRAWN.items():
        for part in _parts(found, found.environments, PANELS):
            yield name, draw(part.curves, part.runs, found.styles)
    for name, kind in FITTING.items():
        for part in _parts(found, kind.where(found), kind.most):
            yield name, kind.draw(part)


def _parts(found: Results, environments: list[str], most: int) -> Iterator[Results]:
    """The results of these environments, so many at a time."""
    for start in range(0, len(environments), most):
        yield found.within(environments[start : start + most])
