"""Performance profiles: which share of runs, or of environments, scores above a threshold.

The empirical tail distribution of scores, over all its range: it shows what any aggregate hides
(E. Dolan and J. More, "Benchmarking optimization software with performance profiles", Mathematical
Programming 91 (2002); with runs instead of environments, and bands: Agarwal et al. 2021, section
4.2). Every environment weighs the same.

Axis letters: S runs (of all environments), T thresholds, K environments.
"""

import numpy as np

from rl_es.analysis.statistics.aggregates import Scores, mean, task_means
from rl_es.analysis.statistics.expansion import tails
from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    REPLICATES,
    Interval,
    bootstrap,
    percentiles,
    resamples,
    unbounded,
)


def run_profile(
    scores: Scores, thresholds: np.ndarray, *, replicates: int = REPLICATES
) -> Interval:
    """The share of runs above each of thresholds [T], with pointwise bands [T]."""
    above = (scores.values[:, None] > thresholds).astype(float)  # [S, T]
    return bootstrap(above, mean(scores.tasks), scores.tasks, replicates=replicates)


def average_profile(
    scores: Scores, thresholds: np.ndarray, *, replicates: int = REPLICATES
) -> Interval:
    """The share of environments whose mean score is above each of thresholds [T], and bands [T].

    It asks how many environments are solved on average over their runs.
    """
    means = task_means(scores.tasks)
    _, counts = np.unique(scores.tasks, return_counts=True)
    estimate = _above(means(scores.values, 0), thresholds)
    if not len(counts) or counts.min() < 2:
        return unbounded(estimate, len(scores.values))
    drawn = scores.values[resamples(scores.tasks, replicates, seed=0)]  # [B, S]
    replicated = _above(means(drawn, 1), thresholds)  # [B, T]
    tail = tails(scores.values[:, None], scores.tasks, CONFIDENCE)
    low, high = percentiles(replicated.T, np.broadcast_to(tail, len(thresholds)))
    return Interval(estimate, low, high, n=len(scores.values))


def _above(means: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The share of means [..., K] above each of thresholds [T]: [..., T]."""
    return np.stack([(means > threshold).mean(axis=-1) for threshold in thresholds], axis=-1)
