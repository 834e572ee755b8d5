"""Craftax's environments keep the contract, and their steps are Craftax's own."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import craftax as suite
from rl_es.errors import UserError
from rl_es.promotion import implicit_promotion
from rl_es.rollout.wrappers import TimeLimit
from tests.envs import contract, extras

CLASSIC, FULL = suite.NAMES
SIZES = {CLASSIC: (1345, 17, 10_000), FULL: (8268, 43, 100_000)}
BOTH = [CLASSIC, pytest.param(FULL, marks=pytest.mark.slow)]  # it compiles for a minute
LANES = 4


@pytest.fixture(scope="module")
def make():
    """Makes an environment by name, once; tests that ask for it need Craftax."""
    extras.require("craftax", "craftax")
    return functools.cache(lambda name: suite.make(name, suite.Options()))


@pytest.mark.parametrize("name", suite.NAMES)
def test_without_the_library_a_name_is_refused_at_once(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    said = rf"^{name} needs craftax's library: pip install 'rl_es\[craftax\]'$"
    for refuses in (suite.check, suite.make):
        with pytest.raises(UserError, match=said):
            refuses(name, suite.Options())


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
    """Rewards, ends and observations under random actions, up to the first end.

    Two episodes start as they are, two shortly before Craftax's time limit.
    """
    from envs._craftax_adapter import made

    env, own = make(name), made(name)
    limit = env.spec.episode_length
    actions = np.random.default_rng(1).integers(0, env.spec.action_space.n, (400, LANES))
    times = np.array([0, 0, limit - 7, limit - 1], np.int32)

    @jax.jit
    def run(keys):
        states, _ = jax.vmap(env.reset)(keys)
        states = states.replace(timestep=jnp.asarray(times))

        def step(carry, inputs):
            time, actions = inputs
            now = jax.vmap(jax.random.fold_in, (0, None))(keys, time)
            after = jax.vmap(env.step)(now, carry[0], actions)
            with implicit_promotion():
                observation, state, reward, done, _ = jax.vmap(own.step)(now, carry[1], actions)
                state = jax.tree.map(lambda leaf, old: leaf.astype(old.dtype), state, carry[1])
            ours = after.observation.values.sum(-1), after.reward, after.terminated, after.truncated
            return (after.state, state), (ours, (observation.sum(-1), reward, done))

        inputs = jnp.arange(len(actions), dtype=jnp.int32), jnp.asarray(actions, jnp.int32)
        return jax.lax.scan(step, (states, states), inputs)[1]

    ours, theirs = run(jax.random.split(jax.random.key(2), LANES))
    sums, rewards, terminated, truncated = map(np.asarray, ours)
    ended = terminated | truncated
    assert (ended.argmax(0)[2:] == [6, 0]).all() and truncated[6, 2] and truncated[0, 3]
    assert terminated[:, :2].any(0).all()
    alive = np.cumsum(ended, 0) - ended == 0
    for mine, own_one in zip((sums, rewards, ended), theirs):
        np.testing.assert_array_equal(mine[alive], np.asarray(own_one)[alive])
    assert (rewards[alive] > 0.5).any()  # an achievement


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
