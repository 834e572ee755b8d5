"""What is drawn in a panel: means with bands, medians, single seeds, bars with dots, thresholds.

Panels of lines: each label's runs along an axis, and that axis.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rl_es.analysis.curves import COUNTED, Curve, align, counted, curves_of_runs
from rl_es.analysis.drawing import layout, ticks
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.statistics.intervals import Interval, bootstrap

TAIL = 0.1  # the share of an axis below which a single seed's remainder is not worth a line
REFERENCE: dict[str, Any] = dict(color="#555555", linestyle=(0, (4, 3)), linewidth=0.7)
_EDGE: dict[str, Any] = dict(markeredgecolor="white", markeredgewidth=0.4)


def mean_and_band(
    panel: Axes,
    found: list[Curve],
    style: Style,
    offset: float,
    replicates: int,
    label: str,
) -> None:
    """Draws the mean over counted seeds and its interval; `offset` in [0, 1) moves the markers."""
    grid, returns = align(counted(found))
    if not grid.size:
        return
    band(panel, grid, bootstrap(returns, replicates=replicates), style, offset, label)


def band(
    panel: Axes,
    x: np.ndarray,
    interval: Interval,
    style: Style,
    offset: float,
    label: str,
    alpha: float = 0.18,
) -> None:
    """Estimates [T] over x [T] as a line, and their interval around it."""
    low, high = interval.low, interval.high
    panel.fill_between(x, low, high, color=style.colour, alpha=alpha, linewidth=0)
    line(panel, x, interval.estimate, style, offset, label)


def line(
    panel: Axes, x: np.ndarray, y: np.ndarray, style: Style, offset: float, label: str
) -> None:
    """Draws a label's line, with markers along it that start at each label's own offset."""
    panel.plot(
        x,
        y,
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        # The offset keeps markers apart where lines lie on each other.
        markevery=(0.04 + 0.2 * offset, 0.24) if x.size > 1 else None,
        zorder=3,
        label=layout.visible(label),
        **_EDGE,
    )


def median_and_runs(
    panel: Axes, found: list[Curve], style: Style, offset: float, label: str
) -> None:
    """Draws each run as a thin line, a lost one with a cross at its end, and the others' median."""
    for curve in found:
        panel.plot(curve.x, curve.y, color=style.colour, linewidth=0.5, alpha=0.5)
        if curve.status not in COUNTED:
            _cross(panel, curve, style)
    grid, values = align(counted(found))
    if grid.size:
        line(panel, grid, np.median(values, axis=0), style, offset, label)


def _cross(panel: Axes, curve: Curve, style: Style) -> None:
    """Where a lost run ended."""
    end = curve.x[-1:], curve.y[-1:]
    panel.plot(*end, color=style.colour, marker="x", markersize=4, zorder=4)


def single_runs(panel: Axes, found: list[Curve], style: Style, furthest: float) -> bool:
    """Draws single seeds where they are in no mean, or beyond the range that all of them cover.

    Returns:
      Whether there are any.
    """
    mean = counted(found)
    end = min((curve.x[-1] for curve in mean), default=-np.inf)
    drawn = False
    for curve in found:
        lost = curve.status not in COUNTED
        beyond = (
            slice(None) if lost else slice(int(np.searchsorted(curve.x, end, "right")) - 1, None)
        )
        x, y = curve.x[beyond], curve.y[beyond]
        if not lost and x[-1] - end <= TAIL * furthest:
            continue
        drawn = True
        panel.plot(x, y, color=style.colour, linewidth=0.5, alpha=0.8, linestyle=style.line)
        if lost:
            _cross(panel, curve, style)
    return drawn


def bar(panel: Axes, place: int, runs: pd.DataFrame, style: Style, replicates: int) -> None:
    """Draws a bar for the mean of `final`, its interval, a dot per seed, a cross per lost seed."""
    known = runs[np.isfinite(runs["final"])].sort_values(["seed", "run_id"])
    counts = known["status"].isin(COUNTED)
    mean, lost = known[counts]["final"].to_numpy(float), known[~counts]["final"].to_numpy(float)
    interval_bar(panel, place, bootstrap(mean, replicates=replicates), style)
    panel.plot(mean, _spread(place, len(mean)), "o", color=style.colour, zorder=5, ms=2.8, **_EDGE)
    panel.plot(lost, _spread(place, len(lost)), "x", color=style.colour, zorder=5, ms=3.5)


def interval_bar(
    panel: Axes, place: float, interval: Interval, style: Style, start: float = 0.0
) -> None:
    """A bar from `start` to an estimate, with its interval; says so where there is none."""
    if not np.isfinite(interval.estimate):
        row_note(panel, place)
        return
    length = interval.estimate - start
    panel.barh(place, length, 0.7, left=start, color=style.colour, alpha=0.35, linewidth=0)
    ink: dict[str, Any] = dict(color=layout.INK, zorder=4)
    panel.plot([interval.low, interval.high], [place, place], linewidth=1.3, **ink)
    panel.plot([interval.estimate], [place], marker="|", markersize=6, **ink)


def row_note(panel: Axes, place: float, text: str = "no result") -> None:
    """Small text at the start of a row that has no mark."""
    at = panel.get_yaxis_transform()
    panel.text(0.02, place, text, transform=at, va="center", fontsize=6, color="#666666")


def set_apart(panel: Axes) -> None:
    """Marks the panel of a total among those of single environments."""
    panel.set_facecolor("#f3f3f0")
    panel.title.set_fontweight("bold")


def dot_and_line(panel: Axes, place: float, interval: Interval, style: Style) -> None:
    """An estimate as a dot, and its interval as a line."""
    line: dict[str, Any] = dict(color=style.colour, linewidth=1.3, solid_capstyle="butt")
    panel.plot([interval.low, interval.high], [place, place], zorder=3, **line)
    panel.plot([interval.estimate], [place], style.marker, color=style.colour, zorder=4, **_EDGE)


def _spread(place: int, count: int) -> np.ndarray:
    """Heights [count] within a bar: dots of equal returns stand above each other."""
    return place + (np.linspace(-0.22, 0.22, count) if count > 1 else np.zeros(count))


def dress(
    panel: Axes, env: str, runs: pd.DataFrame, across: bool = False, loss: bool = False
) -> None:
    """Sets the title and the limits, and draws the thresholds.

    Args:
      panel: with everything drawn.
      env: its environment.
      runs: for their thresholds.
      across: whether returns are on the x axis instead of the y axis.
      loss: whether y is minus the return, on a logarithmic axis; values at or below zero are cut.
    """
    panel.set_title(env)
    if loss:
        panel.set_yscale("log", nonpositive="clip")
    for threshold in runs["threshold"].dropna().unique():
        threshold = -threshold if loss else threshold
        # As data, so that the limits leave room around it.
        panel.update_datalim([(threshold, threshold)], updatex=across, updatey=not across)
        (panel.axvline if across else panel.axhline)(threshold, zorder=2, **REFERENCE)
    panel.autoscale_view()
    if loss:
        ticks.log_ticks(panel.yaxis)
    elif not across:
        ticks.shorten_ticks(panel.yaxis, 5)


def entries(shown: Mapping[str, Style]) -> list[tuple[Artist, str]]:
    """The legend's entries of labels."""
    return [(handle(style), label) for label, style in shown.items()]


def handle(style: Style) -> Artist:
    """The legend's sample of a style."""
    look: dict[str, Any] = dict(color=style.colour, linestyle=style.line, marker=style.marker)
    return Line2D([], [], **look, **_EDGE)


def threshold_entry(runs: pd.DataFrame) -> list[tuple[Artist, str]]:
    """The legend's entry of thresholds, where there are any."""
    return [(Line2D([], [], **REFERENCE), "threshold")] if runs["threshold"].notna().any() else []


STEPS = "environment steps"


def draw_means(
    panel: Axes,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    x: pd.Series,
    shown: Mapping[str, Style],
    replicates: int,
    y: pd.Series | None = None,
) -> bool:
    """Draws each label's mean with its band; returns whether single seeds are drawn as well.

    Args:
      panel: where to draw.
      curves: rows of the curves table.
      runs: those of the panel.
      x: the abscissa, aligned with the rows of `curves`.
      shown: all labels of the figure, in the order of its legend.
      replicates: of the bootstrap.
      y: the ordinate, likewise; the mean return unless it is given.
    """
    end, single = furthest_abscissa(curves, runs, x), False
    for place, (label, style) in enumerate(shown.items()):
        found = curves_of_runs(curves, runs[runs["label"] == label], x, y)
        offset = (place + 0.5) / len(shown)
        mean_and_band(panel, found, style, offset, replicates, label)
        single |= single_runs(panel, found, style, end)
    return single


def draw_medians(
    panel: Axes,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    x: pd.Series,
    shown: Mapping[str, Style],
    y: pd.Series,
) -> None:
    """Draws each label's runs and their median; the arguments are those of `means`."""
    for place, (label, style) in enumerate(shown.items()):
        found = curves_of_runs(curves, runs[runs["label"] == label], x, y)
        median_and_runs(panel, found, style, (place + 0.5) / len(shown), label)


def furthest_abscissa(curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series) -> float:
    """The largest x that these runs have reached."""
    return x[curves["run_id"].isin(runs["run_id"])].max()


def dress_abscissa(panel: Axes, end: float, name: str) -> None:
    """The x axis: from zero to `end`, where the furthest run is."""
    panel.set_xlim(0, end * 1.02 if end > 0 else 1)
    ticks.shorten_ticks(panel.xaxis, layout.fitting(panel, 4, 3))
    panel.set_xlabel(name)


def unit_of_time(longest: float) -> tuple[str, int]:
    """A unit for times up to this many seconds, and its seconds."""
    return ("s", 1) if not longest > 600 else ("min", 60) if longest <= 10_800 else ("h", 3600)
