"""Whether there is a difference: p-values of means, and of any statistic by its interval.

The means of few runs are compared by Student's test of the differences where seeds pair, else by
Welch's (B. L. Welch, "The generalization of Student's problem when several different population
variances are involved", Biometrika 34 (1947), 28-35), which C. Colas et al. find the best kept of
the common tests on returns ("A Hitchhiker's Guide to Statistical Comparisons of Reinforcement
Learning Algorithms", 2019). A permutation of paired labels has no p below 2^(1 - n) for n seeds:
with five seeds it is never below 0.05, and with ten not after adjustment for 30 comparisons.

Axis letters: S runs.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.improvement import are_paired, common, probability_of_improvement
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval


def student_p(first: Scores, second: Scores) -> float:
    """The two-sided p-value of two labels having the same mean in one environment.

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


def interval_p(found: Interval) -> float:
    """The p-value of an estimate being 0, by normal theory from its 95 % interval.

    For statistics that have no test of their own. NaN without an interval.
    """
    estimate, width = float(found.estimate), float(found.high - found.low)
    if not math.isfinite(estimate + width):
        return math.nan
    if width <= 0:
        return float(estimate == 0)
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return 2 * NormalDist().cdf(-abs(estimate) * 2 * reach / width)


def adjusted(p: np.ndarray) -> np.ndarray:
    """P-values [K], adjusted so that the chance of any false finding among them is kept.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979), 65-70. NaN stands for no test, and is not counted.
    """
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    stepped = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    out = np.full(len(p), np.nan)
    out[order] = np.minimum(stepped, 1.0)
    return out


@dataclass(frozen=True)
class Comparison:
    """Two labels in one environment.

    Attributes:
      task: the environment.
      probability: that a run of the first scores above one of the second.
      paired: whether both ran the same seeds.
      p: `student_p`.
      adjusted: the same, over all environments compared.
    """

    task: str
    probability: Interval
    paired: bool
    p: float
    adjusted: float


def comparisons(first: Scores, second: Scores) -> list[Comparison]:
    """Both labels in each environment that both have, with p-values adjusted for their number."""
    pairs = [(task, first.of(task), second.of(task)) for task in common(first, second)]
    ps = np.array([student_p(x, y) for _, x, y in pairs])
    return [
        Comparison(task, probability_of_improvement(x, y), are_paired(x, y), float(p), float(held))
        for (task, x, y), p, held in zip(pairs, ps, adjusted(ps), strict=True)
    ]
