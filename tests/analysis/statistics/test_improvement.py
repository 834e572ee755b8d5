"""Probability of improvement, differences and what it takes to tell: exact cases and coverage."""

import numpy as np
import pytest
from scipy.special import ndtr

from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.intervals import Interval
from rl_es.analysis.statistics.two_samples import (
    adjust_p_values,
    are_paired,
    compare_tasks,
    difference,
    probability_of_improvement,
    required_seeds,
)
from tests.analysis.statistics.test_aggregates import scores


def test_newcombe_s_interval_solves_its_equation() -> None:
    """Each bound lies 1.96 of its own standard errors from the estimate."""
    x, y = scores([[1.0], [3.0], [5.0], [7.0]]), scores([[0.0], [2.0], [4.0]], first_seed=9)
    found = probability_of_improvement(x, y)
    assert found.estimate == 9 / 12
    n, m = 4, 3
    for p in (float(found.low), float(found.high)):
        spread = (1 - p) / (2 - p) + p / (1 + p)
        error = np.sqrt(p * (1 - p) * (1 + ((n + m) / 2 - 1) * spread) / (n * m))
        np.testing.assert_allclose(abs(p - found.estimate), 1.959964 * error, rtol=1e-5)


def test_both_sides_say_the_same() -> None:
    generator = np.random.default_rng(0)
    x, y = scores(generator.normal(size=(6, 3)) + 1), scores(generator.normal(size=(6, 3)))
    there, back = probability_of_improvement(x, y), probability_of_improvement(y, x)
    np.testing.assert_allclose(
        [there.estimate, there.low, there.high],
        [1 - back.estimate, 1 - back.high, 1 - back.low],
        atol=1e-12,
    )


def test_winning_every_pair_is_no_certainty() -> None:
    wins = probability_of_improvement(scores([[2.0], [3.0], [4.0]]), scores([[0.0], [1.0], [1.5]]))
    assert wins.estimate == wins.high == 1 and 0.3 < wins.low < 0.9


@pytest.mark.parametrize("shift", [0.0, 0.8, 2.5])
@pytest.mark.parametrize("tasks", [1, 5])
@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_coverage(shift: float, tasks: int, shared: float) -> None:
    """Of normal scores at ten seeds, a part of whose variance is the seed's."""
    generator, covered, experiments = np.random.default_rng(3), 0, 300
    truth = ndtr(shift / np.sqrt(2))  # over pairs of runs of different seeds
    for _ in range(experiments):
        seed, own_x, own_y = generator.normal(size=(3, 10, tasks))
        common = np.sqrt(shared) * seed
        x, y = (common + np.sqrt(1 - shared) * own for own in (own_x, own_y))
        found = probability_of_improvement(scores(x + shift), scores(y))
        covered += found.low <= truth <= found.high
    assert 0.89 <= covered / experiments <= 0.99


def test_seeds_pair_where_they_are_the_same() -> None:
    matrix = np.random.default_rng(4).normal(size=(10, 2))
    x, same, other = scores(matrix + 0.1), scores(matrix), scores(matrix, first_seed=100)
    assert are_paired(x, same) and not are_paired(x, other)
    for compare in (probability_of_improvement, difference):
        paired, apart = compare(x, same), compare(x, other)
        assert paired.estimate == apart.estimate
        assert paired.high - paired.low < 0.7 * (apart.high - apart.low)


def test_environments_of_one_only_are_left_out() -> None:
    x = scores(np.ones((3, 2)))
    y = Scores(np.zeros(3), np.array(["env-01"] * 3), np.arange(3))
    found = probability_of_improvement(x, y)
    assert found.n == 3 and found.estimate == 1
    z = Scores(np.zeros(3), np.array(["elsewhere"] * 3), np.arange(3))
    for compare in (probability_of_improvement, difference):
        nothing = compare(x, z)
        assert nothing.n == 0 and np.isnan([nothing.estimate, nothing.low, nothing.high]).all()
    assert compare_tasks(x, z) == []


def test_a_lone_run_has_no_interval() -> None:
    x, y = scores([[1.0]]), scores([[0.0], [0.5]])
    for compare, expected in ((probability_of_improvement, 1.0), (difference, 0.75)):
        found = compare(x, y)
        assert found.estimate == expected and np.isnan([found.low, found.high]).all()


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(adjust_p_values(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(adjust_p_values(np.array([0.5, 0.9])), [1.0, 1.0])
    assert adjust_p_values(np.array([])).size == 0


def test_each_environment_is_compared_and_adjusted_for_the_others() -> None:
    generator = np.random.default_rng(6)
    x, y = generator.normal(size=(2, 10, 3))
    x[:, 1] += 5
    found = compare_tasks(scores(x), scores(y))
    assert [one.task for one in found] == ["env-00", "env-01", "env-02"]
    assert found[1].adjusted_p < 0.05 < min(found[0].adjusted_p, found[2].adjusted_p)
    assert all(one.is_paired and one.adjusted_p >= one.p for one in found)
    again = compare_tasks(scores(x), scores(y))
    assert [one.p for one in again] == [one.p for one in found]


@pytest.mark.parametrize("paired", [True, False])
def test_coverage_of_differences(paired: bool) -> None:
    generator, covered, experiments = np.random.default_rng(8), 0, 300
    for _ in range(experiments):
        x, y = generator.normal(size=(2, 10, 2))
        found = difference(scores(x + 1), scores(y, 0 if paired else 50), "mean", replicates=1_000)
        covered += found.low <= 1 <= found.high
    assert 0.92 <= covered / experiments <= 0.98


def test_so_many_seeds_tell() -> None:
    """Of normal scores 0.5 deviations apart: 64 of each give 80 % power by the usual formula."""
    error = np.sqrt(2 / 10)
    half = 1.959964 * error
    found = Interval(np.float64(0.5), np.float64(0.5 - half), np.float64(0.5 + half), 10)
    assert required_seeds(found, 10) == 63
    nothing = Interval(np.float64(0.0), np.float64(-1.0), np.float64(1.0), 10)
    assert required_seeds(nothing, 10) is None
    unknown = Interval(np.float64(1.0), np.float64(np.nan), np.float64(np.nan), 1)
    assert required_seeds(unknown, 1) is None
