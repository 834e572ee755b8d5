"""Intervals against closed forms, normal theory, published values and their own promises."""

from typing import Any

import numpy as np
import pytest

from rl_es.analysis.statistics import intervals
from rl_es.analysis.statistics.intervals import bootstrap, expansion_tails, resample_indices, wilson


def test_two_runs_have_a_known_distribution() -> None:
    """Means of two draws from {0, 1}: 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4."""
    drawn = resample_indices(np.zeros(2), 50_000, 0)
    means = np.array([0.0, 1.0])[drawn].mean(1)
    shares = [(means == value).mean() for value in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.01)
    interval = bootstrap(np.array([0.0, 1.0]), confidence=0.4, expand=False)
    assert (interval.estimate, interval.low, interval.high) == (0.5, 0.5, 0.5)
    interval = bootstrap(np.array([0.0, 1.0]))
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_many_runs_agree_with_normal_theory() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    interval = bootstrap(values, replicates=20_000)
    half = 1.959964 * values.std() / 20
    np.testing.assert_allclose(interval.estimate, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(
        [interval.low, interval.high], values.mean() + np.array([-half, half]), atol=0.03 * half
    )


@pytest.mark.parametrize(
    "runs, plain, expanded", [(3, 0.75, 0.75), (5, 0.83, 0.92), (10, 0.90, 0.95), (50, 0.94, 0.95)]
)
def test_coverage(runs: int, plain: float, expanded: float) -> None:
    """The shares of 2,000 experiments that the module's docstring speaks of."""
    sample = np.random.default_rng(2).normal(size=(runs, 2_000))
    for kind, expected in ((False, plain), (True, expanded)):
        interval = bootstrap(sample, replicates=1_000, expand=kind)
        covered = (interval.low <= 0) & (interval.high >= 0)
        np.testing.assert_allclose(covered.mean(), expected, atol=0.02)


def _lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.lognormal(size=shape)


def _failing(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Returns 0 in one run of five, else 1, with a little noise."""
    return np.where(rng.random(shape) < 0.2, 0.0, 1.0) + 0.02 * rng.normal(size=shape)


@pytest.mark.parametrize(
    ("draw", "mean", "shares"),
    [
        (_lognormal, np.exp(0.5), (0.65, 0.81, 0.85, 0.90)),
        (_failing, 0.8, (0.47, 0.67, 0.90, 0.94)),
    ],
)
def test_coverage_of_skewed_returns(draw: Any, mean: float, shares: tuple[float, ...]) -> None:
    """The shares of 2,000 experiments that docs/results.md speaks of, for 3, 5, 10, 30 runs."""
    for runs, share in zip((3, 5, 10, 30), shares, strict=True):
        interval = bootstrap(draw(np.random.default_rng(2), (runs, 2_000)), replicates=1_000)
        covered = (interval.low <= mean) & (interval.high >= mean)
        np.testing.assert_allclose(covered.mean(), share, atol=0.02)


@pytest.mark.parametrize("runs", [5, 10, 30])
def test_the_expansion_is_hesterberg_s(runs: int) -> None:
    """Phi(-sqrt(n / (n - 1)) t), with t of Student's distribution (scipy's)."""
    from scipy.stats import norm, t

    sample = np.random.default_rng(9).normal(size=(runs, 3))
    expected = norm.cdf(-np.sqrt(runs / (runs - 1)) * t.ppf(0.975, runs - 1))
    np.testing.assert_allclose(expansion_tails(sample, np.zeros(runs), 0.95), expected, rtol=1e-6)


def test_equal_environments_add_up_and_a_loud_one_stands_alone() -> None:
    from scipy.stats import norm, t

    quiet = np.random.default_rng(10).normal(size=10)
    strata = np.repeat(np.arange(7), 10)
    alike = expansion_tails(np.tile(quiet, 7)[:, None], strata, 0.95)
    np.testing.assert_allclose(alike, norm.cdf(-np.sqrt(10 / 9) * t.ppf(0.975, 63)), rtol=1e-6)
    loud = np.tile(quiet, 7) * np.where(strata == 3, 1e6, 1.0)
    alone = norm.cdf(-np.sqrt(10 / 9) * t.ppf(0.975, 9))
    np.testing.assert_allclose(expansion_tails(loud[:, None], strata, 0.95), alone, rtol=1e-6)
    still = expansion_tails(np.zeros((70, 1)), strata, 0.95)
    np.testing.assert_allclose(still, alike, rtol=1e-6)


def test_bit_for_bit_and_the_seed_matters() -> None:
    values = np.random.default_rng(3).normal(size=(5, 7))
    first, again, other = (bootstrap(values, replicates=500, seed=seed) for seed in (4, 4, 5))
    for name in ("estimate", "low", "high"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert not np.array_equal(first.low, other.low)


def test_every_replicate_keeps_the_counts_of_the_strata() -> None:
    strata = np.array(["b", "a", "a", "c", "b", "a"])
    drawn = resample_indices(strata, 1_000, 0)
    assert (strata[drawn] == strata).all()
    for column in range(len(strata)):
        assert set(drawn[:, column]) == set(np.flatnonzero(strata == strata[column]))


def test_strata_take_out_the_spread_between_environments() -> None:
    noise = np.random.default_rng(5).normal(size=(2, 10))
    values = (noise + np.array([[0.0], [1000.0]])).ravel()
    interval = bootstrap(values, strata=np.repeat([0, 1], 10))
    assert interval.high - interval.low < 2
    free = bootstrap(values)
    assert free.high - free.low > 100


def test_a_curve_is_its_points_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=(5, 11))
    whole = bootstrap(values, replicates=300)
    for size in (1, 700, 5_000):
        monkeypatch.setattr(intervals, "_BLOCK_ELEMENTS", size)
        parts = bootstrap(values, replicates=300)
        np.testing.assert_allclose(parts.low, whole.low, rtol=1e-12)
        np.testing.assert_allclose(parts.high, whole.high, rtol=1e-12)
    point = bootstrap(values[:, 3], replicates=300)
    np.testing.assert_allclose([point.low, point.high], [whole.low[3], whole.high[3]], rtol=1e-12)


@pytest.mark.parametrize("strata", [None, [0, 0, 1]])
def test_a_lone_run_has_no_interval(strata: list[int] | None) -> None:
    values = np.array([[1.0, 2.0]] if strata is None else [[1.0, 2.0]] * 3)
    interval = bootstrap(values, strata=None if strata is None else np.array(strata))
    np.testing.assert_array_equal(interval.estimate, [1.0, 2.0])
    assert np.isnan(interval.low).all() and np.isnan(interval.high).all()


def test_no_runs_no_estimate() -> None:
    interval = bootstrap(np.empty((0, 3)))
    assert interval.n == 0 and interval.estimate.shape == (3,) and np.isnan(interval.estimate).all()


def test_any_reduction_is_a_statistic() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    interval = bootstrap(values, lambda values, axis: np.median(values, axis=axis))
    assert interval.estimate == 3.0 and interval.low >= 1.0 and interval.high <= 100.0


def test_strata_must_match() -> None:
    with pytest.raises(ValueError, match="2 strata for 3 runs"):
        bootstrap(np.zeros(3), strata=np.zeros(2))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_intervals_that_were_published(
    successes: int, n: int, low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
    interval = wilson(np.array(successes), n)
    np.testing.assert_allclose([interval.low, interval.high], [low, high], atol=5e-5)
    assert interval.estimate == successes / n and interval.n == n


def test_wilson_bounds_solve_the_score_equation() -> None:
    """At each bound p the share lies 1.96 standard errors of p away."""
    successes = np.arange(11)
    interval = wilson(successes, 10)
    for bounds, kept in ((interval.low, slice(1, None)), (interval.high, slice(None, -1))):
        bound, share = bounds[kept], interval.estimate[kept]
        away = np.abs(share - bound) / np.sqrt(bound * (1 - bound) / 10)
        np.testing.assert_allclose(away, 1.959964, atol=1e-5)
    assert interval.low[0] == 0 and interval.high[-1] == 1
    np.testing.assert_allclose(interval.low, 1 - interval.high[::-1], atol=1e-12)


def test_wilson_of_no_trial_is_unknown() -> None:
    interval = wilson(np.zeros(3), 0)
    assert np.isnan([interval.estimate, interval.low, interval.high]).all() and interval.n == 0
