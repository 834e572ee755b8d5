"""Runs over several environments as one number: mean, median, interquartile mean, optimality gap.

All of R. Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
NeurIPS 2021 (section 4.3), of scores that are normalised, so that environments compare. Every
environment weighs the same in mean, median and optimality gap, whatever its number of runs; the
interquartile mean is of all runs pooled.

Axis letters: S runs (of all environments), K environments.

Performance profiles: which share of runs, or of environments, scores above a threshold.

The empirical tail distribution of scores, over all its range: it shows what any aggregate hides
(E. Dolan and J. More, "Benchmarking optimization software with performance profiles", Mathematical
Programming 91 (2002); with runs instead of environments, and bands: Agarwal et al. 2021, section
4.2). Every environment weighs the same.

Axis letters: S runs (of all environments), T thresholds, K environments.
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
    resamples,
    unbounded,
)

MANY_REPLICATES = 50_000  # of a scalar, where more than for a curve can be afforded
GAMMA = 1.0  # the score that is as good as can be asked for


@dataclass(frozen=True, eq=False)
class Scores:
    """The normalised scores of one label, by environment and then by seed.

    Attributes:
      values: [S] the scores.
      tasks: [S] the environment of each.
      seeds: [S] the seed of each.
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

    def of(self, task: str) -> "Scores":
        """The scores in one environment."""
        return self.within([task])

    def within(self, tasks: list[str]) -> "Scores":
        """The scores in some environments."""
        kept = np.isin(self.tasks, tasks)
        return Scores(self.values[kept], self.tasks[kept], self.seeds[kept])


def task_means(tasks: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """A function that replaces the axis of runs [S], sorted by environment, by means [K]."""
    _, starts, counts = np.unique(tasks, return_index=True, return_counts=True)

    def reduce(values: np.ndarray, axis: int) -> np.ndarray:
        summed = np.moveaxis(np.add.reduceat(values, starts, axis=axis), axis, -1)
        return np.moveaxis(summed / counts, -1, axis)

    return reduce


def mean(tasks: np.ndarray) -> Statistic:
    """The mean over environments of the mean over their runs."""
    means = task_means(tasks)
    return lambda values, axis: means(values, axis).mean(axis=axis)


def median(tasks: np.ndarray) -> Statistic:
    """The median over environments of the mean over their runs."""
    means = task_means(tasks)
    return lambda values, axis: np.median(means(values, axis), axis=axis)


def interquartile_mean(tasks: np.ndarray) -> Statistic:
    """The mean of the middle half of all runs: a quarter of them, rounded down, goes on each side.

    The median's robustness at close to the mean's efficiency.
    """
    cut = len(tasks) // 4
    kept = slice(cut, len(tasks) - cut)

    def statistic(values: np.ndarray, axis: int) -> np.ndarray:
        return np.moveaxis(np.sort(values, axis=axis), axis, 0)[kept].mean(axis=0)

    return statistic


def optimality_gap(tasks: np.ndarray) -> Statistic:
    """How much scores fall short of 1 on average, where more than 1 does not make up for less."""
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
    expanded: bool = True,
) -> Interval:
    """One of `AGGREGATES` over all runs, with its interval from a bootstrap within environments."""
    return bootstrap(
        scores.values,
        AGGREGATES[name](scores.tasks),
        scores.tasks,
        replicates=replicates,
        expanded=expanded,
    )


def aggregates(scores: Scores, *, replicates: int = MANY_REPLICATES) -> dict[str, Interval]:
    """All of `AGGREGATES`, by name."""
    return {name: aggregate(scores, name, replicates=replicates) for name in AGGREGATES}


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
    tail = expansion_tails(scores.values[:, None], scores.tasks, CONFIDENCE)
    low, high = percentiles(replicated.T, np.broadcast_to(tail, len(thresholds)))
    return Interval(estimate, low, high, n=len(scores.values))


def _above(means: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The share of means [..., K] above each of thresholds [T]: [..., T]."""
    return np.stack([(means > threshold).mean(axis=-1) for threshold in thresholds], axis=-1)
