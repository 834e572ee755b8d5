"""Whether a difference can be told from none: p-values of means, and of any statistic's interval.

The means of few runs are compared by Student's test of the differences where seeds pair, else by
Welch's (B. L. Welch, "The generalization of Student's problem when several different population
variances are involved", Biometrika 34 (1947), 28-35), which C. Colas et al. find the best kept of
the common tests on returns ("A Hitchhiker's Guide to Statistical Comparisons of Reinforcement
Learning Algorithms", 2019). A permutation of paired labels has no p below 2^(1 - n) for n seeds: at
five it never tells, and at ten not once it is adjusted for 30 comparisons.

Axis letters: S runs.
"""

import math
from statistics import NormalDist

import numpy as np

from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.improvement import are_paired, holm
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval


def student_p(first: Scores, second: Scores) -> float:
    """Of the hypothesis that two labels have the same mean in one environment; two-sided.

    Paired where both ran the same seeds. NaN where either has a single run, or none; without any
    spread 0 where the means differ and 1 where they are equal.
    """
    from scipy.special import stdtr  # scipy.stats would take seconds to import

    x, y = first.values, second.values
    if min(len(x), len(y)) < 2:
        return math.nan
    if are_paired(first, second):
        parts = [(x - y).var(ddof=1) / len(x)]
        degrees = [len(x) - 1]
    else:
        parts = [x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)]
        degrees = [len(x) - 1, len(y) - 1]
    apart, variance = abs(float(x.mean() - y.mean())), float(sum(parts))
    rounding = 1e-12 * float(np.abs(np.concatenate([x, y])).max())
    if math.sqrt(variance) <= rounding:
        return float(apart <= rounding)
    of = sum(part**2 / degree for part, degree in zip(parts, degrees, strict=True))
    freedom = float(variance**2 / of)
    return float(2 * stdtr(freedom, -apart / math.sqrt(variance)))


def interval_p(found: Interval, confidence: float = CONFIDENCE) -> float:
    """The p-value of the hypothesis that an estimate is 0, by normal theory from its interval.

    For statistics that have no test of their own. NaN without an interval.
    """
    estimate, width = float(found.estimate), float(found.high - found.low)
    if not math.isfinite(estimate + width):
        return math.nan
    if width <= 0:
        return float(estimate == 0)
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    return 2 * NormalDist().cdf(-abs(estimate) * 2 * reach / width)


def adjusted(p: np.ndarray) -> np.ndarray:
    """Holm's adjustment of p-values [K] of which some may be NaN: these are no tests."""
    known = np.isfinite(p)
    out = np.full(len(p), np.nan)
    out[known] = holm(p[known])
    return out
