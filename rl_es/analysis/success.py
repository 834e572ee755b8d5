"""Success against environment steps: the share of seeds that are at or above the threshold.

A seed counts from the evaluation that reaches the threshold to the one that falls below it. A run
that diverged is no success from then on, and counts among all; one that failed was not tried.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import curves as alignment
from rl_es.analysis import lines, marks, notes, panels
from rl_es.analysis.curves import Curve
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import REPLICATES, Interval, wilson

TRIED = ("finished", "running", "diverged")
PALE = 0.1  # bands of shares are wide, and lie on each other


def where(results: Results) -> list[str]:
    """The environments that have a threshold."""
    having = set(results.runs[results.runs["threshold"].notna()]["env"])
    return [env for env in results.environments if env in having]


def draw(results: Results, *, replicates: int = REPLICATES) -> Figure:
    """A row an environment: its return, and beside it the share of seeds that succeed.

    Instead of a return that spans decades below zero there is the loss, on a logarithmic axis.
    """
    curves, runs, shown = results.curves, results.runs, results.shown
    losses = [alignment.over_decades(curves[curves["env"] == env]) for env in results.environments]
    environments, steps, single = results.environments, curves["env_steps"], False
    with panels.paper():
        figure, rows = panels.rows([2] * len(environments), 2.6, 1.8)
        for env, loss, (left, right) in zip(environments, losses, rows, strict=True):
            here = runs[runs["env"] == env]
            value = -curves["return_mean"] if loss else None
            single |= lines.means(left, curves, here, steps, shown, replicates, value)
            marks.dress(left, env, here, loss=loss)
            left.set_ylabel("loss" if loss else "return")
            for place, (label, style) in enumerate(shown.items()):
                grid, share = shares(curves, here[here["label"] == label])
                offset = (place + 0.5) / len(shown)
                marks.band(right, grid, share, style, offset, label, PALE)
            _dress(right, env)
            for panel in (left, right):
                lines.abscissa(panel, lines.furthest(curves, here, steps), lines.STEPS)
        minus = " (loss: minus it)" if any(losses) else ""
        under = [
            *notes.on_bands(runs, replicates, single, notes.EVALUATED + minus),
            *notes.on_shares(),
            *notes.on_runs(curves, runs),
        ]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return panels.finish(figure, entries, under)


def _dress(panel: Axes, env: str) -> None:
    marks.title(panel, env)
    panel.set_ylim(-0.03, 1.03)
    panels.shorten_ticks(panel.yaxis, 5)
    panel.set_ylabel("success rate")


def shares(curves: pd.DataFrame, runs: pd.DataFrame) -> tuple[np.ndarray, Interval]:
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
