"""The cost of a return: final return against the seconds and steps until nearly there."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import alignment
from rl_es.analysis.drawing import lines, marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.figures.across import MOST_LABELS
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import Interval, bootstrap

NEARLY = 0.95  # of the way from the first evaluation to the last
PALE = 0.4  # opacity of points behind the front
_FRONT = dict(color="#777777", linewidth=0.8)


@dataclass(frozen=True)
class Point:
    """A label in an environment: its final return, a scalar, and the cost of nearly reaching it."""

    style: Style
    cost: float
    final: Interval


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments in which labels can be compared."""
    if len(results.shown) > MOST_LABELS:
        return []
    counted = results.runs[results.runs["status"].isin(alignment.COUNTED)]
    labels = counted.groupby("env")["label"].nunique()
    return [env for env in results.environments if labels.get(env, 0) > 1]


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A row per environment: against seconds, and against environment steps."""
    curves, runs = results.curves, results.runs
    seconds = alignment.per_run_seconds(curves)
    unit, size = lines.unit_of_time(seconds.max())
    sides = (
        (seconds / size, f"wall-clock time ({unit})"),
        (curves["env_steps"], lines.STEPS),
    )
    with panels.paper():
        figure, rows = panels.rows(options.sheet, [2] * len(results.environments), 2.5, 1.9)
        for env, pair in zip(results.environments, rows, strict=True):
            here = runs[runs["env"] == env]
            loss = alignment.over_decades(curves[curves["env"] == env])
            for panel, (x, name) in zip(pair, sides, strict=True):
                _panel(panel, _points(results, here, x, options.replicates), -1 if loss else 1)
                marks.dress(panel, env, here, loss=loss)
                if panel.has_data():
                    ticks.log_ticks(panel.xaxis, panels.fitting(panel, 4, 2))
                panel.set_xlabel(f"{name} to the return")
                panel.set_ylabel("final loss" if loss else "final return")
        lined = notes.interval(runs, "lines", options.replicates)
        under = [
            f"Points: mean return of the last evaluation, {notes.counts(runs)}, against what it "
            f"took until the mean curve had first come {NEARLY:.0%} of the way to it; {lined}. "
            "Grey: the Pareto front (no label is better for less); pale: labels behind it.",
            *notes.on_time(curves),
            *notes.on_runs(curves, runs),
        ]
        entries = [
            *((_sample(style), label) for label, style in results.shown.items()),
            (Line2D([], [], **_FRONT), "Pareto front"),
            *marks.threshold_entry(runs),
        ]
        return panels.finish(figure, entries, under)


def _sample(style: Style) -> Line2D:
    return Line2D([], [], color=style.colour, marker=style.marker, linestyle="")


def _points(results: Results, runs: pd.DataFrame, x: pd.Series, replicates: int) -> list[Point]:
    """The points of one environment; a label with a run that has only just begun has none."""
    found = []
    for label, style in results.shown.items():
        own = alignment.of_runs(results.curves, runs[runs["label"] == label], x)
        counted = alignment.counted(own)
        grid, values = alignment.align(counted)
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
