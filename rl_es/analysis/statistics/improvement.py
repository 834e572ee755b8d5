"""Probability of improvement: how often a run of one label scores above a run of another.

P(X > Y) + P(X = Y) / 2 over all pairs of runs, averaged over environments (Agarwal et al. 2021,
section 4.3; the Mann-Whitney statistic over the number of pairs).

Its interval within an environment is R. G. Newcombe's method 5 ("Confidence intervals for an effect
size measure based on the Mann-Whitney statistic, part 2", Statistics in Medicine 25 (2006),
559-573), which stays honest where one label wins every pair: there a bootstrap has no spread, and
covers 29 % instead of 95 % (simulated: normal scores 3.5 deviations apart, ten seeds). Intervals of
environments are combined by the recovery of their variances (G. Y. Zou and A. Donner, "Construction
of confidence limits about effect measures", Statistics in Medicine 27 (2008), 1693-1702).

Where both labels ran the same seeds, runs of one seed may resemble each other. The interval is then
as much narrower or wider as the standard error for correlated samples (E. R. DeLong et al.,
"Comparing the areas under two or more correlated receiver operating characteristic curves",
Biometrics 44 (1988), 837-845) is beside that for independent ones, within 0.5 and 1.5. Simulated
coverage at ten seeds, one to five environments, correlations from -0.3 to 0.9: 90 to 99 %; without
the correction 87 to 100 %.

Axis letters: S runs (of all environments).
"""

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval, nothing, unbounded

_NARROWEST, _WIDEST = 0.5, 1.5


def common(first: Scores, second: Scores) -> list[str]:
    """The environments that both have runs in."""
    return [task for task in first.names if task in set(second.names)]


def are_paired(first: Scores, second: Scores) -> bool:
    """Whether both ran the same seeds in every environment that both have."""
    tasks = common(first, second)
    return all(_paired(first.of(task), second.of(task)) for task in tasks)


def _paired(first: Scores, second: Scores) -> bool:
    return np.array_equal(first.seeds, second.seeds)


def probability_of_improvement(first: Scores, second: Scores) -> Interval:
    """The probability that a run of `first` scores above one of `second`, with a 95 % interval.

    Args:
      first: of one label.
      second: of the other; environments that only one of them has are left out.

    Returns:
      An `Interval` of scalars, n being the runs of `first` that enter; NaN where there is nothing
      to compare. Without bounds where an environment has a single run of either label.
    """
    parts = list(_each(first, second))
    if not parts:
        return nothing()
    estimates, lows, highs = (
        np.array([getattr(part, name) for part in parts]) for name in ("estimate", "low", "high")
    )
    estimate = estimates.mean()
    below = np.sqrt(np.square(estimates - lows).sum()) / len(parts)
    above = np.sqrt(np.square(highs - estimates).sum()) / len(parts)
    n = sum(part.n for part in parts)
    if np.isnan(below + above):
        return unbounded(estimate, n)
    return _within_a_share(estimate, below, above, n)


def _each(first: Scores, second: Scores) -> Iterator[Interval]:
    for task in common(first, second):
        x, y = first.of(task), second.of(task)
        yield _one(wins(x.values, y.values), _paired(x, y))


def wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[n, m] 1 where a run of x [n] scores above one of y [m], 1/2 where they are equal."""
    return (np.sign(x[:, None] - y) + 1) / 2


def _one(won: np.ndarray, paired: bool) -> Interval:
    estimate, (n, m) = won.mean(), won.shape
    if min(n, m) < 2:
        return unbounded(estimate, n)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    factor = _correlation(won) if paired else 1.0
    low, high = (_bound(estimate, n, m, z, end) for end in (0.0, 1.0))
    return _within_a_share(estimate, factor * (estimate - low), factor * (high - estimate), n)


def _within_a_share(estimate: float, below: float, above: float, n: int) -> Interval:
    """An estimate with so much below and above it, but never beyond 0 and 1."""
    low, high = max(estimate - below, 0.0), min(estimate + above, 1.0)
    return Interval(np.float64(estimate), np.float64(low), np.float64(high), n)


def _bound(estimate: float, n: int, m: int, z: float, end: float) -> float:
    """Where the estimate lies z standard errors away, between it and `end`; by bisection."""

    def error(p: float) -> float:
        spread = (1 - p) / (2 - p) + p / (1 + p)
        return float(np.sqrt(p * (1 - p) * (1 + ((n + m) / 2 - 1) * spread) / (n * m)))

    near, far = float(estimate), end
    for _ in range(60):
        middle = (near + far) / 2
        inside = abs(middle - estimate) < z * error(middle)
        near, far = (middle, far) if inside else (near, middle)
    return (near + far) / 2


def _correlation(won: np.ndarray) -> float:
    """The standard error for correlated samples over that for independent ones, of wins [n, n]."""
    of_x, of_y = won.mean(axis=1), won.mean(axis=0)
    apart = of_x.var(ddof=1) + of_y.var(ddof=1)
    if not apart > 0:
        return 1.0
    together = max(apart + 2 * np.cov(of_x, of_y, ddof=1)[0, 1], 0.0)
    return float(np.clip(np.sqrt(together / apart), _NARROWEST, _WIDEST))
