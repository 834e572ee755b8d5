"""Craftax's environments keep the contract, and their steps are Craftax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import craftax as suite
from rl_es.rollout.wrappers import TimeLimit
from tests.envs import contract, limited

pytestmark = pytest.mark.extra("craftax")

CLASSIC, FULL = suite.NAMES
SIZES = {CLASSIC: (1345, 17, 10_000), FULL: (8268, 43, 100_000)}
BOTH = [CLASSIC, pytest.param(FULL, marks=pytest.mark.slow)]  # it compiles for a minute


@pytest.mark.parametrize("name", BOTH)
def test_contract(name, make):
    env = make(name)
    size, actions, length = SIZES[name]
    assert (env.spec.name, env.spec.observation_shape) == (name, (size,))
    assert (env.spec.action_space.n, env.spec.episode_length) == (actions, length)
    contract.check(TimeLimit(env, 30), 30)


@pytest.mark.slow
@pytest.mark.parametrize("name", suite.NAMES)
def test_episodes_are_craftax_s_own(name, make):
    """Rewards, ends and observations under random actions, up to the first end."""
    from rl_es.envs.craftax import make_raw

    env, own = make(name), make_raw(name)
    shape = 400, limited.LANES
    actions = np.random.default_rng(1).integers(0, env.spec.action_space.n, shape)
    ours, theirs = limited.beside(env, own, own.default_params, actions.astype(np.int32))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (ours.reward > 0.5).any()  # an achievement


@pytest.mark.parametrize("name", BOTH)
def test_a_death_at_the_time_limit_is_no_truncation(name, make):
    env = make(name)

    def last(health):
        state, _ = env.reset(jax.random.key(0))
        health = jnp.asarray(health, state.player_health.dtype)
        state = state.replace(player_health=health, timestep=jnp.int32(env.spec.episode_length - 1))
        return env.step(jax.random.key(0), state, jnp.int32(0))

    after = jax.jit(jax.vmap(last))(jnp.array([9, -5]))
    np.testing.assert_array_equal(after.terminated, [False, True])
    np.testing.assert_array_equal(after.truncated, [True, False])
