"""Success: the share of seeds that are at or above the threshold.

A seed is a success from an evaluation at or above the threshold until one below it. A run that
diverged is none from its end on, but is among the seeds; one that failed is left out.
"""

import numpy as np
import pandas as pd

from rl_es.analysis import alignment
from rl_es.analysis.alignment import Curve
from rl_es.analysis.statistics import Interval, wilson

TRIED = ("finished", "running", "diverged")


def along(curves: pd.DataFrame, runs: pd.DataFrame) -> tuple[np.ndarray, Interval]:
    """The share of some runs that are at or above their threshold, along environment steps.

    Args:
      curves: rows of the curves table.
      runs: the runs of one label in one environment.

    Returns:
      Environment steps [T] that all counted runs cover, and the `Interval` of arrays [T].
    """
    tried = runs[runs["status"].isin(TRIED)]
    found = alignment.of_runs(curves, tried, curves["env_steps"])
    threshold = float(runs["threshold"].max())
    grid, _ = alignment.align(alignment.counted(found) or found)
    successes = sum((_succeeds(curve, threshold, grid) for curve in found), np.zeros(grid.size))
    return grid, wilson(successes, len(tried))


def _succeeds(curve: Curve, threshold: float, grid: np.ndarray) -> np.ndarray:
    """[T] 1 where the last evaluation is at or above the threshold, 0 elsewhere and once lost."""
    lasts = curve.status in alignment.COUNTED
    there = (grid <= curve.x[-1]) | lasts
    return ((alignment.held(curve, grid) >= threshold) & there).astype(float)


def final(runs: pd.DataFrame) -> Interval:
    """The share of some runs of one label and environment that end at or above the threshold.

    Args:
      runs: rows of the runs table, with the last finite return as `final`.
    """
    tried = runs[runs["status"].isin(TRIED)]
    lasts = tried["status"].isin(alignment.COUNTED)
    successes = int(((tried["final"] >= tried["threshold"]) & lasts).sum())
    return wilson(np.asarray(successes), len(tried))
