"""Figures of costs: the return that time and steps buy, and times over those of another label.

`frontier`    final return against the seconds and steps until nearly there, with the Pareto front;
`time_ratio`  seconds of each label over those of a reference label, in the same sweep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rl_es import registry
from rl_es.analysis import drawing
from rl_es.analysis.curves import (
    COUNTED_STATUSES,
    align,
    counted_curves,
    curves_of_runs,
    per_run_seconds,
    span_decades,
)
from rl_es.analysis.drawing import FigureOptions, Style
from rl_es.analysis.figures.aggregates import MAX_LABELS
from rl_es.analysis.formatting import format_range
from rl_es.analysis.results import ResultTables
from rl_es.analysis.scores import read_csv_table, read_number_column
from rl_es.analysis.statistics import Interval, bootstrap, empty_interval
from rl_es.errors import UserError, brief

NEAR_FINAL = 0.95  # of the way from the first evaluation to the last
TOTAL = "all: geometric mean"
_PALE = 0.4  # opacity of points behind the front
_FRONT = dict(color="#777777", linewidth=0.8)
_PUBLISHED_COLOUR = "#b2182b"
_STAR: dict[str, Any] = dict(ms=7, mec="white", mew=0.5)


@dataclass(frozen=True)
class FrontierPoint:
    """A label in an environment.

    Attributes:
      style: The label's style.
      cost: Cost of nearly reaching its final return.
      final: Final return, a scalar.
    """

    style: Style
    cost: float
    final: Interval


def frontier_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments in which labels can be compared."""
    if len(results.legend) > MAX_LABELS:
        return []
    counted_runs = results.runs[results.runs["status"].isin(COUNTED_STATUSES)]
    labels = counted_runs.groupby("env")["label"].nunique()
    return [env for env in results.environments if labels.get(env, 0) > 1]


@drawing.paper_style()
def draw_frontier(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a row per environment: against seconds, and against environment steps."""
    curves, runs = results.curves, results.runs
    seconds = per_run_seconds(curves)
    unit, size = drawing.time_unit(seconds.max())
    costs = (
        (seconds / size, f"wall-clock time ({unit})"),
        (curves["env_steps"], drawing.STEPS_LABEL),
    )
    counts = [2] * len(results.environments)
    figure, rows = drawing.panel_rows(options.sheet, counts, 2.5, 1.9)
    for env, pair in zip(results.environments, rows, strict=True):
        env_runs = runs[runs["env"] == env]
        loss = span_decades(curves[curves["env"] == env])
        for panel, (x, name) in zip(pair, costs, strict=True):
            points = _frontier_points(results, env_runs, x, options.replicates)
            _draw_points(panel, points, -1 if loss else 1)
            drawing.format_panel(panel, env, env_runs, loss=loss)
            if panel.has_data():
                drawing.set_log_ticks(panel.xaxis, drawing.count_fitting(panel, 4, 2))
            panel.set_xlabel(f"{name} to the return")
            panel.set_ylabel("final loss" if loss else "final return")
    intervals = drawing.interval_note(runs, "lines", options.replicates)
    notes = [
        f"Points: mean return of the last evaluation, {drawing.counts_note(runs)}, against "
        f"what it took until the mean curve had first come {NEAR_FINAL:.0%} of the way to it; "
        f"{intervals}. Grey: the Pareto front (no label is better for less); pale: labels "
        "behind it.",
        *drawing.time_note(curves),
        *drawing.runs_note(curves, runs),
    ]
    entries = [
        *((_marker_handle(style), label) for label, style in results.legend.items()),
        (Line2D([], [], **_FRONT), "Pareto front"),
        *drawing.threshold_entries(runs),
    ]
    return drawing.finish_figure(figure, entries, notes)


def _marker_handle(style: Style) -> Line2D:
    return Line2D([], [], color=style.colour, marker=style.marker, linestyle="")


def _frontier_points(
    results: ResultTables, runs: pd.DataFrame, x: pd.Series, replicates: int
) -> list[FrontierPoint]:
    """Returns the points of one environment; a label with a run that has only begun has none."""
    points = []
    for label, style in results.legend.items():
        label_runs = runs[runs["label"] == label]
        curves = counted_curves(curves_of_runs(results.curves, label_runs, x))
        grid, values = align(curves)
        if not grid.size or grid[-1] <= 0:
            continue
        final = bootstrap(np.array([curve.y[-1] for curve in curves]), replicates=replicates)
        points.append(FrontierPoint(style, cost_near_final(grid, values.mean(axis=0)), final))
    return points


def cost_near_final(grid: np.ndarray, curve: np.ndarray) -> float:
    """Returns the cost at which a curve [T] over costs [T] is first `NEAR_FINAL` at its end.

    It is interpolated linearly, so that it depends little on how far evaluations are apart. A curve
    that does not rise has the last cost.
    """
    goal = curve[0] + NEAR_FINAL * (curve[-1] - curve[0])
    above = np.flatnonzero(curve >= goal)
    if curve[-1] <= curve[0] or above[0] == 0:
        return float(grid[-1])
    after = above[0]
    before = after - 1
    share = (goal - curve[before]) / (curve[after] - curve[before])
    return float(grid[before] + share * (grid[after] - grid[before]))


def pareto_front(points: list[FrontierPoint]) -> list[FrontierPoint]:
    """Returns the points that no other is above at the same cost or less, by cost."""
    front: list[FrontierPoint] = []
    for point in sorted(points, key=lambda point: (point.cost, -float(point.final.estimate))):
        if not front or point.final.estimate > front[-1].final.estimate:
            front.append(point)
    return front


def _draw_points(panel: Axes, points: list[FrontierPoint], sign: int) -> None:
    """Draws the points of one environment; the ordinate is `sign` times the return."""
    panel.set_xscale("log")
    if not points:
        panel.text(0.5, 0.5, "no result", transform=panel.transAxes, ha="center", color="#666666")
        panel.set_axis_off()
        return
    front = pareto_front(points)
    costs = [point.cost for point in front]
    heights = [sign * float(point.final.estimate) for point in front]
    end = 1.3 * max(point.cost for point in points)
    panel.step([*costs, end], [*heights, heights[-1]], where="post", zorder=2, **_FRONT)
    for point in points:
        look = dict(color=point.style.colour, alpha=1.0 if point in front else _PALE)
        final, marker = point.final, point.style.marker
        bounds = [sign * final.low, sign * final.high]
        panel.plot([point.cost] * 2, bounds, linewidth=1.0, zorder=3, **look)
        panel.plot([point.cost], [sign * final.estimate], marker, ms=4.5, zorder=4, **look)
    panel.set_xlim(min(point.cost for point in points) / 1.3, end)


def time_reference(results: ResultTables, options: FigureOptions) -> str | None:
    """Returns the label whose times others are divided by; None where no label is one."""
    return options.reference or registry.reference_agent("returns", results.root.legend)


def time_ratio_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments that have times of the reference and of others."""
    labels, reference = results.legend, time_reference(results, options)
    if reference not in labels or not 2 <= len(labels) <= MAX_LABELS:
        return []
    costs = _time_costs(results)
    return [
        env
        for env in results.environments
        if (env, reference) in costs.index and len(costs.loc[env].index.unique()) > 1
    ]


@drawing.paper_style()
def draw_time_ratio(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment and one in all, a bar per label, on a logarithmic axis."""
    costs, reference = _time_costs(results), time_reference(results, options)
    assert reference is not None  # else there is no environment
    environments = results.environments
    totals = [environments] if len(environments) > 1 else []
    subjects = options.select_panels([*totals, *([env] for env in environments)])
    rivals = {label: style for label, style in results.legend.items() if label != reference}
    file = options.published_file
    ratios = {} if file is None else published_ratios(file, reference)
    names = drawing.row_names(options.sheet, list(rivals))
    size = 2.0, names.panel_height(0.21, frame=0.55), names.left
    figure, axes = drawing.panel_grid(options.sheet, len(subjects), *size, stretch=False)
    for panel, subset in zip(axes, subjects, strict=True):
        for row, (label, style) in enumerate(rivals.items()):
            pair = label, reference, subset
            ratio = time_ratios(costs, *pair, "per_step", options.replicates)
            drawing.draw_interval_bar(panel, row, ratio, style, start=1.0)
            ratio = time_ratios(costs, *pair, "to_budget", options.replicates)
            panel.plot([ratio.estimate], [row], "D", color=drawing.INK, ms=3.5, mfc="white")
            if len(subset) == 1 and (value := ratios.get((subset[0], label))):
                panel.plot([value], [row], "*", color=_PUBLISHED_COLOUR, **_STAR)
        names.label(panel)
        panel.set_title(TOTAL if subset is environments else subset[0])
        if subset is environments:
            drawing.highlight_panel(panel)
        _format_ratio_axis(panel)
        panel.set_xlabel(f"seconds over {reference}'s")
    has_published = any(env in environments and label in rivals for env, label in ratios)
    entries = _ratio_entries(has_published)
    return drawing.finish_figure(figure, entries, _ratio_notes(results, reference, options))


def published_ratios(path: Path, reference: str) -> dict[tuple[str, str], float]:
    """Reads ratios over a reference label, by (environment, label).

    Args:
      path: A CSV file with columns env, label, reference and ratio.
      reference: Rows of other references are left out.

    Raises:
      UserError: It is not such a file, or holds a ratio twice or one that is not above 0.
    """
    columns = ["env", "label", "reference", "ratio"]
    table = read_csv_table(path, columns, "table of ratios")
    table = table[columns].assign(ratio=read_number_column(path, table, "ratio"))
    ratios: dict[tuple[str, str], float] = {}
    for env, label, over, value in table.itertuples(index=False):
        name = f"{brief(env)} / {brief(label)}"
        if not 0 < value < np.inf:
            raise UserError(f"{path}: {name}: the ratio must be above 0, is {value:g}")
        if over == reference:
            if (env, label) in ratios:
                raise UserError(f"{path}: {name} over {brief(over)} stands there twice")
            ratios[env, label] = value
    return ratios


def _time_costs(results: ResultTables) -> pd.DataFrame:
    """Tabulates seconds a step, and seconds until the steps that all runs of the environment took.

    Indexed by (env, label), a row per counted run, with its seed.
    """
    counted_runs = results.runs[results.runs["status"].isin(COUNTED_STATUSES)]
    steps, seconds = results.curves["env_steps"], per_run_seconds(results.curves)
    rows = []
    for env, env_runs in counted_runs.groupby("env"):
        curves = [
            (label, curve)
            for label, runs in env_runs.groupby("label")
            for curve in curves_of_runs(results.curves, runs, steps, seconds)
            if curve.x[-1] > 0 and curve.y[-1] > 0
        ]
        budget = min((curve.x[-1] for _, curve in curves), default=0.0)
        for label, curve in curves:
            to_budget = float(np.interp(budget, curve.x, curve.y))
            rows.append((env, label, curve.seed, curve.y[-1] / curve.x[-1], to_budget))
    columns = ["env", "label", "seed", "per_step", "to_budget"]
    return pd.DataFrame(rows, columns=columns).set_index(["env", "label"]).sort_index()


def time_ratios(
    costs: pd.DataFrame,
    label: str,
    reference: str,
    environments: Sequence[str],
    cost: str,
    replicates: int,
) -> Interval:
    """Computes the geometric mean of a label's cost over the reference's.

    The mean is over environments and seeds. Each seed is compared with itself; seeds that only one
    of them ran are left out.

    Args:
      costs: Table by (env, label), with the columns `seed` and `cost`.
      label: The numerator.
      reference: The denominator.
      environments: The environments.
      cost: Name of the column.
      replicates: Replicates of the bootstrap.

    Returns:
      Scalars; NaN where an environment has no seed that both ran.
    """
    log_ratios, strata = [], []
    for env in environments:
        if any((env, name) not in costs.index for name in (label, reference)):
            return empty_interval()
        x, y = (costs.loc[[(env, name)]].set_index("seed")[cost] for name in (label, reference))
        env_ratios = np.log((x / y).dropna().to_numpy(float))
        log_ratios.append(env_ratios)
        strata += [env] * len(env_ratios)
    if not all(len(env_ratios) for env_ratios in log_ratios):
        return empty_interval()
    logs = bootstrap(np.concatenate(log_ratios), strata=np.array(strata), replicates=replicates)
    return Interval(np.exp(logs.estimate), np.exp(logs.low), np.exp(logs.high), n=logs.n)


def _format_ratio_axis(panel: Axes) -> None:
    """Sets a logarithmic axis around 1."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    low, high = min(low, 1 / 1.5), max(high, 1.5)
    panel.set_xlim(low, high)
    panel.axvline(1, zorder=1, **drawing.REFERENCE_LINE)
    if high / low > 30:
        ticks = [10.0**power for power in range(-6, 7)]
    else:
        ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10] if high / low > 4 else [0.5, 0.7, 1, 1.5, 2, 3]
    panel.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _ratio_entries(with_published: bool) -> list:
    """Returns the legend's entries of bars, diamonds and, where there are any, stars."""
    diamond = Line2D([], [], color=drawing.INK, marker="D", ms=3.5, mfc="white", linestyle="")
    entries = [(Patch(color="#bbbbbb"), "a step"), (diamond, "to the same number of steps")]
    if not with_published:
        return entries
    star = Line2D([], [], color=_PUBLISHED_COLOUR, marker="*", linestyle="", **_STAR)
    return [*entries, (star, "published")]


def _ratio_notes(results: ResultTables, reference: str, options: FigureOptions) -> list[str]:
    lanes = results.curves["lanes"].dropna()
    lane_range = format_range(lanes) if len(lanes) else "unknown"
    quantity = "the geometric mean"
    intervals = drawing.interval_note(results.runs, "lines", options.replicates, quantity)
    return [
        f"Wall time of this sweep, not a speed benchmark (lanes = {lane_range}; other groups "
        f"compiled meanwhile): training seconds of a run over those of {reference} of the same "
        f"seed, {drawing.counts_note(results.runs)}; {intervals}.",
        *drawing.runs_note(results.curves, results.runs, "ratios"),
    ]
