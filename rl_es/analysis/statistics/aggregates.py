"""Aggregates of normalised scores over several environments, and performance profiles.

Mean, median, interquartile mean and optimality gap are those of R. Agarwal et al., "Deep
Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021 (section 4.3). Scores
are normalised, so that environments compare. Every environment weighs the same in mean, median and
optimality gap, whatever its number of runs; the interquartile mean is of all runs pooled.

A performance profile is the share of runs, or of environments, that score above each threshold: the
empirical tail distribution of scores. It shows what any aggregate hides (E. Dolan and J. More,
"Benchmarking optimization software with performance profiles", Mathematical Programming 91 (2002);
with runs instead of environments, and with bands: Agarwal et al. 2021, section 4.2). Every
environment weighs the same.

Axis letters: S runs (of all environments), B replicates, T thresholds, K environments.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    REPLICATES,
    Interval,
    Statistic,
    bootstrap,
    expansion_tails,
    percentiles,
    resample_indices,
    unbounded_interval,
)

MANY_REPLICATES = 50_000  # for a scalar, which can afford more than a curve
GAMMA = 1.0  # the score beyond which the optimality gap does not reward


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one label's runs, sorted by environment and then by seed.

    Attributes:
      values: [S] scores.
      tasks: [S] environment of each run.
      seeds: [S] seed of each run.
    """

    values: np.ndarray
    tasks: np.ndarray
    seeds: np.ndarray

    def __post_init__(self):
        """Sorts the runs by environment and seed."""
        order = np.lexsort((self.seeds, self.tasks))
        for name in ("values", "tasks", "seeds"):
            object.__setattr__(self, name, np.asarray(getattr(self, name))[order])

    @property
    def names(self) -> list[str]:
        """The environments, sorted."""
        return [str(name) for name in np.unique(self.tasks)]

    def in_task(self, task: str) -> "Scores":
        """Returns the scores in one environment."""
        return self.within([task])

    def within(self, tasks: list[str]) -> "Scores":
        """Returns the scores in some environments."""
        selection = np.isin(self.tasks, tasks)
        return Scores(self.values[selection], self.tasks[selection], self.seeds[selection])


def task_means(tasks: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """Returns a function that reduces the axis of runs [S], sorted by environment, to means [K]."""
    _, starts, counts = np.unique(tasks, return_index=True, return_counts=True)

    def reduce(values: np.ndarray, axis: int) -> np.ndarray:
        sums = np.moveaxis(np.add.reduceat(values, starts, axis=axis), axis, -1)
        return np.moveaxis(sums / counts, -1, axis)

    return reduce


def mean(tasks: np.ndarray) -> Statistic:
    """Returns the statistic: mean over environments of the mean over their runs."""
    means = task_means(tasks)
    return lambda values, axis: means(values, axis).mean(axis=axis)


def median(tasks: np.ndarray) -> Statistic:
    """Returns the statistic: median over environments of the mean over their runs."""
    means = task_means(tasks)
    return lambda values, axis: np.median(means(values, axis), axis=axis)


def interquartile_mean(tasks: np.ndarray) -> Statistic:
    """Returns the statistic: mean of the middle half of all runs.

    A quarter of the runs, rounded down, is left out on each side. It has the median's robustness at
    close to the mean's efficiency.
    """
    cut = len(tasks) // 4
    middle = slice(cut, len(tasks) - cut)

    def statistic(values: np.ndarray, axis: int) -> np.ndarray:
        return np.moveaxis(np.sort(values, axis=axis), axis, 0)[middle].mean(axis=0)

    return statistic


def optimality_gap(tasks: np.ndarray) -> Statistic:
    """Returns the statistic: mean distance of scores below 1.

    A score above 1 does not make up for one below it.
    """
    means = task_means(tasks)
    return lambda values, axis: GAMMA - means(np.minimum(values, GAMMA), axis).mean(axis=axis)


AGGREGATES: dict[str, Callable[[np.ndarray], Statistic]] = {
    "mean": mean,
    "median": median,
    "interquartile_mean": interquartile_mean,
    "optimality_gap": optimality_gap,
}


def aggregate(
    scores: Scores,
    name: str = "interquartile_mean",
    *,
    replicates: int = MANY_REPLICATES,
    expand: bool = True,
) -> Interval:
    """Computes one of `AGGREGATES` over all runs, with a bootstrap within environments."""
    return bootstrap(
        scores.values,
        AGGREGATES[name](scores.tasks),
        scores.tasks,
        replicates=replicates,
        expand=expand,
    )


def aggregate_all(scores: Scores, *, replicates: int = MANY_REPLICATES) -> dict[str, Interval]:
    """Computes all of `AGGREGATES`, by name."""
    return {name: aggregate(scores, name, replicates=replicates) for name in AGGREGATES}


def run_profile(
    scores: Scores, thresholds: np.ndarray, *, replicates: int = REPLICATES
) -> Interval:
    """Computes the share of runs above each of thresholds [T], with pointwise bands [T]."""
    above = (scores.values[:, None] > thresholds).astype(float)  # [S, T]
    return bootstrap(above, mean(scores.tasks), scores.tasks, replicates=replicates)


def average_profile(
    scores: Scores, thresholds: np.ndarray, *, replicates: int = REPLICATES
) -> Interval:
    """Computes the share of environments with a mean score above each of thresholds [T].

    It tells how many environments are solved on average over their runs. The bands [T] are
    pointwise.
    """
    means = task_means(scores.tasks)
    _, counts = np.unique(scores.tasks, return_counts=True)
    estimate = _share_above(means(scores.values, 0), thresholds)
    if not len(counts) or counts.min() < 2:
        return unbounded_interval(estimate, len(scores.values))
    samples = scores.values[resample_indices(scores.tasks, replicates, seed=0)]  # [B, S]
    replicate_shares = _share_above(means(samples, 1), thresholds)  # [B, T]
    tail = expansion_tails(scores.values[:, None], scores.tasks, CONFIDENCE)
    low, high = percentiles(replicate_shares.T, np.broadcast_to(tail, len(thresholds)))
    return Interval(estimate, low, high, n=len(scores.values))


def _share_above(means: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Returns the share of means [..., K] above each of thresholds [T]: [..., T]."""
    return np.stack([(means > threshold).mean(axis=-1) for threshold in thresholds], axis=-1)
