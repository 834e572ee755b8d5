"""The jackknife against Student's interval, and the promise of its coverage for pairs of runs."""

import numpy as np

from rl_es.analysis.gradients.tables import slope, squared_norm
from rl_es.analysis.statistics import jackknife


def without(values: np.ndarray, statistic) -> np.ndarray:
    return np.stack([statistic(np.delete(values, run, 0)) for run in range(len(values))])


def test_of_a_mean_it_is_students_interval():
    values = np.random.default_rng(0).normal(3, 2, (10, 2))
    found = jackknife(values.mean(0), without(values, lambda kept: kept.mean(0)))
    half = 2.262157 * values.std(0, ddof=1) / np.sqrt(10)  # t of 9 degrees of freedom, 97.5 %
    np.testing.assert_allclose(found.low, values.mean(0) - half, rtol=1e-6)
    np.testing.assert_allclose(found.high, values.mean(0) + half, rtol=1e-6)


def test_of_one_run_there_is_no_interval():
    found = jackknife(np.array(1.0), np.array([2.0]))
    assert found.estimate == 1 and np.isnan([found.low, found.high]).all()


def test_squared_norms_are_without_bias_and_intervals_cover():
    """1,000 experiments of ten seeds and 50 parameters, with a norm below that of the noise."""
    truth = np.full(50, 0.1)
    drawn = truth + np.random.default_rng(1).normal(0, 0.5, (1000, 10, 50))
    found = squared_norm(drawn)
    error = found.std() / np.sqrt(1000)
    assert abs(found.mean() - truth @ truth) < 3 * error
    assert np.square(drawn.mean(1)).sum(-1).mean() - truth @ truth > 30 * error
    left = np.stack([squared_norm(np.delete(drawn, seed, 1)) for seed in range(10)])
    bounds = jackknife(found, left)
    covered = (bounds.low <= truth @ truth) & (truth @ truth <= bounds.high)
    assert 0.9 < covered.mean() < 0.99


def test_slopes():
    ranks = np.array([1.0, 2.0, 8.0])
    np.testing.assert_allclose(slope(ranks, 9 / ranks**2), -1)
    several = slope(ranks, np.stack([4 * ranks, np.array([1.0, -1e-9, 1.0])]))
    np.testing.assert_allclose(several, [0.5, np.nan])
