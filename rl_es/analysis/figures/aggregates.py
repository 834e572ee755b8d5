"""Normalised return over all environments against the share of the budget: interquartile means.

Shared by figures over several environments: the scale, and the labels that are on all of it.

Probability of improvement: how often a run of one label is above a run of each other label.

Normalised final returns: bars for each environment and, set apart, for all of them together.

Performance profiles: the share of runs, and of environments, that score above each threshold.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import scores
from rl_es.analysis.curves import Curve, counted, curves_of_runs
from rl_es.analysis.drawing import captions, layout, marks, ticks
from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS, FigureOptions
from rl_es.analysis.drawing.layout import RowNames, row_names
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.results import ResultTables
from rl_es.analysis.scores import ScoreScale
from rl_es.analysis.statistics.aggregates import (
    AGGREGATES,
    Scores,
    aggregate,
    average_profile,
    run_profile,
)
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval, bootstrap, nothing
from rl_es.analysis.statistics.two_samples import are_paired, probability_of_improvement
from rl_es.errors import UserError, did_you_mean

MOST_LABELS = 16  # a comparison of more cannot be read
FEWEST = 2  # environments
MOST_NAMED = 4


def scale_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments on the scale, if labels can be compared over several."""
    if len(results.shown) > MOST_LABELS:
        return []
    found = scale(results, options).environments
    return found if len(found) >= FEWEST else []


def scale(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> ScoreScale:
    """The scale that the options ask for."""
    return scores.scale(results, options.low, options.high)


def shared_environments(
    results: ResultTables, scored: Mapping[str, Scores], on: ScoreScale
) -> dict[str, Style]:
    """The labels with a score in every environment of the scale, in the order of legends."""
    wanted = len(on.environments)
    whole = {label for label, own in scored.items() if len(own.names) == wanted}
    return {label: style for label, style in results.shown.items() if label in whole}


def scale_note(
    results: ResultTables, on: ScoreScale, shown: Mapping[str, Style]
) -> tuple[str, ...]:
    """Notes on the scale, and on the labels and environments that are not on it."""
    count = len(on.environments)
    told = f"Normalised return: {on.told}; {count} environments."
    gaps = off_scale(results, on)
    others = [label for label in results.shown if label not in shown]
    if others:
        gaps.append(f"Without a score in every environment, so not here: {_named(others)}.")
    return (" ".join([told, *gaps]),)


def off_scale(results: ResultTables, on: ScoreScale) -> list[str]:
    """A sentence on the folder's environments that are not on the scale; none where all are."""
    off = [env for env in results.whole.environments if env not in on.environments]
    return [f"Not on the scale where {on.told}, so not here: {_named(off)}."] if off else []


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


CURVE_POINTS = 41


def draw_aggregate_curves(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> Figure:
    """One panel: the interquartile mean over runs of all environments, with bands."""
    on = scale(results, options)
    curves = results.curves[results.curves["env"].isin(on.environments)]
    score = pd.Series(on.score(curves["env"], curves["return_mean"]), index=curves.index)
    spent = curves["env_steps"] / curves["run_id"].map(_budgets(results.runs, curves))
    grid, drawn = np.linspace(0, 1, CURVE_POINTS), {}
    with layout.paper():
        figure, (panel,) = layout.grid(options.sheet, 1, 3.6, 2.3)
        for place, (label, style) in enumerate(results.shown.items()):
            own = results.runs[results.runs["label"] == label]
            parts = [
                counted(curves_of_runs(curves, own[own["env"] == env], spent, score))
                for env in on.environments
            ]
            if not all(parts):
                continue
            reached = grid[grid <= min(curve.x[-1] for part in parts for curve in part) + 1e-9]
            interval = _means(parts, reached, options.replicates)
            marks.band(panel, reached, interval, style, place / len(results.shown), label, 0.15)
            drawn[label] = style
        panel.set_xlim(0, 1.02)
        ticks.shorten_ticks(panel.xaxis, 5)
        ticks.shorten_ticks(panel.yaxis, 5)
        panel.set_xlabel("share of the budget of environment steps")
        panel.set_ylabel("normalised return (IQM)")
        middle = "the interquartile mean"
        banded = captions.interval_note(results.runs, "shaded", options.replicates, middle)
        under = [
            f"Lines: {middle} of the normalised returns of all runs, "
            f"{captions.counts_note(results.runs)} an environment; {banded}.",
            *scale_note(results, on, drawn),
            *captions.runs_note(results.curves, results.runs),
        ]
        return layout.finish(figure, marks.entries(drawn), under)


def _budgets(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.Series:
    """The environment steps of each run's whole budget, by run_id.

    For a finished run, the steps that it took; for another, those of finished runs of its label in
    its environment, else of any label there, else its own steps so far.
    """
    reached = curves.groupby("run_id")["env_steps"].max().astype(float)
    own = runs["run_id"].map(reached)
    whole = own.where(runs["status"] == "finished")
    of_label = whole.groupby([runs["env"], runs["label"]]).transform("max")
    of_env = whole.groupby(runs["env"]).transform("max")
    found = whole.fillna(of_label).fillna(of_env).fillna(own)
    return pd.Series(found.to_numpy(), index=runs["run_id"]).replace(0, np.nan)


def _means(parts: list[list[Curve]], grid: np.ndarray, replicates: int) -> Interval:
    """Interquartile means over runs of all environments [T] on a grid [T]."""
    values = [np.interp(grid, curve.x, curve.y) for part in parts for curve in part]
    tasks = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    statistic = AGGREGATES["interquartile_mean"](tasks)
    return bootstrap(np.stack(values), statistic, tasks, replicates=replicates)


USUAL_REFERENCE = "eggroll"
TOTAL = "all environments"
_TOTAL_STYLE = Style(layout.INK, "-", "D")


def improvement_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments on the scale, if there are labels to compare."""
    found = scale(results, options).environments
    few = 2 <= len(results.shown) <= MOST_LABELS
    return found if few else []


def draw_improvement(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per label that the reference is compared with; rows: all environments, then each.

    Where there is a single environment: one panel, with a row per label.
    """
    on = scale(results, options)
    scored = scores.final_scores(results, on)
    reference = _reference(scored, options.reference)
    others = {label: style for label, style in results.shown.items() if label != reference}
    several = len(on.environments) > 1
    # By panel, what its rows compare: a label, and the environments in which.
    if several:
        tasks = [on.environments, *([env] for env in on.environments)]
        rows = [TOTAL, *on.environments]
        drawn = {f"over {label}": [(label, some) for some in tasks] for label in others}
    else:
        rows = [f"over {label}" for label in others]
        drawn = {env: [(label, [env]) for label in others] for env in on.environments}
    with layout.paper():
        named = row_names(options.sheet, rows)
        size = 1.9, named.high(0.19, frame=0.65), named.left
        figure, axes = layout.grid(options.sheet, len(drawn), *size, stretch=False)
        for panel, (title, compared) in zip(axes, drawn.items(), strict=True):
            for place, (label, some) in enumerate(compared):
                pair = (scored[of].within(some) for of in (reference, label))
                style = _TOTAL_STYLE if len(some) > 1 else others[label]
                _row(panel, place, probability_of_improvement(*pair), style)
            _dress_improvement(panel, named, title, several, reference)
        return layout.finish(figure, [], _notes(results, on, scored, reference, others))


def _reference(scored: dict[str, Scores], wanted: str | None) -> str:
    """The label that the others are compared with."""
    if wanted is not None:
        if wanted not in scored:
            raise UserError(f"--reference: no label '{wanted}' here{did_you_mean(wanted, scored)}")
        return wanted
    if USUAL_REFERENCE in scored:
        return USUAL_REFERENCE
    known = {label: own for label, own in scored.items() if len(own.values)}
    middle = {label: float(aggregate(own, replicates=2).estimate) for label, own in known.items()}
    return max(middle, key=middle.__getitem__) if middle else next(iter(scored))


def _row(panel: Axes, place: int, found: Interval, style: Style) -> None:
    if found.n:
        marks.dot_and_line(panel, place, found, style)
    else:
        marks.row_note(panel, place)


def _dress_improvement(
    panel: Axes, named: RowNames, title: str, total: bool, reference: str
) -> None:
    named.beside(panel)
    if total:
        panel.axhline(0.5, color="#bbbbbb", linewidth=0.6)
        first = panel.get_yticklabels()[0]
        first.set_fontweight("bold")
    panel.axvline(0.5, zorder=1, **marks.REFERENCE)
    panel.set_xlim(-0.03, 1.03)
    panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    panel.set_title(title)
    panel.set_xlabel(f"P({reference} above)")


def _notes(
    results: ResultTables,
    on: ScoreScale,
    scored: dict[str, Scores],
    reference: str,
    others: dict[str, Style],
) -> list[str]:
    paired = all(are_paired(scored[reference], scored[label]) for label in others)
    lined = f"lines: {CONFIDENCE:.0%} interval (Newcombe's method for the Mann-Whitney statistic)"
    said = [
        f"Probability that the last evaluation of a run of {reference} is above that of a run of "
        f"each other label, ties counting half; {captions.counts_note(results.runs)}; "
        + (
            "no interval from a single seed."
            if captions.single_seed_note(results.runs)
            else f"{lined}."
        ),
        "The labels share their seeds, which the intervals allow for."
        if paired
        else "Where labels share their seeds, intervals allow for it.",
        *_on_total(on, scored, reference, others),
        *off_scale(results, on),
    ]
    return [" ".join(said), *captions.runs_note(results.curves, results.runs, "comparison")]


def _on_total(
    on: ScoreScale, scored: dict[str, Scores], reference: str, others: dict[str, Style]
) -> list[str]:
    """A note on the row of all environments."""
    if len(on.environments) < 2:
        return []
    here = set(scored[reference].names)
    gaps = any(here & set(scored[of].names) != set(on.environments) for of in others)
    return [f"In all: the mean over environments{' that both have runs in' if gaps else ''}."]


TOTALS = {"interquartile_mean": "all: IQM", "mean": "all: mean"}


def draw_normalised(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per environment and two in total, a bar per label."""
    on = scale(results, options)
    scored = scores.final_scores(results, on)
    whole = shared_environments(results, scored, on)
    with layout.paper():
        named = row_names(options.sheet, list(results.shown))
        size = 2.0, named.high(0.21, frame=0.55), named.left
        count = len(on.environments) + len(TOTALS)
        figure, axes = layout.grid(options.sheet, count, *size, stretch=False)

        def bars(panel: Axes, interval: Callable[[str, Scores], Interval]) -> None:
            for place, (label, style) in enumerate(results.shown.items()):
                marks.interval_bar(panel, place, interval(label, scored[label]), style)
            named.beside(panel)
            for at in (0.0, 1.0):
                panel.axvline(at, zorder=1, **dict(marks.REFERENCE, linewidth=0.6))
            ticks.shorten_ticks(panel.xaxis, layout.fitting(panel, 4, 2))
            panel.set_xlabel("normalised return")

        for panel, (name, title) in zip(axes, TOTALS.items(), strict=False):
            bars(
                panel,
                lambda label, own, name=name: (
                    aggregate(own, name, replicates=options.replicates)
                    if label in whole
                    else nothing()
                ),
            )
            panel.set_title(title)
            marks.set_apart(panel)
        for panel, env in zip(axes[len(TOTALS) :], on.environments, strict=True):
            bars(panel, lambda _, own, env=env: _mean(own.of(env), options.replicates))
            panel.set_title(env)
        lined = captions.interval_note(results.runs, "black lines", options.replicates, "each")
        under = [
            f"Bars: mean normalised return of the last evaluation, "
            f"{captions.counts_note(results.runs)}; shaded panels: over all "
            f"environments (IQM: interquartile mean); {lined}.",
            *scale_note(results, on, whole),
            *captions.runs_note(results.curves, results.runs),
        ]
        return layout.finish(figure, [], under)


def _mean(own: Scores, replicates: int) -> Interval:
    return aggregate(own, "mean", replicates=replicates) if len(own.values) else nothing()


PROFILE_POINTS = 151
LOWEST, HIGHEST = -1.0, 3.0  # scores further out would leave no room for all others
PALE = 0.12
KINDS = {
    "runs": (run_profile, "share of runs above", "single runs"),
    "environments": (average_profile, "share of environments above", "environments"),
}


def draw_profiles(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """Two panels: of single runs' scores, and of the mean scores of environments."""
    on = scale(results, options)
    scored = scores.final_scores(results, on)
    shown = shared_environments(results, scored, on)
    values = np.concatenate([scored[label].values for label in shown] or [np.array([0.0, 1.0])])
    low = max(min(0.0, values.min()), LOWEST)
    high = min(max(1.0, values.max()), HIGHEST)
    thresholds = np.linspace(low, high, PROFILE_POINTS)
    with layout.paper():
        figure, axes = layout.grid(options.sheet, len(KINDS), 2.6, 1.9)
        for panel, (profile, name, title) in zip(axes, KINDS.values(), strict=True):
            for place, (label, style) in enumerate(shown.items()):
                found = profile(scored[label], thresholds, replicates=options.replicates)
                marks.band(panel, thresholds, found, style, place / len(shown), label, PALE)
            _dress_profile(panel, low, high, name, title)
        lined = captions.interval_note(
            results.runs, "shaded", options.replicates, "each share, pointwise,"
        )
        under = [
            f"Of the last evaluation of each run, {captions.counts_note(results.runs)} an "
            f"environment; {lined}.",
            *scale_note(results, on, shown),
            *captions.runs_note(results.curves, results.runs, "profiles"),
        ]
        return layout.finish(figure, marks.entries(shown), under)


def _dress_profile(panel: Axes, low: float, high: float, name: str, title: str) -> None:
    panel.set_title(title)
    panel.set_xlim(low, high)
    panel.set_ylim(-0.03, 1.03)
    ticks.shorten_ticks(panel.xaxis, layout.fitting(panel, 5, 3))
    ticks.shorten_ticks(panel.yaxis, 5)
    panel.set_xlabel("normalised return")
    panel.set_ylabel(name)
