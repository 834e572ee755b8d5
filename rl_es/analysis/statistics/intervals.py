"""Interval estimates over seeds: the stratified bootstrap, and Wilson's interval for shares.

A replicate draws, in each stratum, as many runs as the stratum has, with replacement, and takes the
statistic of what it drew; the interval lies between percentiles of the replicates (Efron 1979). The
strata are the environments where several are aggregated, so that each keeps its count in every
replicate (Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice"); with one
environment there is one stratum. A run's whole curve is drawn as one, so a band over a curve rests
on the same replicates at every point.

With few seeds the plain percentiles lie too close together: under normal noise the nominal 95 %
interval covers about 83 % at five seeds and 90 % at ten. By default they are therefore moved
outwards by as much as a mean of so few runs needs (`expansion`), which covers 92 % and 95 %. No
replicate lies beyond the runs themselves: with three seeds both intervals cover 75 %.

A share of runs has Wilson's score interval instead: it is right where all or none succeed, too.

Axis letters: S runs (seeds, of all strata), B replicates, T points of a curve.

How far out the percentiles of a bootstrap must lie for few runs: the expanded percentiles.

The bootstrap takes the sample for the population. Its replicates therefore vary by (n - 1) / n of
what the sample itself says of the variance, and its percentiles are those of a normal distribution
where the variance is known. T. Hesterberg ("What Teachers Should Know about the Bootstrap", The
American Statistician 69 (2015), 371-386, section 4) moves the percentiles so that both are made
good for a mean of n runs: the tail becomes Phi(-sqrt(n / (n - 1)) t), where t is the quantile of
Student's distribution with n - 1 degrees of freedom.

Several strata here: the variance that replicates lack is summed over strata, and the degrees of
freedom are Satterthwaite's (F. E. Satterthwaite, "An approximate distribution of estimates of
variance components", Biometrics Bulletin 2 (1946), 110-114), both with the strata's own variances,
so that one noisy environment among quiet ones counts as the few runs that it has.

Axis letters: S runs (of all strata), K strata, T points.

The jackknife: intervals of smooth statistics that are no means, as is a mean over pairs of runs.

J. W. Tukey, "Bias and confidence in not quite large samples", Annals of Mathematical Statistics 29
(1958), 614; B. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", SIAM 1982. For a
mean it is Student's interval. Statistics that pair runs cannot be resampled with replacement: a run
would be paired with itself.

Axis letters: S runs (seeds).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np


def expansion_tails(values: np.ndarray, strata: np.ndarray, confidence: float) -> np.ndarray:
    """[T] the share of replicates to leave out on each side, for statistics like a mean.

    Args:
      values: [S, T], at least two runs per stratum.
      strata: [S], the stratum of each run.
      confidence: probability that the interval shall cover.
    """
    from scipy.special import ndtr, stdtrit  # scipy.stats would take seconds to import

    groups = [values[strata == stratum] for stratum in np.unique(strata)]
    n = np.array([len(group) for group in groups], dtype=float)[:, None]  # [K, 1]
    # Each stratum's share of the variance of the mean over strata; equal ones where none varies.
    variances = np.stack([group.var(axis=0, ddof=1) for group in groups]) / n  # [K, T]
    still = ~(variances.sum(axis=0) > 0)
    variances[:, still] = 1 / n
    variances = variances / variances.sum(axis=0)
    lacking = (variances * (n - 1) / n).sum(axis=0)
    freedom = 1 / (variances**2 / (n - 1)).sum(axis=0)
    t = stdtrit(freedom, (1 + confidence) / 2)
    return ndtr(-t / np.sqrt(lacking))


CONFIDENCE = 0.95
REPLICATES = 10_000
_ELEMENTS = 2**22  # held at once in one gather: 32 MiB of float64


class Statistic(Protocol):
    """A function that reduces one axis, such as a mean; it must treat all other axes alike."""

    def __call__(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Reduces `axis` of `values`."""
        ...


def mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The arithmetic mean over an axis."""
    return np.mean(values, axis=axis)


@dataclass(frozen=True)
class Interval:
    """A point estimate and its interval, each of shape [...], from n runs.

    Those of the bootstrap are NaN where a stratum has a single run: its spread is not known, and
    zero would be a false claim of certainty.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int

    def named(self) -> dict[str, float]:
        """A scalar's estimate, low and high by these names."""
        return {name: float(getattr(self, name)) for name in ("estimate", "low", "high")}


def unbounded(estimate: np.ndarray | float, n: int) -> Interval:
    """An estimate [...] from n runs whose spread is not known: its bounds are NaN."""
    estimate = np.asarray(estimate, dtype=np.float64)
    unknown = np.full(estimate.shape, np.nan)
    return Interval(estimate[()], unknown[()], unknown[()], n)


def nothing(*shape: int) -> Interval:
    """The interval of no runs: NaN."""
    return unbounded(np.full(shape, np.nan), 0)


def resamples(strata: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Indices [B, S] of the runs that each replicate draws; column s draws from the stratum of s.

    Args:
      strata: [S], the stratum of each run.
      replicates: B.
      seed: fixes every draw (for one version of NumPy).
    """
    generator = np.random.default_rng(seed)
    drawn = np.empty((replicates, len(strata)), dtype=np.intp)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        choice = generator.integers(len(members), size=(replicates, len(members)))
        drawn[:, members] = members[choice]
    return drawn


def bootstrap(
    values: np.ndarray,
    statistic: Statistic = mean,
    strata: np.ndarray | None = None,
    *,
    replicates: int = REPLICATES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    expanded: bool = True,
) -> Interval:
    """The statistic over runs with its percentile bootstrap interval.

    Memory is bounded: points are treated in blocks, and replicates in blocks within these.

    Args:
      values: [S, ...], one row per run; a NaN makes its own point NaN.
      statistic: reduces the axis of runs.
      strata: [S], None for a single stratum.
      replicates: B.
      confidence: probability that the interval shall cover.
      seed: of the replicates.
      expanded: whether percentiles are moved outwards for few runs; without it they are those that
        other libraries give.

    Returns:
      An `Interval` of arrays [...].
    """
    values = np.asarray(values, dtype=np.float64)
    runs, shape = len(values), values.shape[1:]
    if runs == 0:
        return nothing(*shape)
    strata = np.zeros(runs, dtype=int) if strata is None else np.asarray(strata)
    if len(strata) != runs:
        raise ValueError(f"{len(strata)} strata for {runs} runs")
    estimate = np.asarray(statistic(values, axis=0))
    _, counts = np.unique(strata, return_counts=True)
    if counts.min() < 2:
        return unbounded(estimate, runs)

    drawn = resamples(strata, replicates, seed)
    flat = values.reshape(runs, -1)  # [S, T]
    plain = np.full(flat.shape[1], (1 - confidence) / 2)
    tail = expansion_tails(flat, strata, confidence) if expanded else plain
    bounds = np.empty((2, flat.shape[1]))
    for points in _blocks(flat.shape[1], _ELEMENTS // replicates):
        block = flat[:, points]
        replicated = np.empty((block.shape[1], replicates))  # a point's replicates side by side
        for rows in _blocks(replicates, _ELEMENTS // block.size):
            replicated[:, rows] = statistic(block[drawn[rows]], axis=1).T
        bounds[:, points] = percentiles(replicated, tail[points])
    low, high = bounds.reshape(2, *shape)
    return Interval(estimate, low, high, n=runs)


def percentiles(replicated: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """[2, T] where the tails of replicates [T, B] begin, each point with its own tail [T].

    Between two replicates it is the line that joins them, as in NumPy's quantiles. Replicates that
    are infinite are taken as they are.
    """
    ordered = np.sort(replicated, axis=1)
    last = replicated.shape[1] - 1
    bounds = []
    for share in (tail, 1 - tail):
        below = np.floor(share * last).astype(np.intp)
        above = np.minimum(below + 1, last)
        low, high = (
            np.take_along_axis(ordered, place[:, None], 1)[:, 0] for place in (below, above)
        )
        with np.errstate(invalid="ignore"):
            between = low + (high - low) * (share * last - below)
        bounds.append(np.where(low == high, low, between))
    return np.stack(bounds)


def wilson(successes: np.ndarray, n: int) -> Interval:
    """The share of successes with Wilson's 95 % score interval, without continuity correction.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
    the American Statistical Association 22 (1927), 209-212. Of the simple intervals it is the one
    to take for few trials (Brown, Cai and DasGupta, "Interval estimation for a binomial
    proportion", Statistical Science 16 (2001), 101-133).

    Args:
      successes: [...] counts, 0 to n.
      n: trials, each either a success or none.

    Returns:
      An `Interval` of arrays [...]; NaN for n = 0.
    """
    successes = np.asarray(successes, dtype=np.float64)
    if n == 0:
        return nothing(*successes.shape)
    share, z = successes / n, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    # Exact where none or all succeed: there the two terms cancel but for rounding.
    low = np.where(successes == 0, 0.0, middle - half)
    high = np.where(successes == n, 1.0, middle + half)
    return Interval(share, low, high, n=n)


def _blocks(length: int, size: int) -> Iterator[slice]:
    size = max(1, size)
    return (slice(start, start + size) for start in range(0, length, size))


def jackknife(estimate: np.ndarray, without: np.ndarray) -> Interval:
    """The 95 % interval of a statistic.

    Args:
      estimate: [...] of all runs.
      without: [S, ...] of all runs but one, for each of them.

    Returns:
      An `Interval` of arrays [...], around the estimate; bounds are NaN for fewer than two runs,
      and where any number is NaN.
    """
    from scipy.special import stdtrit  # scipy.stats would take seconds to import

    runs, estimate = len(without), np.asarray(estimate, np.float64)
    if runs < 2:
        return unbounded(estimate, runs)
    variance = (runs - 1) / runs * np.square(without - without.mean(0)).sum(0)
    half = stdtrit(runs - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance)
    return Interval(estimate, estimate - half, estimate + half, n=runs)
