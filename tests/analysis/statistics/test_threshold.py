"""Times to a threshold with runs that never get there."""

import numpy as np

from rl_es.analysis.statistics.threshold import ThresholdTimes, kaplan_meier, median_time


def reaching(times: list[float], reached: list[int]) -> ThresholdTimes:
    return ThresholdTimes(np.array(times, dtype=float), np.array(reached, dtype=bool))


def test_the_product_limit_by_hand() -> None:
    """A run that is censored in between leaves the others at risk: 1/4, then 1/2 of the rest."""
    times, shares = kaplan_meier(reaching([1, 2, 3, 4], [1, 0, 1, 0]))
    np.testing.assert_array_equal(times, [1, 3])
    np.testing.assert_allclose(shares, [1 / 4, 1 - 3 / 4 * 1 / 2])


def test_without_censoring_it_is_the_share_itself() -> None:
    times, shares = kaplan_meier(reaching([5, 1, 5, 9], [1, 1, 1, 1]))
    np.testing.assert_array_equal(times, [1, 5, 9])
    np.testing.assert_allclose(shares, [0.25, 0.75, 1.0])


def test_the_median_counts_those_that_never_arrive() -> None:
    assert median_time(reaching([1, 2, 9, 9], [1, 1, 0, 0])).estimate == 2
    assert median_time(reaching([1, 2, 9, 9, 9], [1, 1, 0, 0, 0])).estimate == np.inf
    assert median_time(reaching([9, 9], [0, 0])).estimate == np.inf


def test_bounds_are_times_of_arrival_or_never() -> None:
    runs = reaching([*range(1, 11)], [1] * 6 + [0] * 4)
    found = median_time(runs)
    assert found.estimate == 5 and found.low in range(1, 5) and found.high == np.inf
    whole = median_time(reaching([*range(1, 22)], [1] * 21))
    # Order statistics 6 and 16 of 21 bound the median with 97.3 %, 7 and 15 with 92.2 %.
    assert whole.estimate == 11 and whole.low in (6, 7) and whole.high in (15, 16)
    assert median_time(runs) == found


def test_few_runs() -> None:
    one = median_time(reaching([3], [1]))
    assert one.estimate == 3 and np.isnan(one.low) and one.n == 1
    none = median_time(reaching([], []))
    assert np.isnan(none.estimate) and none.n == 0
