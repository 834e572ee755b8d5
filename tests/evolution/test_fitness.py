"""What members are judged by, whatever their returns are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rl_es.evolution.fitness_shaping import finite_fitness

RETURNS = arrays.arrays(
    np.float32,
    6,
    elements=st.floats(width=32, allow_subnormal=False)  # XLA takes subnormal numbers for 0
    | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0]),
)


@settings(deadline=None)  # the first is compiled
@given(RETURNS)
def test_finite_returns_stay_and_the_others_become_the_worst_of_them(returns: np.ndarray) -> None:
    judged, finite = finite_fitness(returns), np.isfinite(returns)
    values = np.asarray(judged.values)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(judged.finite, finite)
    np.testing.assert_array_equal(values[finite], returns[finite])
    np.testing.assert_array_equal(values[~finite], returns[finite].min() if finite.any() else 0)
    assert judged.nonfinite == (~finite).sum()


@settings(deadline=None)  # the first is compiled
@given(RETURNS)
def test_no_order_among_members_is_turned(returns: np.ndarray) -> None:
    """A return that is not finite is below none, and above none that is."""
    values, finite = np.asarray(finite_fitness(returns).values), np.isfinite(returns)
    known = np.where(finite, returns, -np.inf)
    for i in range(len(returns)):
        above = known > known[i]
        assert (values[above] >= values[i]).all()
        assert (values[above & finite[i]] > values[i]).all()


def test_what_is_reported_is_of_the_finite_returns() -> None:
    judged = finite_fitness(np.float32([np.nan, 1, np.inf, 4, -np.inf]))
    assert (float(judged.mean), float(judged.best)) == pytest.approx((2.5, 4))
    nothing = finite_fitness(np.float32([np.nan, np.inf]))
    assert np.isnan(nothing.mean) and nothing.best == -np.inf
