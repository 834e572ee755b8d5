"""Panels of lines: each label's runs along an axis, and that axis."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from rl_es.analysis import alignment
from rl_es.analysis.drawing import marks, panels, ticks
from rl_es.analysis.drawing.palette import Style

STEPS = "environment steps"


def means(
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
    end, single = furthest(curves, runs, x), False
    for place, (label, style) in enumerate(shown.items()):
        found = alignment.of_runs(curves, runs[runs["label"] == label], x, y)
        offset = (place + 0.5) / len(shown)
        marks.mean_and_band(panel, found, style, offset, replicates, label)
        single |= marks.single_runs(panel, found, style, end)
    return single


def medians(
    panel: Axes,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    x: pd.Series,
    shown: Mapping[str, Style],
    y: pd.Series,
) -> None:
    """Draws each label's runs and their median; the arguments are those of `means`."""
    for place, (label, style) in enumerate(shown.items()):
        found = alignment.of_runs(curves, runs[runs["label"] == label], x, y)
        marks.median_and_runs(panel, found, style, (place + 0.5) / len(shown), label)


def furthest(curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series) -> float:
    """The largest x that these runs have reached."""
    return x[curves["run_id"].isin(runs["run_id"])].max()


def abscissa(panel: Axes, end: float, name: str) -> None:
    """The x axis: from zero to `end`, where the furthest run is."""
    panel.set_xlim(0, end * 1.02 if end > 0 else 1)
    ticks.shorten_ticks(panel.xaxis, panels.fitting(panel, 4, 3))
    panel.set_xlabel(name)


def unit_of_time(longest: float) -> tuple[str, int]:
    """A unit for times up to this many seconds, and its seconds."""
    return ("s", 1) if not longest > 600 else ("min", 60) if longest <= 10_800 else ("h", 3600)
