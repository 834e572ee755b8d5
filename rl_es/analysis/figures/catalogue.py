"""Every kind of figure of a results folder, in the order of its report."""

from collections.abc import Callable
from dataclasses import replace

from rl_es.analysis.drawing import notes
from rl_es.analysis.drawing.kinds import ALL, ROWS, Kind
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.figures import (
    ablation,
    across,
    aggregate_curves,
    best_so_far,
    final_returns,
    frontier,
    improvement,
    learning_curves,
    normalised,
    parameters,
    profiles,
    sensitivity,
    success,
    surface,
    time_ratio,
    time_to_threshold,
)
from rl_es.analysis.results import Results

SEVERAL = f"{across.FEWEST} environments with references, and at most {across.MOST_LABELS} labels"


def everywhere(results: Results, options: Options = USUAL) -> list[str]:
    """All environments; none if there are many trials, of which the settings are drawn instead."""
    many = len(results.shown) > across.MOST_LABELS and sensitivity.where(results)
    return [] if many else results.environments


def solvable(results: Results, options: Options = USUAL) -> list[str]:
    """The environments of `everywhere` that have a threshold."""
    return [env for env in success.where(results) if env in everywhere(results)]


def _asked(name: str) -> Callable[[Results], bool]:
    """Whether the sweep asks for a kind of figure."""
    return lambda results: name in results.asked


# A report holds these only where the sweep asks for them.
OPTIONAL = ("best_so_far", "frontier", "time_ratio", "time_to_threshold")

_KINDS: tuple[Kind[Results], ...] = (
    Kind(
        "learning_curves",
        "Return against environment steps of training",
        learning_curves.draw,
        everywhere,
    ),
    Kind("final_returns", "Return of the last evaluation", final_returns.draw, everywhere),
    Kind(
        "aggregate_curves",
        "Interquartile mean of normalised returns of all environments, against the budget's share",
        aggregate_curves.draw,
        across.where,
        SEVERAL,
        ALL,
    ),
    Kind(
        "normalised",
        "Normalised final return, in each environment and over all of them",
        normalised.draw,
        across.where,
        SEVERAL,
        ALL,
    ),
    Kind(
        "profiles",
        "Performance profiles: shares of runs, and of environments, above each normalised return",
        profiles.draw,
        across.where,
        SEVERAL,
        ALL,
    ),
    Kind(
        "improvement",
        "Probability that a run of one label ends above a run of another",
        improvement.draw,
        improvement.where,
        "two labels to compare, and references of returns",
        ALL,
        notes.NEWCOMBE,
    ),
    Kind(
        "wall_clock",
        "Return against wall-clock time",
        learning_curves.draw_over_time,
        everywhere,
    ),
    Kind(
        "frontier",
        "Final return against the time and the environment steps that it took",
        frontier.draw,
        frontier.where,
        "two labels to compare",
        ROWS,
    ),
    Kind(
        "time_ratio",
        "Training time over that of another agent in the same sweep",
        time_ratio.draw,
        time_ratio.where,
        f"times of --reference ({time_ratio.USUAL_REFERENCE}) and another label on the same seeds",
        ALL,
    ),
    Kind(
        "success",
        "Return against environment steps, and the share of seeds that are at or above the "
        "threshold",
        success.draw,
        solvable,
        "a threshold",
        ROWS,
        f"{notes.BOOTSTRAP}; {notes.WILSON}",
    ),
    Kind(
        "time_to_threshold",
        "The share of seeds that have reached the threshold, against environment steps",
        time_to_threshold.draw,
        time_to_threshold.where,
        "a threshold",
        interval="",
    ),
    Kind(
        "ablation",
        "Final return and time against one setting, all others being equal",
        ablation.draw,
        ablation.where,
        "three ranks, or widths, at otherwise equal settings",
        ROWS,
    ),
    Kind(
        "sensitivity",
        "Final return of every run against each setting that was varied",
        sensitivity.draw,
        sensitivity.where,
        f"a setting with {sensitivity.FEWEST} values",
        ROWS,
        "",
    ),
    Kind(
        "parameters",
        "Evolved parameters against generations, and the loss beside them where returns are losses",
        parameters.draw,
        parameters.where,
        f"policies of at most {parameters.MOST} parameters",
        ROWS,
        "",
    ),
    Kind(
        "surface",
        "Minus the return over both evolved parameters, and the ways of the unperturbed "
        "parameters over it",
        surface.draw,
        surface.where,
        "a surface of the objective",
        ROWS,
        "",
    ),
    Kind(
        "best_so_far",
        "Best return so far, for losses the lowest loss so far, against environment steps of "
        "training",
        best_so_far.draw,
        everywhere,
    ),
)
KINDS = {
    kind.name: replace(kind, reported=_asked(kind.name)) if kind.name in OPTIONAL else kind
    for kind in _KINDS
}
