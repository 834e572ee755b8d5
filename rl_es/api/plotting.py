"""Figures in Python: those of the report and of `figures`, by the same code."""

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from rl_es.analysis.drawing.options import USUAL
from rl_es.analysis.drawing.sheet import SIZES
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.api.arguments import choice, whole
from rl_es.api.results import Results, load
from rl_es.errors import UserError

MOST_REPLICATES = 1_000_000


def plot(
    results: Results | str | Path,
    kind: str = "learning_curves",
    *,
    size: str = "auto",
    normalise: tuple[str, str] | None = None,
    reference: str | None = None,
    replicates: int | None = None,
) -> Figure:
    """Draws a figure as the report and `figures` do; a notebook shows it.

    Args:
      results: or the folder that holds them.
      kind: learning_curves, final_returns, wall_clock, success, profiles, ...: all that
        `python run_benchmark.py figures --list` names for results.
      size: auto, as wide as the panels want; column, 3.25 inches; page, 6.75.
      normalise: the references that are 0 and 1 on the scale of scores, such as
        ("untrained", "best").
      reference: the label that others are compared with; None for the kind's own choice.
      replicates: of the bootstrap; None for the usual number.

    Returns:
      A figure of matplotlib's: `figure.savefig("curves.pdf")` writes it.

    Raises:
      UserError: an argument is wrong, or there is nothing to draw of this kind.
    """
    one = KINDS[choice("plot: kind", kind, KINDS)]
    sheet = SIZES[choice("plot: size", size, SIZES)]
    options = replace(USUAL, sheet=sheet, reference=reference)
    if normalise is not None:
        if isinstance(normalise, str) or len(normalise) != 2:
            raise UserError(
                "plot: normalise: must be two references, such as ('untrained', 'best')"
            )
        options = replace(options, low=normalise[0], high=normalise[1])
    if replicates is not None:
        count = whole("plot: replicates", replicates, 1, MOST_REPLICATES)
        options = replace(options, replicates=count)
    found = results if isinstance(results, Results) else load(results)
    subjects = one.where(found._results, options)
    if not len(subjects):
        raise UserError(f"plot: nothing to draw as '{kind}', which needs {one.needs}")
    return one.draw(found._results.within(subjects), options)
