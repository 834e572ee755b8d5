"""The learner of strategies that write their population out, on one that is known by heart."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Episode, Hyper, Limit, Params, Persistent
from rl_es.training.jaxprs import largest_array
from rl_es.training.population import PopulationLearner
from rl_es.training.resources import PairBytes, Resources, pair_bytes, place_group
from rl_es.training.sharding import PopulationSharding
from tests.toys import Breaking, Drift, ParameterPolicy

EPISODE = Episode()


@dataclass(frozen=True)
class BestOfGrid:
    """Members stand on a grid around the best one so far, which is the state; it narrows."""

    population: int = 4
    segment: Episode | Persistent = EPISODE
    reach: float = 1.0

    def init(self, key: Array, params: Params, hyper: Hyper) -> Any:
        return params, jnp.float32(self.reach)

    def ask(self, key: Array, state: Any) -> tuple[Params, Any]:
        params, reach = state
        offsets = reach * jnp.linspace(-1.0, 1.0, self.population)
        return {"theta": params["theta"][None] + offsets[:, None]}, state

    def tell(self, key: Array, state: Any, population: Params, returns: Array) -> Any:
        return jax.tree.map(lambda leaf: leaf[jnp.argmax(returns)], population), state[1] / 2

    def starts_episodes(self, state: Any) -> Array:
        return jnp.ones((), bool)

    def center(self, state: Any) -> Params:
        return state[0]


def learner(env: Any, **settings: Any) -> PopulationLearner:
    return PopulationLearner(BestOfGrid(**settings), env, ParameterPolicy())


def run(made: PopulationLearner, generations: int) -> tuple[Any, Any]:
    limit = Limit(jnp.int32(generations), jnp.int32(2**30))
    return jax.jit(lambda key: made.advance(made.init(key, {}), limit))(jax.random.key(0))


def test_returns_are_told_in_the_order_of_the_population() -> None:
    """Action 2 pays most: of -6, -2, 2 and 6 the third member is the best."""
    state, rows = run(learner(Breaking(edge=-np.inf), reach=6.0), 1)
    assert float(state.center["theta"][0]) == pytest.approx(2, abs=1e-5)
    assert float(rows.population_best) == pytest.approx(0, abs=1e-5) and int(rows.env_steps) == 4
    assert float(rows.population_mean) == pytest.approx(-np.mean([64, 16, 0, 16]))


def test_a_return_that_is_not_finite_is_the_worst() -> None:
    state, rows = run(learner(Breaking(edge=0.0), reach=1.0), 1)
    assert float(state.center["theta"][0]) == 1 and int(rows.nonfinite_members) == 2


def test_without_a_finite_return_the_state_stays() -> None:
    state, rows = run(learner(Breaking(edge=np.inf)), 3)
    assert float(state.center["theta"][0]) == 0 and float(state.strategy[1]) == 1
    assert int(state.generation) == 3 and int(rows.nonfinite_members) == 3 * 4


@pytest.mark.parametrize("segment", [Episode(2), Persistent(2)])
def test_chunks_change_nothing(segment: Any) -> None:
    whole = learner(Drift(), population=256, segment=segment)
    parts = whole.with_placement(None, PopulationSharding(chunks=2))
    for first, second in zip(*(jax.tree.leaves(run(made, 3)) for made in (whole, parts))):
        if not jnp.issubdtype(first.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(first, second)


def test_what_chunks_do_not_reduce_is_refused_where_it_does_not_fit() -> None:
    size = pair_bytes(learner(Drift(), population=2**20), {})
    assert size.fixed >= 2**20 * 4  # the population
    assert place_group(2**19, 1, size, Resources(memory=2**30)).placement.chunks == 1
    with pytest.raises(UserError, match="population and state need about .* GiB"):
        place_group(2**19, 1, size, Resources(memory=2**20))
    small = PairBytes(state=0, rollout=100, fixed=2**10)
    place = place_group(256, 1, small, Resources(memory=2**10 + 100 * 128))
    assert place.placement.chunks == 2


def test_the_largest_array_is_one_that_is_held() -> None:
    """An outer product is fused into the sum over it; what is sorted is held."""
    vector = jnp.zeros(100)

    def outer(x: Array) -> Array:
        return jnp.sum(x[:, None] * x[None])

    assert largest_array(jax.make_jaxpr(outer)(vector).jaxpr) == 4
    program = jax.make_jaxpr(jax.jit(lambda x: outer(jnp.sort(x))))(vector)
    assert largest_array(program.jaxpr) == 400
