"""The cost of a return: final return against the seconds and steps until nearly there.

Time ratios: seconds of each label over those of a reference label, in the same sweep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rl_es.analysis import curves as analysis_curves
from rl_es.analysis import scores
from rl_es.analysis.curves import COUNTED, curves_of_runs, per_run_seconds
from rl_es.analysis.drawing import captions, layout, marks, ticks
from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS, FigureOptions
from rl_es.analysis.drawing.layout import row_names
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.figures.aggregates import MOST_LABELS
from rl_es.analysis.formatting import format_range
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import Interval, bootstrap, nothing
from rl_es.errors import UserError, brief

NEARLY = 0.95  # of the way from the first evaluation to the last
PALE = 0.4  # opacity of points behind the front
_FRONT = dict(color="#777777", linewidth=0.8)


@dataclass(frozen=True)
class Point:
    """A label in an environment: its final return, a scalar, and the cost of nearly reaching it."""

    style: Style
    cost: float
    final: Interval


def frontier_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments in which labels can be compared."""
    if len(results.shown) > MOST_LABELS:
        return []
    counted = results.runs[results.runs["status"].isin(analysis_curves.COUNTED)]
    labels = counted.groupby("env")["label"].nunique()
    return [env for env in results.environments if labels.get(env, 0) > 1]


def draw_frontier(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A row per environment: against seconds, and against environment steps."""
    curves, runs = results.curves, results.runs
    seconds = analysis_curves.per_run_seconds(curves)
    unit, size = marks.unit_of_time(seconds.max())
    sides = (
        (seconds / size, f"wall-clock time ({unit})"),
        (curves["env_steps"], marks.STEPS),
    )
    with layout.paper():
        figure, rows = layout.rows(options.sheet, [2] * len(results.environments), 2.5, 1.9)
        for env, pair in zip(results.environments, rows, strict=True):
            here = runs[runs["env"] == env]
            loss = analysis_curves.over_decades(curves[curves["env"] == env])
            for panel, (x, name) in zip(pair, sides, strict=True):
                _panel(panel, _points(results, here, x, options.replicates), -1 if loss else 1)
                marks.dress(panel, env, here, loss=loss)
                if panel.has_data():
                    ticks.log_ticks(panel.xaxis, layout.fitting(panel, 4, 2))
                panel.set_xlabel(f"{name} to the return")
                panel.set_ylabel("final loss" if loss else "final return")
        lined = captions.interval_note(runs, "lines", options.replicates)
        under = [
            f"Points: mean return of the last evaluation, {captions.counts_note(runs)}, against "
            f"what it took until the mean curve had first come {NEARLY:.0%} of the way to it; "
            f"{lined}. Grey: the Pareto front (no label is better for less); pale: labels "
            "behind it.",
            *captions.time_note(curves),
            *captions.runs_note(curves, runs),
        ]
        entries = [
            *((_sample(style), label) for label, style in results.shown.items()),
            (Line2D([], [], **_FRONT), "Pareto front"),
            *marks.threshold_entry(runs),
        ]
        return layout.finish(figure, entries, under)


def _sample(style: Style) -> Line2D:
    return Line2D([], [], color=style.colour, marker=style.marker, linestyle="")


def _points(
    results: ResultTables, runs: pd.DataFrame, x: pd.Series, replicates: int
) -> list[Point]:
    """The points of one environment; a label with a run that has only just begun has none."""
    found = []
    for label, style in results.shown.items():
        own = analysis_curves.curves_of_runs(results.curves, runs[runs["label"] == label], x)
        counted = analysis_curves.counted(own)
        grid, values = analysis_curves.align(counted)
        if not grid.size or grid[-1] <= 0:
            continue
        final = bootstrap(np.array([curve.y[-1] for curve in counted]), replicates=replicates)
        found.append(Point(style, nearly_there(grid, values.mean(axis=0)), final))
    return found


def nearly_there(grid: np.ndarray, curve: np.ndarray) -> float:
    """The cost at which a curve [T] over costs [T] is first `NEARLY` at its end, else the last.

    It is interpolated linearly, so that it depends little on how far evaluations are apart.
    """
    goal = curve[0] + NEARLY * (curve[-1] - curve[0])
    there = np.flatnonzero(curve >= goal)
    if curve[-1] <= curve[0] or there[0] == 0:
        return float(grid[-1])
    after = there[0]
    before = after - 1
    share = (goal - curve[before]) / (curve[after] - curve[before])
    return float(grid[before] + share * (grid[after] - grid[before]))


def front(points: list[Point]) -> list[Point]:
    """The Pareto front: the points that no other is above at the same cost or less, by cost."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -float(point.final.estimate))):
        if not found or point.final.estimate > found[-1].final.estimate:
            found.append(point)
    return found


def _panel(panel: Axes, points: list[Point], sign: int) -> None:
    """One environment; the ordinate is `sign` times the return."""
    panel.set_xscale("log")
    if not points:
        panel.text(0.5, 0.5, "no result", transform=panel.transAxes, ha="center", color="#666666")
        panel.set_axis_off()
        return
    best = front(points)
    costs = [point.cost for point in best]
    highest = [sign * float(point.final.estimate) for point in best]
    end = 1.3 * max(point.cost for point in points)
    panel.step([*costs, end], [*highest, highest[-1]], where="post", zorder=2, **_FRONT)
    for point in points:
        look = dict(color=point.style.colour, alpha=1.0 if point in best else PALE)
        final = point.final
        panel.plot(
            [point.cost] * 2, [sign * final.low, sign * final.high], linewidth=1.0, zorder=3, **look
        )
        panel.plot(
            [point.cost], [sign * final.estimate], point.style.marker, ms=4.5, zorder=4, **look
        )
    panel.set_xlim(min(point.cost for point in points) / 1.3, end)


USUAL_REFERENCE = "eggroll"
TOTAL = "all: geometric mean"


def time_ratio_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments that have times of the reference and of others."""
    labels, reference = results.shown, options.reference or USUAL_REFERENCE
    if reference not in labels or not 2 <= len(labels) <= MOST_LABELS:
        return []
    costs = _costs(results)
    return [
        env
        for env in results.environments
        if (env, reference) in costs.index and len(costs.loc[env].index.unique()) > 1
    ]


def draw_time_ratio(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per environment and one in all, a bar per label, on a logarithmic axis."""
    costs, reference = _costs(results), options.reference or USUAL_REFERENCE
    environments = results.environments
    totals = [environments] if len(environments) > 1 else []
    subjects = [*totals, *([env] for env in environments)]
    others = {label: style for label, style in results.shown.items() if label != reference}
    elsewhere = {} if options.published is None else published_ratios(options.published, reference)
    with layout.paper():
        named = row_names(options.sheet, list(others))
        size = 2.0, named.high(0.21, frame=0.55), named.left
        figure, axes = layout.grid(options.sheet, len(subjects), *size, stretch=False)
        for panel, some in zip(axes, subjects, strict=True):
            for place, (label, style) in enumerate(others.items()):
                found = time_ratios(costs, label, reference, some, "per_step", options.replicates)
                marks.interval_bar(panel, place, found, style, start=1.0)
                same = time_ratios(costs, label, reference, some, "to_budget", options.replicates)
                panel.plot([same.estimate], [place], "D", color=layout.INK, ms=3.5, mfc="white")
                if len(some) == 1 and (found := elsewhere.get((some[0], label))):
                    panel.plot([found], [place], "*", color="#b2182b", ms=7, mec="white", mew=0.5)
            named.beside(panel)
            panel.set_title(TOTAL if some is environments else some[0])
            if some is environments:
                marks.set_apart(panel)
            _axis(panel)
            panel.set_xlabel(f"seconds over {reference}'s")
        shown = [at for at in elsewhere if at[0] in environments and at[1] in others]
        return layout.finish(figure, _entries(bool(shown)), _notes(results, reference, options))


def published_ratios(path: Path, reference: str) -> dict[tuple[str, str], float]:
    """Ratios over a reference label, by (environment, label).

    Args:
      path: a CSV file with columns env, label, reference and ratio.
      reference: rows of others are left out.

    Raises:
      UserError: it is not such a file, or holds a ratio twice or one that is not above 0.
    """
    columns = ["env", "label", "reference", "ratio"]
    table = scores.read_scale(path, columns, "table of ratios")
    table = table[columns].assign(ratio=scores.read_numbers(path, table, "ratio"))
    found: dict[tuple[str, str], float] = {}
    for env, label, over, value in table.itertuples(index=False):
        if not 0 < value < np.inf:
            named = f"{brief(env)} / {brief(label)}"
            raise UserError(f"{path}: {named}: the ratio must be above 0, is {value:g}")
        if over == reference:
            if (env, label) in found:
                named = f"{brief(env)} / {brief(label)} over {brief(over)}"
                raise UserError(f"{path}: {named} stands there twice")
            found[env, label] = value
    return found


def _costs(results: ResultTables) -> pd.DataFrame:
    """Seconds per environment step, and until the steps that all runs of the environment took.

    Indexed by (env, label), a row per counted run, with its seed.
    """
    counted = results.runs[results.runs["status"].isin(COUNTED)]
    steps, seconds = results.curves["env_steps"], per_run_seconds(results.curves)
    found = []
    for env, here in counted.groupby("env"):
        own = {
            label: curves_of_runs(results.curves, runs, steps, seconds)
            for label, runs in here.groupby("label")
        }
        timed = [(label, curve) for label, curves in own.items() for curve in curves]
        timed = [(label, curve) for label, curve in timed if curve.x[-1] > 0 and curve.y[-1] > 0]
        budget = min((curve.x[-1] for _, curve in timed), default=0.0)
        for label, curve in timed:
            to_budget = float(np.interp(budget, curve.x, curve.y))
            found.append((env, label, curve.seed, curve.y[-1] / curve.x[-1], to_budget))
    columns = ["env", "label", "seed", "per_step", "to_budget"]
    return pd.DataFrame(found, columns=columns).set_index(["env", "label"]).sort_index()


def time_ratios(
    costs: pd.DataFrame,
    label: str,
    reference: str,
    environments: Sequence[str],
    cost: str,
    replicates: int,
) -> Interval:
    """The geometric mean over environments and seeds of a label's cost over the reference's.

    Each seed is compared with itself; seeds that only one of them ran are left out.

    Args:
      costs: by (env, label), with the columns `seed` and `cost`.
      label: the numerator.
      reference: the denominator.
      environments: over which.
      cost: the column's name.
      replicates: of the bootstrap.

    Returns:
      Scalars; NaN where an environment has no seed that both ran.
    """
    logs, strata = [], []
    for env in environments:
        if any((env, of) not in costs.index for of in (label, reference)):
            return nothing()
        x, y = (costs.loc[[(env, of)]].set_index("seed")[cost] for of in (label, reference))
        apart = np.log((x / y).dropna().to_numpy(float))
        logs.append(apart)
        strata += [env] * len(apart)
    if not all(len(part) for part in logs):
        return nothing()
    found = bootstrap(np.concatenate(logs), strata=np.array(strata), replicates=replicates)
    return Interval(*(np.exp(of) for of in (found.estimate, found.low, found.high)), n=found.n)


def _axis(panel: Axes) -> None:
    """A logarithmic axis around 1."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    low, high = min(low, 1 / 1.5), max(high, 1.5)
    panel.set_xlim(low, high)
    panel.axvline(1, zorder=1, **marks.REFERENCE)
    if high / low > 30:
        choices = [10.0**power for power in range(-6, 7)]
    else:
        choices = [0.1, 0.2, 0.5, 1, 2, 5, 10] if high / low > 4 else [0.5, 0.7, 1, 1.5, 2, 3]
    panel.xaxis.set_major_locator(FixedLocator([at for at in choices if low <= at <= high]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _entries(published: bool) -> list:
    diamond = Line2D([], [], color=layout.INK, marker="D", ms=3.5, mfc="white", linestyle="")
    entries = [(Patch(color="#bbbbbb"), "a step"), (diamond, "to the same number of steps")]
    if not published:
        return entries
    star = Line2D([], [], color="#b2182b", marker="*", ms=7, mec="white", mew=0.5, linestyle="")
    return [*entries, (star, "published")]


def _notes(results: ResultTables, reference: str, options: FigureOptions) -> list[str]:
    lanes = results.curves["lanes"].dropna()
    shared = format_range(lanes) if len(lanes) else "unknown"
    lined = captions.interval_note(results.runs, "lines", options.replicates, "the geometric mean")
    return [
        f"Wall time of this sweep, not a speed benchmark (lanes = {shared}; other groups compiled "
        f"meanwhile): training seconds of a run over those of {reference} of the same seed, "
        f"{captions.counts_note(results.runs)}; {lined}.",
        *captions.runs_note(results.curves, results.runs, "ratios"),
    ]
