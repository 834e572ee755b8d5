"""Steps or seconds to a threshold, where some runs never reach it.

A run that ended without reaching the threshold is censored: all that is known is that it needs
longer than the run lasted. The estimator is that of E. L. Kaplan and P. Meier, "Nonparametric
estimation from incomplete observations", Journal of the American Statistical Association 53 (1958),
457-481.

Axis letters: S runs, T times, B replicates.
"""

from dataclasses import dataclass

import numpy as np

from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    REPLICATES,
    Interval,
    empty_interval,
    resample_indices,
    unbounded_interval,
)


@dataclass(frozen=True, eq=False)
class ThresholdTimes:
    """The times at which runs reached a threshold, or ended before they did.

    Attributes:
      times: [S] steps or seconds until the threshold, or until the end of a censored run.
      is_reached: [S] bool, False for a censored run.
    """

    times: np.ndarray
    is_reached: np.ndarray


def kaplan_meier(runs: ThresholdTimes) -> tuple[np.ndarray, np.ndarray]:
    """Estimates the share of runs that have reached the threshold, as a step function of time.

    Returns:
      Times [T], increasing, and the shares [T] that hold from each on; empty where no run reached
      the threshold.
    """
    times = np.unique(runs.times[runs.is_reached])
    return times, _shares(runs, times, np.ones((1, len(runs.times))))[0]


def _shares(runs: ThresholdTimes, times: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the share [B, T] at each of times [T], where run s counts `counts[b, s]` times."""
    at_risk = counts @ (runs.times[:, None] >= times)
    arrivals = counts @ ((runs.times[:, None] == times) & runs.is_reached[:, None])
    return 1 - np.cumprod(1 - arrivals / np.maximum(at_risk, 1), axis=1)


def median_time(runs: ThresholdTimes, *, replicates: int = REPLICATES) -> Interval:
    """Estimates the time by which half of the runs have reached the threshold.

    The estimate is infinite where fewer than half ever do, and so may its bounds be. The bounds of
    its 95 % interval are times at which a run arrived, between plain percentiles: a median of few
    runs takes few values, and percentiles further out would be the extremes.
    """
    n = len(runs.times)
    if n == 0:
        return empty_interval()
    times = np.unique(runs.times[runs.is_reached])
    estimate = _medians(runs, times, np.ones((1, n)))[0]
    if n < 2:
        return unbounded_interval(estimate, n)
    indices = resample_indices(np.zeros(n), replicates, seed=0)
    counts = np.stack([(indices == run).sum(axis=1) for run in range(n)], axis=1)  # [B, S]
    medians = np.sort(_medians(runs, times, counts))
    tail = (1 - CONFIDENCE) / 2
    low, high = (medians[round(share * (replicates - 1))] for share in (tail, 1 - tail))
    return Interval(estimate, low, high, n=n)


def _medians(runs: ThresholdTimes, times: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the first of times [T] by which half have arrived [B]; infinite where none is."""
    half_arrived = _shares(runs, times, counts) >= 0.5 - 1e-12
    never = np.full((len(counts), 1), True)
    first = np.concatenate([half_arrived, never], axis=1).argmax(axis=1)
    return np.append(times.astype(float), np.inf)[first]
