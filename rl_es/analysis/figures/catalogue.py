"""Every kind of figure by name: where there is something to draw, how, and what is said of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from rl_es.analysis.figures import (
    best_so_far,
    final_returns,
    learning_curves,
    parameters,
    success,
    surface,
)
from rl_es.analysis.results import Results

PANELS = 12  # environments a figure; more make further figures
ROWS = 4  # where an environment takes a row


def everywhere(results: Results) -> list[str]:
    """All environments."""
    return results.environments


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
      caption: what it shows, for the pages that hold it.
      draw: what is drawn of the results of some environments.
      where: the environments that there is something to draw of.
      most: environments a figure; more make further figures.
    """

    caption: str
    draw: Callable[[Results], Figure]
    where: Callable[[Results], list[str]] = everywhere
    most: int = PANELS

    def figures(self, results: Results) -> Iterator[Figure]:
        """One figure for so many environments at a time; none where there is nothing to draw."""
        environments = self.where(results)
        for start in range(0, len(environments), self.most):
            yield self.draw(results.within(environments[start : start + self.most]))


KINDS = {
    "learning_curves": Kind("Return against environment steps of training", learning_curves.draw),
    "final_returns": Kind("Return of the last evaluation", final_returns.draw),
    "wall_clock": Kind("Return against wall-clock time", learning_curves.draw_over_time),
    "success": Kind(
        "Return against environment steps, and the share of seeds that are at or above the "
        "threshold",
        success.draw,
        success.where,
        ROWS,
    ),
    "parameters": Kind(
        "Evolved parameters against generations, and the loss beside them where returns are losses",
        parameters.draw,
        parameters.where,
        ROWS,
    ),
    "surface": Kind(
        "Minus the return over both evolved parameters, and the ways of the unperturbed "
        "parameters over it",
        surface.draw,
        surface.where,
        ROWS,
    ),
    best_so_far.NAME: Kind(
        "Best return so far, for losses the lowest loss so far, against environment steps of "
        "training",
        best_so_far.draw,
        best_so_far.where,
    ),
}
