"""Baselines: returns of other methods, which a sweep states, as lines with names in a panel.

A name stands at the end of its line, above or below it, where it lies on no other name and on least
of what is drawn besides. Its place is found before the figure has its final size, from estimates of
the panel's.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rl_es.analysis.drawing.layout import INK, panel_height, panel_width, text_inches

_BASELINE: dict[str, Any] = dict(color="#777777", linestyle=(0, (1, 1.5)), linewidth=0.7)
_NEAR = 0.5  # of the range of returns: the distance up to which a baseline is drawn
_NAME_SIZE, _NAME_GAP = 5.5, 1.5  # points: a baseline's name, and the space around it
_FRAME = 0.6  # inches of a panel's share that its title and its ticks take


def draw_baselines(
    panel: Axes, baselines: Mapping[str, float], across: bool = False
) -> set[tuple[str, float]]:
    """Draws baselines near the returns as thin lines with names; call it after `format_panel`.

    A baseline far from all returns would leave them little of the panel.

    Args:
      panel: The panel.
      baselines: Returns by name.
      across: True where returns are on the x axis instead of the y axis.

    Returns:
      The name and the return of the baselines that are too far away to be drawn.
    """
    low, high = panel.dataLim.intervalx if across else panel.dataLim.intervaly
    reach = _NEAR * (high - low)
    ordered = sorted(baselines.items(), key=lambda item: -item[1])
    near = {name: value for name, value in ordered if low - reach <= value <= high + reach}
    far = {*baselines.items()} - {*near.items()}
    if not near:
        return far
    figure = panel.get_figure()
    height = 0.0 if figure is None else figure.get_size_inches()[1]
    share = panel_width(panel) if across else panel_height(panel, height)
    length = max(high, *near.values()) - min(low, *near.values())
    scale = 72 * max(share - _FRAME, 0.3) / length if length > 0 else 1.0  # points a unit
    # As data, so that the limits leave room around it, and for the highest name.
    for edge in (min(near.values()), max(near.values()) + (_NAME_SIZE + _NAME_GAP) / scale):
        panel.update_datalim([(edge, edge)], updatex=across, updatey=not across)
    panel.autoscale_view()
    width = 72 * max(text_inches(name, _NAME_SIZE) for name in near) + 3 * _NAME_GAP
    columns = len(near) if across else 72 * max(panel_width(panel) - _FRAME, 0.3) / width
    marks = np.empty((0, 2)) if across else _points_of_lines(panel) * [columns, scale]
    for name, (column, side) in _place_names(near, scale, marks, int(columns)).items():
        _draw_line(panel, name, near[name], across, column * width, side)
    return far


def _draw_line(
    panel: Axes, name: str, value: float, across: bool, distance: float, side: int
) -> None:
    """Draws a line with its name, so many points from its end, above it (1) or below it (-1)."""
    along, beside = -_NAME_GAP - distance, side * 0.5
    look: dict[str, Any] = dict(textcoords="offset points", fontsize=_NAME_SIZE, color=INK)
    if across:
        panel.axvline(value, zorder=1.5, **_BASELINE)
        look |= dict(xy=(value, 1), xycoords=panel.get_xaxis_transform(), xytext=(beside, along))
        look |= dict(rotation=90, va="top", ha="left" if side > 0 else "right")
    else:
        panel.axhline(value, zorder=1.5, **_BASELINE)
        look |= dict(xy=(1, value), xycoords=panel.get_yaxis_transform(), xytext=(along, beside))
        look |= dict(ha="right", va="bottom" if side > 0 else "top")
    panel.annotate(name, **look)


def longest_baseline_name(baselines: Iterable[Mapping[str, float]]) -> float:
    """Returns the inches that the longest name needs along its line; 0 where there is none."""
    lengths = (text_inches(name, _NAME_SIZE) for of_env in baselines for name in of_env)
    return max((length + 2 * _NAME_GAP / 72 for length in lengths), default=0.0)


def _points_of_lines(panel: Axes) -> np.ndarray:
    """Returns points [L, 2] along the lines of a panel: share of its width from the right, y."""
    points = [np.empty((0, 2))]
    for line in panel.lines:
        data = np.column_stack([np.asarray(axis, float) for axis in line.get_data()])
        if line.get_transform() != panel.transData or not len(data):
            continue
        x = 1 - (panel.transData - panel.transAxes).transform(data)[:, 0]
        order, grid = np.argsort(x), np.linspace(0, 1, 101)
        between = np.interp(grid, x[order], data[order, 1], left=np.nan, right=np.nan)
        points += [np.column_stack([x, data[:, 1]]), np.column_stack([grid, between])]
    return np.concatenate(points)


def _place_names(
    values: Mapping[str, float], scale: float, marks: np.ndarray, columns: int
) -> dict[str, tuple[int, int]]:
    """Places names above or below their lines, where there is least else, beginning at their ends.

    Args:
      values: Where the lines are.
      scale: Points a unit.
      marks: [L, 2], the column and the height in points of what is drawn besides.
      columns: Number of columns; at least one is used.

    Returns:
      By name: the column, counted from the end of the lines, and 1 for above, -1 for below.
    """
    height, occupied, places = _NAME_SIZE + _NAME_GAP, list[tuple[int, float]](), {}
    marks_columns = np.floor(marks[:, 0])

    def measure_overlap(name: str, place: tuple[int, int]) -> tuple[int, int]:
        """Counts the names, and the marks, that a name would lie on."""
        column, middle = place[0], values[name] * scale + place[1] * height / 2
        names = sum(column == other and abs(middle - y) < height for other, y in occupied)
        is_near = np.abs(marks[:, 1] - middle) < 0.6 * height
        return names, int((is_near & (marks_columns == column)).sum())

    options = [(column, side) for column in range(max(columns, 1)) for side in (1, -1)]
    for name, value in values.items():
        column, side = min(options, key=functools.partial(measure_overlap, name))
        occupied.append((column, value * scale + side * height / 2))
        places[name] = (column, side)
    return places
