"""How much better one label scores than another, and how many seeds it takes to show it.

Where both ran the same seeds, these are drawn together in each replicate, so that what the runs of
a seed have in common drops out of the difference.

Axis letters: S runs (of all environments), B replicates.
"""

import math
from statistics import NormalDist

import numpy as np

from rl_es.analysis.statistics.aggregates import AGGREGATES, MANY_REPLICATES, Scores
from rl_es.analysis.statistics.expansion import tails
from rl_es.analysis.statistics.improvement import are_paired, common
from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    Interval,
    nothing,
    percentiles,
    resamples,
    unbounded,
)

POWER = 0.8  # the probability of telling a difference that is there


def difference(
    first: Scores,
    second: Scores,
    name: str = "mean",
    *,
    replicates: int = MANY_REPLICATES,
) -> Interval:
    """One of `AGGREGATES` of `first` less that of `second`, over the environments that both have.

    Returns:
      An `Interval` of scalars, n being the runs of `first` that enter. NaN where there is nothing
      to compare; without bounds where an environment has a single run of either.
    """
    tasks = common(first, second)
    x, y = first.within(tasks), second.within(tasks)
    if not tasks:
        return nothing()
    of_x, of_y = AGGREGATES[name](x.tasks), AGGREGATES[name](y.tasks)
    estimate = np.asarray(of_x(x.values, axis=0) - of_y(y.values, axis=0))
    if min(_fewest(x), _fewest(y)) < 2:
        return unbounded(estimate, len(x.values))
    drawn = resamples(x.tasks, replicates, seed=0)
    if are_paired(x, y):
        others, tail = drawn, tails((x.values - y.values)[:, None], x.tasks, CONFIDENCE)
    else:
        others = resamples(y.tasks, replicates, seed=1)
        values = np.concatenate([x.values, y.values])
        groups = [f"{side} {task}" for side, of in (("x", x), ("y", y)) for task in of.tasks]
        tail = tails(values[:, None], np.array(groups), CONFIDENCE)
    replicated = of_x(x.values[drawn], axis=1) - of_y(y.values[others], axis=1)
    (low,), (high,) = percentiles(replicated[None], tail)
    return Interval(estimate, low, high, n=len(x.values))


def _fewest(scores: Scores) -> int:
    return int(np.unique(scores.tasks, return_counts=True)[1].min())


def seeds_to_tell(found: Interval, seeds: int, confidence: float = CONFIDENCE) -> int | None:
    """How many seeds would show a difference of this size with a power of 0.8.

    By normal theory, from the width of the interval at the number of seeds that it rests on.

    Args:
      found: the difference and its interval.
      seeds: of each label and environment.
      confidence: of the interval.

    Returns:
      The number, at least two; None where there is no difference or no interval to go by.
    """
    z = NormalDist()
    reach = z.inv_cdf((1 + confidence) / 2)
    error = float(found.high - found.low) / (2 * reach)
    estimate = float(found.estimate)
    if not (math.isfinite(error) and math.isfinite(estimate)) or estimate == 0:
        return None
    return max(2, math.ceil(seeds * ((reach + z.inv_cdf(POWER)) * error / estimate) ** 2))
