"""Random search: what it draws, and what it keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.agents._random_search import RandomSearchStrategy
from rl_es.evolution.perturbation import block_keys
from rl_es.interfaces import Episode, ParameterSpec, Segment

PAIRS = 200
SHAPES = {"theta": jax.ShapeDtypeStruct((2,), jnp.float32)}
BOUNDS = ({"theta": np.float32([-1, 10])}, {"theta": np.float32([3, 20])})


def searched(bounds=None):
    agent = RandomSearchStrategy(2 * PAIRS, ParameterSpec(SHAPES, bounds=bounds), Episode())
    state = agent.init({"theta": jnp.float32([5.0, 6.0])}, {"sigma": jnp.float32(0.5)})
    return agent, state


def members(agent, state, generation):
    """[P, 2] the parameters of every member, and the noise they came from."""
    keys = block_keys(jax.random.key(generation), PAIRS)
    noise, _ = agent.ask(keys, state, (), jnp.ones(PAIRS, bool))
    made = agent.members(state, noise)
    offset = made.direct[("theta",)]
    both = made.shared["theta"][None, None] + jnp.stack([offset, -offset], 1)
    return np.asarray(both.reshape(-1, 2)), noise


def tell_returns(agent, state, noise, returns):
    segment = Segment(jnp.asarray(returns), jnp.ones(PAIRS, bool), jnp.int32(0), jnp.int32(0))
    weights = agent.shape(state, segment)
    return agent.tell(state, agent.contract(state, noise, (), weights), segment)


def test_samples_fill_the_bounds():
    result, _ = members(*searched(BOUNDS), 0)
    assert (result >= [-1, 10]).all() and (result <= [3, 20]).all()
    np.testing.assert_allclose(result.min(0), [-1, 10], atol=0.3)
    np.testing.assert_allclose(result.max(0), [3, 20], atol=0.3)
    np.testing.assert_allclose(result.std(0) * np.sqrt(12), [4, 10], rtol=0.1)


def test_samples_without_bounds_lie_around_the_start():
    result, _ = members(*searched(), 0)
    np.testing.assert_allclose(result.mean(0), [5, 6], atol=1e-5)
    np.testing.assert_allclose(result.std(0), 0.5, rtol=0.1)


@pytest.mark.parametrize("bounds", [None, BOUNDS])
def test_the_best_so_far_is_kept(bounds):
    agent, state = searched(bounds)
    best, at = -np.inf, None
    for generation in range(5):
        result, noise = members(agent, state, generation)
        returns = np.random.default_rng(generation).normal(size=2 * PAIRS).astype(np.float32)
        before = np.asarray(agent.center(state)["theta"])
        state, change = tell_returns(agent, state, noise, returns)
        if returns.max() > best:
            best, at = returns.max(), result[returns.argmax()]
        np.testing.assert_allclose(agent.center(state)["theta"], at, rtol=1e-5)
        assert float(change) == pytest.approx(float(np.linalg.norm(at - before)), rel=1e-4)
    assert float(state.best_return) == best
