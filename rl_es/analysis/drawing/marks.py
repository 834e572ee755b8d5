"""The contents of a panel: means with bands, medians, single seeds, bars with dots, thresholds.

Panels of lines have each label's runs along an axis. Ticks of axes are few, round, and written
short.

Axis letters: T points of a curve.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from rl_es.analysis.curves import COUNTED_STATUSES, Curve, align, counted_curves, curves_of_runs
from rl_es.analysis.drawing.layout import INK, count_fitting, legend_label
from rl_es.analysis.formatting import format_tick
from rl_es.analysis.statistics import Interval, bootstrap
from rl_es.config import Style

STEPS_LABEL = "environment steps"
REFERENCE_LINE: dict[str, Any] = dict(color="#555555", linestyle=(0, (4, 3)), linewidth=0.7)
_MIN_TAIL = 0.1  # the share of an axis below which a single seed's remainder has no line
_EDGE: dict[str, Any] = dict(markeredgecolor="white", markeredgewidth=0.4)
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw_means(
    panel: Axes,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    x: pd.Series,
    legend: Mapping[str, Style],
    replicates: int,
    y: pd.Series | None = None,
) -> bool:
    """Draws each label's mean with its band, and single seeds beyond it.

    Args:
      panel: The panel.
      curves: Rows of the curves table.
      runs: Runs of the panel.
      x: Abscissa, aligned with the rows of `curves`.
      legend: Styles of all labels of the figure, in the order of its legend.
      replicates: Replicates of the bootstrap.
      y: Ordinate, likewise; None for the mean return.

    Returns:
      True if single seeds are drawn as well.
    """
    end, single = largest_x(curves, runs, x), False
    for index, (label, style) in enumerate(legend.items()):
        run_curves = curves_of_runs(curves, runs[runs["label"] == label], x, y)
        draw_mean(panel, run_curves, style, (index + 0.5) / len(legend), replicates, label)
        single |= draw_single_runs(panel, run_curves, style, end)
    return single


def draw_mean(
    panel: Axes, curves: list[Curve], style: Style, offset: float, replicates: int, label: str
) -> None:
    """Draws the mean over counted seeds and its interval; `offset` in [0, 1) moves the markers."""
    grid, returns = align(counted_curves(curves))
    if grid.size:
        draw_band(panel, grid, bootstrap(returns, replicates=replicates), style, offset, label)


def draw_band(
    panel: Axes,
    x: np.ndarray,
    interval: Interval,
    style: Style,
    offset: float,
    label: str,
    alpha: float = 0.18,
) -> None:
    """Draws estimates [T] over x [T] as a line, and their interval around it."""
    low, high = interval.low, interval.high
    panel.fill_between(x, low, high, color=style.colour, alpha=alpha, linewidth=0)
    draw_line(panel, x, interval.estimate, style, offset, label)


def draw_line(
    panel: Axes, x: np.ndarray, y: np.ndarray, style: Style, offset: float, label: str
) -> None:
    """Draws a label's line, with markers along it that start at each label's own offset."""
    panel.plot(
        x,
        y,
        color=style.colour,
        linestyle=style.linestyle,
        marker=style.marker,
        # The offset keeps markers apart where lines lie on each other.
        markevery=(0.04 + 0.2 * offset, 0.24) if x.size > 1 else None,
        zorder=3,
        label=legend_label(label),
        **_EDGE,
    )


def draw_single_runs(panel: Axes, curves: list[Curve], style: Style, end: float) -> bool:
    """Draws single seeds where they are in no mean, or beyond the range that all of them cover.

    Args:
      panel: The panel.
      curves: The curves of a label's runs.
      style: The label's style.
      end: The largest x of the panel.

    Returns:
      True if any are drawn.
    """
    common_end = min((curve.x[-1] for curve in counted_curves(curves)), default=-np.inf)
    single = False
    for curve in curves:
        is_lost = curve.status not in COUNTED_STATUSES
        tail = int(np.searchsorted(curve.x, common_end, "right")) - 1
        beyond = slice(None) if is_lost else slice(tail, None)
        x, y = curve.x[beyond], curve.y[beyond]
        if not is_lost and x[-1] - common_end <= _MIN_TAIL * end:
            continue
        single = True
        panel.plot(x, y, color=style.colour, linewidth=0.5, alpha=0.8, linestyle=style.linestyle)
        if is_lost:
            _draw_cross(panel, curve, style)
    return single


def draw_medians(
    panel: Axes,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    x: pd.Series,
    legend: Mapping[str, Style],
    y: pd.Series,
) -> None:
    """Draws each label's median, its runs as thin lines, and a cross where a lost one ends.

    The arguments are those of `draw_means`.
    """
    for index, (label, style) in enumerate(legend.items()):
        run_curves = curves_of_runs(curves, runs[runs["label"] == label], x, y)
        for curve in run_curves:
            panel.plot(curve.x, curve.y, color=style.colour, linewidth=0.5, alpha=0.5)
            if curve.status not in COUNTED_STATUSES:
                _draw_cross(panel, curve, style)
        grid, values = align(counted_curves(run_curves))
        if grid.size:
            offset = (index + 0.5) / len(legend)
            draw_line(panel, grid, np.median(values, axis=0), style, offset, label)


def _draw_cross(panel: Axes, curve: Curve, style: Style) -> None:
    """Marks the end of a lost run."""
    end = curve.x[-1:], curve.y[-1:]
    panel.plot(*end, color=style.colour, marker="x", markersize=4, zorder=4)


def draw_bar(panel: Axes, row: int, runs: pd.DataFrame, style: Style, replicates: int) -> None:
    """Draws a bar for the mean of `final`, its interval, a dot per seed, a cross per lost seed."""
    finite = runs[np.isfinite(runs["final"])].sort_values(["seed", "run_id"])
    is_counted = finite["status"].isin(COUNTED_STATUSES)
    means = finite[is_counted]["final"].to_numpy(float)
    lost_returns = finite[~is_counted]["final"].to_numpy(float)
    draw_interval_bar(panel, row, bootstrap(means, replicates=replicates), style)
    panel.plot(means, _spread(row, len(means)), "o", color=style.colour, zorder=5, ms=2.8, **_EDGE)
    heights = _spread(row, len(lost_returns))
    panel.plot(lost_returns, heights, "x", color=style.colour, zorder=5, ms=3.5)


def _spread(row: int, count: int) -> np.ndarray:
    """Returns heights [count] within a bar: dots of equal returns stand above each other."""
    return row + (np.linspace(-0.22, 0.22, count) if count > 1 else np.zeros(count))


def draw_interval_bar(
    panel: Axes, row: float, interval: Interval, style: Style, start: float = 0.0
) -> None:
    """Draws a bar from `start` to an estimate, with its interval, or a note where there is none."""
    if not np.isfinite(interval.estimate):
        write_row_note(panel, row)
        return
    length = interval.estimate - start
    panel.barh(row, length, 0.7, left=start, color=style.colour, alpha=0.35, linewidth=0)
    ink: dict[str, Any] = dict(color=INK, zorder=4)
    panel.plot([interval.low, interval.high], [row, row], linewidth=1.3, **ink)
    panel.plot([interval.estimate], [row], marker="|", markersize=6, **ink)


def draw_interval_dot(panel: Axes, row: float, interval: Interval, style: Style) -> None:
    """Draws an estimate as a dot, and its interval as a line."""
    line: dict[str, Any] = dict(color=style.colour, linewidth=1.3, solid_capstyle="butt")
    panel.plot([interval.low, interval.high], [row, row], zorder=3, **line)
    panel.plot([interval.estimate], [row], style.marker, color=style.colour, zorder=4, **_EDGE)


def write_row_note(panel: Axes, row: float, text: str = "no result") -> None:
    """Writes small text at the start of a row that has no mark."""
    transform = panel.get_yaxis_transform()
    panel.text(0.02, row, text, transform=transform, va="center", fontsize=6, color="#666666")


def highlight_panel(panel: Axes) -> None:
    """Marks the panel of a total among those of single environments."""
    panel.set_facecolor("#f3f3f0")
    panel.title.set_fontweight("bold")


def format_panel(
    panel: Axes, title: str, runs: pd.DataFrame, across: bool = False, loss: bool = False
) -> None:
    """Sets the title and the limits, and draws the thresholds; call it after all else is drawn.

    Args:
      panel: The panel.
      title: Its environment.
      runs: The runs whose thresholds are drawn.
      across: True where returns are on the x axis instead of the y axis.
      loss: True where y is minus the return, on a logarithmic axis; values at or below zero are
        cut.
    """
    panel.set_title(title)
    if loss:
        panel.set_yscale("log", nonpositive="clip")
    for threshold in runs["threshold"].dropna().unique():
        threshold = -threshold if loss else threshold
        # As data, so that the limits leave room around it.
        panel.update_datalim([(threshold, threshold)], updatex=across, updatey=not across)
        (panel.axvline if across else panel.axhline)(threshold, zorder=2, **REFERENCE_LINE)
    panel.autoscale_view()
    if loss:
        set_log_ticks(panel.yaxis)
    elif not across:
        set_short_ticks(panel.yaxis, 5)


def format_x_axis(panel: Axes, end: float, label: str, log: bool = False) -> None:
    """Sets the x axis from zero to `end`, where the furthest run is; log: from the first x > 0."""
    panel.set_xlabel(label)
    first = min((x for line in panel.lines for x in np.ravel(line.get_xdata()) if x > 0), default=0)
    if log and 0 < first < end:
        panel.set_xscale("log", nonpositive="mask")  # else a line from zero is drawn, to the first
        panel.set_xlim(first / 1.1, end * 1.1)
        set_log_ticks(panel.xaxis, count_fitting(panel, 7, 4))
        return
    panel.set_xlim(0, end * 1.02 if end > 0 else 1)
    set_short_ticks(panel.xaxis, count_fitting(panel, 4, 3))


def largest_x(curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series) -> float:
    """Returns the largest x that these runs have reached."""
    return x[curves["run_id"].isin(runs["run_id"])].max()


def time_unit(longest: float) -> tuple[str, int]:
    """Returns a unit for times up to `longest` seconds, and its seconds."""
    return ("s", 1) if not longest > 600 else ("min", 60) if longest <= 10_800 else ("h", 3600)


def legend_entries(legend: Mapping[str, Style]) -> list[tuple[Artist, str]]:
    """Returns the legend's entries of labels."""
    return [(legend_handle(style), label) for label, style in legend.items()]


def legend_handle(style: Style) -> Artist:
    """Returns the legend's sample of a style."""
    look: dict[str, Any] = dict(color=style.colour, linestyle=style.linestyle, marker=style.marker)
    return Line2D([], [], **look, **_EDGE)


def threshold_entries(runs: pd.DataFrame) -> list[tuple[Artist, str]]:
    """Returns the legend's entry of thresholds, where there are any."""
    if not runs["threshold"].notna().any():
        return []
    return [(Line2D([], [], **REFERENCE_LINE), "threshold")]


def set_short_ticks(axis: Axis, count: int) -> None:
    """Sets at most `count` ticks, written short, all in one unit."""
    axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]))

    def label(value: float, _: int) -> str:
        return format_tick(value, max(map(abs, axis.get_view_interval())))

    axis.set_major_formatter(FuncFormatter(label))


def set_log_ticks(axis: Axis, count: int = 7) -> None:
    """Sets ticks of a logarithmic axis with set limits: powers of ten from three decades on."""
    low, high = sorted(axis.get_view_interval())
    axis.set_minor_locator(NullLocator())
    if math.log10(high / low) >= 3:
        axis.set_major_locator(LogLocator(numticks=count))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _format_power(value)))
        return
    axis.set_major_locator(FixedLocator(_round_numbers(low, high, count)))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: format_tick(float(f"{value:.4g}"), value))
    )


def set_log2_ticks(panel: Axes, values: Sequence[float], names: Sequence[str] = ()) -> None:
    """Makes x a logarithmic axis with a tick at each value, labelled by `names` or its number."""
    panel.set_xscale("log", base=2)
    panel.set_xticks(values, names or [f"{value:g}" for value in values])
    panel.xaxis.set_minor_locator(NullLocator())


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """Returns at most `most` round numbers in [low, high], of the coarsest set that has three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers: list[float] = []
    for multiples in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        (*(n / 10 for n in range(10, 100)),),
    ):
        inside = [multiple * 10.0**power for power in powers for multiple in multiples]
        inside = [number for number in inside if low <= number <= high]
        if len(inside) > most:
            return numbers if len(numbers) > 1 else [inside[0], inside[-1]]
        numbers = inside
        if len(numbers) >= 3:
            return numbers
    return numbers


def _format_power(number: float) -> str:
    """Formats a power of ten in superscript digits, without markup."""
    return "10" + str(round(math.log10(number))).translate(_SUPERSCRIPT)
