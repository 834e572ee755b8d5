"""The verdict on a difference between two sets of runs: better, worse, same, or cannot tell.

Of K comparisons made at once:

`better`, `worse`  the p-value, adjusted for K by Holm, is below 0.05, and the 95 % interval of the
                   difference does not contain 0;
`same`             with a margin: the interval lies within it, or above its lower end (no worse than
                   the margin: non-inferiority); without: every seed has the same value in both;
`cannot tell`      otherwise, and where the side that is ahead has lost more runs than the other
                   (diverged or failed), because what is left of it is then no fair sample.

A margin is the smallest effect that matters: a difference whose interval lies within it is `same`,
whatever its p-value. This is a claim about each comparison by itself, and is not adjusted.
"""

import math
from statistics import NormalDist

import numpy as np

from rl_es.analysis.statistics import CONFIDENCE, Interval, seeds_to_tell

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "same", "cannot tell"
VERDICTS = (BETTER, WORSE, SAME, UNKNOWN)
LEVEL = 1 - CONFIDENCE


def verdict(
    found: Interval,
    p: float,
    *,
    margin: float = math.nan,
    equal: bool = False,
    lost: tuple[int, int] = (0, 0),
) -> str:
    """One of `VERDICTS`.

    Args:
      found: how much the second is better than the first, with its interval.
      p: that there is no difference, adjusted.
      margin: the smallest effect that matters, in the same unit; NaN for none.
      equal: whether every seed has the same value in both.
      lost: runs of the first and of the second that have no value.
    """
    low, high = float(found.low), float(found.high)
    first, second = lost
    ahead = second <= first
    if equal or (-margin < low and high < margin):
        return SAME if first == second else UNKNOWN
    if p < LEVEL and low > 0:
        return BETTER if ahead else UNKNOWN
    if p < LEVEL and high < 0:
        return WORSE if first <= second else UNKNOWN
    return SAME if low > -margin and ahead else UNKNOWN


def seeds_needed(found: Interval, seeds: int, comparisons: int) -> int | None:
    """How many seeds would show the difference, if it is what it seems, with a power of 0.8.

    At the level that Bonferroni's correction leaves to each of the comparisons. It is always more
    than there are; None without a difference or an interval.
    """
    share = LEVEL / max(comparisons, 1)
    z = NormalDist()
    wider = z.inv_cdf(1 - share / 2) / z.inv_cdf(1 - LEVEL / 2)
    bounds = (found.estimate + wider * (end - found.estimate) for end in (found.low, found.high))
    needed = seeds_to_tell(Interval(found.estimate, *bounds, found.n), seeds, 1 - share)
    return None if needed is None else max(needed, seeds + 1)


def scaled(found: Interval, factor: float) -> Interval:
    """An interval in another unit; a negative factor swaps its bounds."""
    ends = np.sort([found.low * factor, found.high * factor])
    return Interval(found.estimate * factor, ends[0], ends[1], found.n)
