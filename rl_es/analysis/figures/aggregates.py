"""Figures over several environments, of returns on one scale (`rl_es.analysis.scores`).

`aggregates`        interquartile mean, median, mean and optimality gap, side by side;
`aggregate_curves`  the interquartile mean over runs of all environments, against the share of the
                    budget;
`improvement`       how often a run of one label is above a run of each other label;
`profiles`          the share of runs, and of environments, that score above each threshold.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es import registry
from rl_es.analysis import drawing
from rl_es.analysis.curves import Curve, counted_curves, curves_of_runs
from rl_es.analysis.drawing import FigureOptions, RowNames, Style
from rl_es.analysis.results import ResultTables
from rl_es.analysis.scores import ScoreScale, final_scores, score_scale, shared_scale
from rl_es.analysis.statistics import (
    AGGREGATES,
    CONFIDENCE,
    Interval,
    Scores,
    aggregate,
    are_paired,
    average_profile,
    bootstrap,
    probability_of_improvement,
    run_profile,
)
from rl_es.errors import UserError, did_you_mean

MAX_LABELS = 16  # more cannot be told apart in one panel of curves
MIN_ENVIRONMENTS = 2
MAX_LISTED = 4
TOTAL = "all environments"
_TOTAL_STYLE = Style(drawing.INK, marker="D")
CURVE_POINTS = 41
STATISTICS = {
    "interquartile_mean": "IQM",
    "median": "median",
    "mean": "mean",
    "optimality_gap": "optimality gap",
}
PROFILE_POINTS = 151
MIN_SCORE, MAX_SCORE = -1.0, 3.0  # scores further out would leave no room for all others
PROFILES = {
    "runs": (run_profile, "share of runs above", "single runs"),
    "environments": (average_profile, "share of environments above", "environments"),
}
_PROFILE_ALPHA = 0.12


def scale_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments on the scale, if there are several."""
    environments = requested_scale(results, options).environments
    return environments if len(environments) >= MIN_ENVIRONMENTS else []


def aggregate_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments on the scale, if some label has a score in all that are shared."""
    few = len(results.legend) <= MAX_LABELS
    environments = scale_environments(results, options) if few else []
    scale = aggregate_scale(results, options) if environments else None
    if scale is None or not fully_scored_labels(results, final_scores(results, scale), scale):
        return []
    return environments


def requested_scale(results: ResultTables, options: FigureOptions) -> ScoreScale:
    """Returns the scale of scores that the options request."""
    return score_scale(results, options.low, options.high)


def aggregate_scale(results: ResultTables, options: FigureOptions) -> ScoreScale:
    """Returns the requested scale over the environments that all labels share."""
    return shared_scale(results, requested_scale(results, options))


def fully_scored_labels(
    results: ResultTables, scores: Mapping[str, Scores], scale: ScoreScale
) -> dict[str, Style]:
    """Returns the labels with a score in every environment of the scale, in legend order."""
    count = len(scale.environments)
    complete = {label for label, values in scores.items() if len(values.names) == count}
    return {label: style for label, style in results.legend.items() if label in complete}


def scale_note(
    results: ResultTables, scale: ScoreScale, legend: Mapping[str, Style]
) -> tuple[str, ...]:
    """Returns the note on the scale, and on the labels and environments that are not on it."""
    count = len(scale.environments)
    sentences = [f"Normalised return: {scale.description}; {count} environments."]
    if scale.unshared:
        sentences = [
            f"Normalised return: {scale.description}. Shared: the {count} environments in which "
            f"every label has runs, so without {_list_names(scale.unshared)}."
        ]
    sentences += off_scale_notes(results, scale)
    missing = [label for label in results.legend if label not in legend]
    if missing:
        names = _list_names(missing)
        sentences.append(f"Without a score in every environment, so not here: {names}.")
    return (" ".join(sentences),)


def off_scale_notes(results: ResultTables, scale: ScoreScale) -> list[str]:
    """Returns a sentence on the folder's environments off the scale; none where all are on it."""
    on_scale = {*scale.environments, *scale.unshared}
    missing = [env for env in results.root.environments if env not in on_scale]
    if not missing:
        return []
    return [f"Not on the scale where {scale.description}, so not here: {_list_names(missing)}."]


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


@drawing.paper_style()
def draw_aggregate_curves(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws one panel: the interquartile mean over runs of all environments, with bands."""
    scale = aggregate_scale(results, options)
    curves = results.curves[results.curves["env"].isin(scale.environments)]
    score = pd.Series(scale.score(curves["env"], curves["return_mean"]), index=curves.index)
    share = curves["env_steps"] / curves["run_id"].map(_budgets(results.runs, curves))
    grid, legend = np.linspace(0, 1, CURVE_POINTS), {}
    figure, (panel,) = drawing.panel_grid(options.sheet, 1, 3.6, 2.3)
    for index, (label, style) in enumerate(results.legend.items()):
        runs = results.runs[results.runs["label"] == label]
        by_env = [
            counted_curves(curves_of_runs(curves, runs[runs["env"] == env], share, score))
            for env in scale.environments
        ]
        if not all(by_env):
            continue
        end = min(curve.x[-1] for env_curves in by_env for curve in env_curves)
        x = grid[grid <= end + 1e-9]
        interval = _interquartile_means(by_env, x, options.replicates)
        offset = index / len(results.legend)
        drawing.draw_band(panel, x, interval, style, offset, label, 0.15)
        legend[label] = style
    panel.set_xlim(0, 1.02)
    drawing.set_short_ticks(panel.xaxis, 5)
    drawing.set_short_ticks(panel.yaxis, 5)
    panel.set_xlabel("share of the budget of environment steps")
    panel.set_ylabel("normalised return (IQM)")
    middle = "the interquartile mean"
    interval_note = drawing.interval_note(results.runs, "shaded", options.replicates, middle)
    notes = [
        f"Lines: {middle} of the normalised returns of all runs, "
        f"{drawing.counts_note(results.runs)} an environment; {interval_note}.",
        *scale_note(results, scale, legend),
        *drawing.runs_note(results.curves, results.runs),
    ]
    return drawing.finish_figure(figure, drawing.legend_entries(legend), notes)


def _budgets(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.Series:
    """Returns the environment steps of each run's budget, by run_id.

    For a finished run, these are the steps that it took; for another, those of finished runs of its
    label in its environment, else of any label there, else its own steps so far.
    """
    steps = runs["run_id"].map(curves.groupby("run_id")["env_steps"].max().astype(float))
    finished_steps = steps.where(runs["status"] == "finished")
    of_label = finished_steps.groupby([runs["env"], runs["label"]]).transform("max")
    of_env = finished_steps.groupby(runs["env"]).transform("max")
    budgets = finished_steps.fillna(of_label).fillna(of_env).fillna(steps)
    return pd.Series(budgets.to_numpy(), index=runs["run_id"]).replace(0, np.nan)


def _interquartile_means(by_env: list[list[Curve]], grid: np.ndarray, replicates: int) -> Interval:
    """Computes interquartile means over runs of all environments [T] on a grid [T]."""
    values = [np.interp(grid, curve.x, curve.y) for curves in by_env for curve in curves]
    tasks = np.repeat(np.arange(len(by_env)), [len(curves) for curves in by_env])
    statistic = AGGREGATES["interquartile_mean"](tasks)
    return bootstrap(np.stack(values), statistic, tasks, replicates=replicates)


def improvement_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments on the scale, if there are labels to compare."""
    environments = requested_scale(results, options).environments
    return environments if len(results.legend) >= 2 else []


@drawing.paper_style()
def draw_improvement(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per label that the reference is compared with.

    Its rows are all environments, then each. With a single environment there is one panel, with a
    row per label.
    """
    scale = requested_scale(results, options)
    scores = final_scores(results, scale)
    reference = _choose_reference(scores, options.reference)
    rivals = {label: style for label, style in results.legend.items() if label != reference}
    several = len(scale.environments) > 1
    # By panel, what its rows compare: a label, and the environments in which.
    if several:
        tasks = [scale.environments, *([env] for env in scale.environments)]
        rows = [TOTAL, *scale.environments]
        panels = {f"over {label}": [(label, subset) for subset in tasks] for label in rivals}
    else:
        rows = [f"over {label}" for label in rivals]
        panels = {env: [(label, [env]) for label in rivals] for env in scale.environments}
    names = drawing.row_names(options.sheet, rows)
    panels = dict(options.select_panels(panels.items()))
    size = 1.9, names.panel_height(0.19, frame=0.65), names.left
    figure, axes = drawing.panel_grid(options.sheet, len(panels), *size, stretch=False)
    for panel, (title, comparisons) in zip(axes, panels.items(), strict=True):
        for row, (label, subset) in enumerate(comparisons):
            pair = (scores[name].within(subset) for name in (reference, label))
            style = _TOTAL_STYLE if len(subset) > 1 else rivals[label]
            interval = probability_of_improvement(*pair)
            if interval.n:
                drawing.draw_interval_dot(panel, row, interval, style)
            else:
                drawing.write_row_note(panel, row)
        _format_improvement_panel(panel, names, title, several, reference)
    notes = _improvement_notes(results, scale, scores, reference, rivals)
    return drawing.finish_figure(figure, [], notes)


def _choose_reference(scores: dict[str, Scores], label_option: str | None) -> str:
    """Returns the label that the others are compared with."""
    if label_option is not None:
        if label_option not in scores:
            near = did_you_mean(label_option, scores)
            raise UserError(f"--reference: no label '{label_option}' here{near}")
        return label_option
    if reference := registry.reference_agent("returns", scores):
        return reference
    means = {
        label: float(aggregate(values, replicates=2).estimate)
        for label, values in scores.items()
        if len(values.values)
    }
    return max(means, key=means.__getitem__) if means else next(iter(scores))


def _format_improvement_panel(
    panel: Axes, names: RowNames, title: str, total: bool, reference: str
) -> None:
    names.label(panel)
    if total:
        panel.axhline(0.5, color="#bbbbbb", linewidth=0.6)
        first = panel.get_yticklabels()[0]
        first.set_fontweight("bold")
    panel.axvline(0.5, zorder=1, **drawing.REFERENCE_LINE)
    panel.set_xlim(-0.03, 1.03)
    panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    panel.set_title(title)
    panel.set_xlabel(f"P({reference} above)")


def _improvement_notes(
    results: ResultTables,
    scale: ScoreScale,
    scores: dict[str, Scores],
    reference: str,
    rivals: dict[str, Style],
) -> list[str]:
    share_seeds = all(are_paired(scores[reference], scores[label]) for label in rivals)
    intervals = (
        "no interval from a single seed"
        if drawing.has_single_seeds(results.runs)
        else f"lines: {CONFIDENCE:.0%} interval (Newcombe's method for the Mann-Whitney statistic)"
    )
    sentences = [
        f"Probability that the last evaluation of a run of {reference} is above that of a run of "
        f"each other label, ties counting half; {drawing.counts_note(results.runs)}; {intervals}.",
        "The labels share their seeds, which the intervals allow for."
        if share_seeds
        else "Where labels share their seeds, intervals allow for it.",
    ]
    if len(scale.environments) > 1:
        tasks = set(scores[reference].names)
        gaps = any(tasks & set(scores[rival].names) != set(scale.environments) for rival in rivals)
        both = " that both have runs in" if gaps else ""
        sentences.append(f"In all: the mean over environments{both}.")
    sentences += off_scale_notes(results, scale)
    lost_notes = drawing.runs_note(results.curves, results.runs, "comparison")
    return [" ".join(sentences), *lost_notes]


@drawing.paper_style()
def draw_aggregates(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per statistic over all environments, a row per label: an estimate, a line."""
    scale = aggregate_scale(results, options)
    scores = final_scores(results, scale)
    legend = fully_scored_labels(results, scores, scale)
    names = drawing.row_names(options.sheet, list(legend))
    size = 1.55, names.panel_height(0.21, frame=0.6), names.left
    panels = options.select_panels(STATISTICS.items())
    figure, axes = drawing.panel_grid(options.sheet, len(panels), *size, stretch=False)
    for panel, (name, title) in zip(axes, panels, strict=True):
        for row, (label, style) in enumerate(legend.items()):
            interval = aggregate(scores[label], name, replicates=options.replicates)
            drawing.draw_interval_dot(panel, row, interval, style)
        names.label(panel)
        panel.set_title(title)
        drawing.set_short_ticks(panel.xaxis, drawing.count_fitting(panel, 4, 3))
        panel.set_xlabel("normalised return" if name != "optimality_gap" else "gap to 1")
    intervals = drawing.interval_note(results.runs, "lines", options.replicates, "each statistic")
    notes = [
        f"Markers: statistics of the normalised returns of the last evaluation of all runs, "
        f"{drawing.counts_note(results.runs)} an environment (optimality gap: how far runs are "
        f"below 1 on average; less is better); {intervals}.",
        *scale_note(results, scale, legend),
        *drawing.runs_note(results.curves, results.runs, "statistics"),
    ]
    return drawing.finish_figure(figure, [], notes)


@drawing.paper_style()
def draw_profiles(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws two panels: of single runs' scores, and of the mean scores of environments."""
    scale = aggregate_scale(results, options)
    scores = final_scores(results, scale)
    legend = fully_scored_labels(results, scores, scale)
    values = np.concatenate([scores[label].values for label in legend] or [np.array([0.0, 1.0])])
    low = max(min(0.0, values.min()), MIN_SCORE)
    high = min(max(1.0, values.max()), MAX_SCORE)
    thresholds = np.linspace(low, high, PROFILE_POINTS)
    panels = options.select_panels(PROFILES.values())
    figure, axes = drawing.panel_grid(options.sheet, len(panels), 2.6, 1.9)
    for panel, (profile, y_label, title) in zip(axes, panels, strict=True):
        for index, (label, style) in enumerate(legend.items()):
            shares = profile(scores[label], thresholds, replicates=options.replicates)
            offset = index / len(legend)
            drawing.draw_band(panel, thresholds, shares, style, offset, label, _PROFILE_ALPHA)
        _format_profile_panel(panel, low, high, y_label, title)
    quantity = "each share, pointwise,"
    intervals = drawing.interval_note(results.runs, "shaded", options.replicates, quantity)
    notes = [
        f"Of the last evaluation of each run, {drawing.counts_note(results.runs)} an "
        f"environment; {intervals}.",
        *scale_note(results, scale, legend),
        *drawing.runs_note(results.curves, results.runs, "profiles"),
    ]
    return drawing.finish_figure(figure, drawing.legend_entries(legend), notes)


def _format_profile_panel(panel: Axes, low: float, high: float, y_label: str, title: str) -> None:
    panel.set_title(title)
    panel.set_xlim(low, high)
    panel.set_ylim(-0.03, 1.03)
    drawing.set_short_ticks(panel.xaxis, drawing.count_fitting(panel, 5, 3))
    drawing.set_short_ticks(panel.yaxis, 5)
    panel.set_xlabel("normalised return")
    panel.set_ylabel(y_label)
