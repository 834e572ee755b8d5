"""Every kind of figure of a results folder, in the order of its report."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from rl_es.analysis.drawing import (
    ALL_SUBJECTS,
    BOOTSTRAP,
    MAX_ROWS,
    NEWCOMBE,
    WILSON,
    FigureKind,
    FigureOptions,
)
from rl_es.analysis.figures import aggregates, cost, returns, scores, settings, surface
from rl_es.analysis.results import ResultTables
from rl_es.results.figure_settings import OptionalFigure

# Of kinds over several environments.
SEVERAL = f"{aggregates.MIN_ENVIRONMENTS} environments with references"
COMPLETE = f"{SEVERAL}, and at most {aggregates.MAX_LABELS} labels, of which one has scores in each"
# A report has these only where the sweep requests them.
OPTIONAL = get_args(OptionalFigure)


def _are_trials(results: ResultTables) -> bool:
    """Tells whether there are many trials, whose settings are drawn instead of their labels."""
    many = len(results.legend) > aggregates.MAX_LABELS
    return many and bool(settings.varied_settings(results))


def all_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns all environments; none of many trials."""
    return [] if _are_trials(results) else results.environments


def scale_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments of `aggregates.scale_environments`; none of many trials."""
    return [] if _are_trials(results) else aggregates.scale_environments(results, options)


def score_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments of `scale_environments`; none of more labels than rows hold."""
    few = len(results.legend) <= aggregates.MAX_LABELS
    return scale_environments(results, options) if few else []


def improvement_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments of `aggregates.improvement_environments`; none of many trials."""
    return [] if _are_trials(results) else aggregates.improvement_environments(results, options)


def solvable_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments of `all_environments` that have a threshold."""
    environments = all_environments(results, options)
    return [env for env in returns.threshold_environments(results, options) if env in environments]


def _is_requested(name: str) -> Callable[[ResultTables], bool]:
    """Returns a function that tells whether the sweep of some results requests a kind."""
    return lambda results: name in results.optional_figures


_KINDS: tuple[FigureKind[ResultTables], ...] = (
    FigureKind(
        "learning_curves",
        "Return against environment steps of training",
        returns.draw_learning_curves,
        all_environments,
    ),
    FigureKind(
        "final_returns",
        "Return of the last evaluation",
        returns.draw_final_returns,
        all_environments,
    ),
    FigureKind(
        "aggregate_curves",
        "Interquartile mean of normalised returns of all environments, against the budget's share",
        aggregates.draw_aggregate_curves,
        aggregates.aggregate_environments,
        COMPLETE,
        ALL_SUBJECTS,
    ),
    FigureKind(
        "aggregates",
        "Interquartile mean, median, mean and optimality gap of normalised final returns",
        aggregates.draw_aggregates,
        aggregates.aggregate_environments,
        COMPLETE,
        ALL_SUBJECTS,
    ),
    FigureKind(
        "normalised",
        "Normalised final return, in each environment and over all of them",
        scores.draw_normalised,
        scale_environments,
        SEVERAL,
        ALL_SUBJECTS,
    ),
    FigureKind(
        "scores",
        "Normalised final return, a row per environment and one for all of them",
        scores.draw_scores,
        score_environments,
        f"{SEVERAL}, and at most {aggregates.MAX_LABELS} labels",
        ALL_SUBJECTS,
    ),
    FigureKind(
        "profiles",
        "Performance profiles: shares of runs, and of environments, above each normalised return",
        aggregates.draw_profiles,
        aggregates.aggregate_environments,
        COMPLETE,
        ALL_SUBJECTS,
    ),
    FigureKind(
        "improvement",
        "Probability that a run of one label ends above a run of another",
        aggregates.draw_improvement,
        improvement_environments,
        "two labels to compare, and references of returns",
        ALL_SUBJECTS,
        NEWCOMBE,
    ),
    FigureKind(
        "wall_clock", "Return against wall-clock time", returns.draw_over_time, all_environments
    ),
    FigureKind(
        "generations", "Return against generations", returns.draw_over_generations, all_environments
    ),
    FigureKind(
        "episodes",
        "Return against episodes of training",
        returns.draw_over_episodes,
        all_environments,
    ),
    FigureKind(
        "frontier",
        "Final return against the time and the environment steps that it took",
        cost.draw_frontier,
        cost.frontier_environments,
        "two labels to compare",
        MAX_ROWS,
    ),
    FigureKind(
        "time_ratio",
        "Training time over that of another agent in the same sweep",
        cost.draw_time_ratio,
        cost.time_ratio_environments,
        "times of the reference (--reference) and of another label on the same seeds",
        ALL_SUBJECTS,
    ),
    FigureKind(
        "success",
        "Return against environment steps, and the share of seeds that are at or above the "
        "threshold",
        returns.draw_success,
        solvable_environments,
        "a threshold",
        MAX_ROWS,
        f"{BOOTSTRAP}; {WILSON}",
    ),
    FigureKind(
        "time_to_threshold",
        "The share of seeds that have reached the threshold, against environment steps",
        returns.draw_time_to_threshold,
        returns.time_to_threshold_environments,
        "a threshold",
        interval="",
    ),
    FigureKind(
        "ablation",
        "Final return and time against one setting, all others being equal",
        settings.draw_ablation,
        settings.ablation_environments,
        "three ranks, widths or populations at otherwise equal settings",
        MAX_ROWS,
    ),
    FigureKind(
        "sensitivity",
        "Final return of every run against each setting that was varied",
        settings.draw_sensitivity,
        settings.sensitivity_environments,
        f"a setting with {settings.MIN_VALUES} values",
        MAX_ROWS,
        "",
    ),
    FigureKind(
        "parameters",
        "Evolved parameters against generations, and the loss beside them where returns are losses",
        settings.draw_parameters,
        settings.parameter_environments,
        f"policies of at most {settings.MAX_PARAMETERS} parameters",
        MAX_ROWS,
        "",
    ),
    FigureKind(
        "surface",
        "Minus the return over both evolved parameters, and the ways of the unperturbed "
        "parameters over it",
        surface.draw_surface,
        surface.surface_environments,
        "a surface of the objective",
        MAX_ROWS,
        "",
    ),
    FigureKind(
        "best_so_far",
        "Best return so far, for losses the lowest loss so far, against environment steps of "
        "training",
        returns.draw_best_so_far,
        all_environments,
    ),
)
KINDS = {
    kind.name: replace(kind, in_report=_is_requested(kind.name)) if kind.name in OPTIONAL else kind
    for kind in _KINDS
}
