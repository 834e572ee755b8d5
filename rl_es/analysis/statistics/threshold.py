"""Steps or seconds to a threshold, where some runs never reach it.

A run that ended without reaching the threshold is censored: all that is known is that it takes
longer than the run was. E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete
observations", Journal of the American Statistical Association 53 (1958), 457-481.

Axis letters: S runs, T times, B replicates.
"""

from dataclasses import dataclass

import numpy as np

from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    REPLICATES,
    Interval,
    nothing,
    resamples,
    unbounded,
)


@dataclass(frozen=True, eq=False)
class Reaching:
    """When runs reached a threshold, or ended before they did.

    Attributes:
      times: [S] steps or seconds until the threshold, or until the end of a run that is censored.
      reached: [S] bool.
    """

    times: np.ndarray
    reached: np.ndarray


def share_reached(runs: Reaching) -> tuple[np.ndarray, np.ndarray]:
    """The share that has reached the threshold by each time [T] at which one did: a step function.

    Returns:
      Times [T], increasing, and shares [T] that hold from each on; empty where none reached it.
    """
    times = np.unique(runs.times[runs.reached])
    return times, _shares(runs, times, np.ones((1, len(runs.times))))[0]


def _shares(runs: Reaching, times: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[B, T] the share at each of times [T], where run s counts `counts[b, s]` times."""
    at_risk = counts @ (runs.times[:, None] >= times)
    arrived = counts @ ((runs.times[:, None] == times) & runs.reached[:, None])
    return 1 - np.cumprod(1 - arrived / np.maximum(at_risk, 1), axis=1)


def median_time(runs: Reaching, *, replicates: int = REPLICATES) -> Interval:
    """The time by which half of the runs have reached the threshold, with its 95 % interval.

    It is infinite where fewer than half ever do, and so may its bounds be.
    Bounds are times at which a run arrived, between plain percentiles: a median of few runs takes
    few values, and percentiles further out would be the extremes.
    """
    n = len(runs.times)
    if n == 0:
        return nothing()
    times = np.unique(runs.times[runs.reached])
    estimate = _medians(runs, times, np.ones((1, n)))[0]
    if n < 2:
        return unbounded(estimate, n)
    drawn = resamples(np.zeros(n), replicates, seed=0)
    counts = np.stack([(drawn == run).sum(axis=1) for run in range(n)], axis=1)  # [B, S]
    medians = np.sort(_medians(runs, times, counts))
    tail = (1 - CONFIDENCE) / 2
    low, high = (medians[round(share * (replicates - 1))] for share in (tail, 1 - tail))
    return Interval(estimate, low, high, n=n)


def _medians(runs: Reaching, times: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[B] the first of times [T] by which half have arrived; infinite where there is none."""
    there = _shares(runs, times, counts) >= 0.5 - 1e-12
    never = np.full((len(counts), 1), True)
    first = np.concatenate([there, never], axis=1).argmax(axis=1)
    return np.append(times.astype(float), np.inf)[first]
