"""P-values of differences: known values, calibration, and what has no spread."""

import numpy as np
import pytest

from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.intervals import Interval
from rl_es.analysis.statistics.two_samples import adjust_p_values, interval_p_value, student_p_value


def scores(values, first: int = 0) -> Scores:
    values = np.asarray(values, dtype=float)
    return Scores(values, np.full(len(values), "e"), first + np.arange(len(values)))


def test_welch_is_that_of_the_paper():
    # Statistics of Welch's test worked by hand for [1, 2, 3] and [2, 4, 6]: t = 2 / sqrt(5 / 3),
    # 50 / 17 degrees of freedom; p from a table of scipy.stats.ttest_ind(equal_var=False).
    assert student_p_value(scores([1, 2, 3]), scores([2, 4, 6], first=9)) == pytest.approx(
        0.2208808, abs=1e-6
    )


def test_runs_of_the_same_seeds_are_paired():
    rng = np.random.default_rng(0)
    common, noise = rng.normal(0, 10, 8), rng.normal(0, 0.1, 8)
    first, second = common, common + 1 + noise
    assert student_p_value(scores(first), scores(second)) < 1e-6
    assert student_p_value(scores(first), scores(second, first=100)) > 0.5


def test_scores_without_spread():
    assert student_p_value(scores([5, 5, 5]), scores([5, 5, 5], first=9)) == 1
    assert student_p_value(scores([5, 5, 5]), scores([4, 4, 4], first=9)) == 0
    assert np.isnan(student_p_value(scores([5]), scores([4, 4])))


@pytest.mark.parametrize("paired", [True, False])
def test_false_findings_are_as_rare_as_said(paired: bool):
    rng = np.random.default_rng(1)
    ps = [
        student_p_value(scores(rng.normal(size=6)), scores(rng.normal(size=6), 0 if paired else 50))
        for _ in range(2000)
    ]
    # Binomial: 0.05 with a standard error of 0.005; Welch's is a little conservative.
    assert 0.03 < np.mean(np.array(ps) < 0.05) < 0.065


def test_an_interval_that_just_misses_zero_has_p_of_its_level():
    found = Interval(np.float64(2.0), np.float64(0.0), np.float64(4.0), n=10)
    assert interval_p_value(found) == pytest.approx(0.05)
    assert interval_p_value(Interval(*(np.float64(0.0) for _ in range(3)), n=10)) == 1


def test_what_is_no_test_is_not_counted_in_the_adjustment():
    assert adjust_p_values(np.array([0.01, np.nan, 0.04])) == pytest.approx(
        [0.02, np.nan, 0.04], nan_ok=True
    )
