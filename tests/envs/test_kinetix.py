"""Kinetix's levels keep the contract, and the steps of one of them are Kinetix's own."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import kinetix as suite
from rl_es.errors import UserError
from rl_es.promotion import implicit_promotion
from rl_es.rollout.wrappers import TimeLimit
from tests.envs import contract, extras

LEVEL = "kinetix/s/h1_thrust_over_ball"
# A polygon takes 26 values, a circle 18, and so on: the more of them a level has room for.
SIZES = dict(zip(suite.NAMES, (679, 247, 140)))
LANES = 4


@pytest.fixture(scope="module")
def make():
    """Makes an environment by name, once; tests that ask for it need Kinetix."""
    extras.require("kinetix", "kinetix")
    return functools.cache(lambda name: suite.make(name, suite.Options()))


@pytest.mark.parametrize("name", suite.NAMES)
def test_without_the_library_a_name_is_refused_at_once(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    said = rf"^{name} needs kinetix's library: pip install 'rl_es\[kinetix\]'$"
    for refuses in (suite.check, suite.make):
        with pytest.raises(UserError, match=said):
            refuses(name, suite.Options())


@pytest.mark.slow
@pytest.mark.parametrize("name", suite.NAMES)
def test_levels(name, make):
    env = make(name)
    assert (env.spec.name, env.spec.episode_length) == (name, 256)
    assert env.spec.observation_shape == (SIZES[name],)
    np.testing.assert_array_equal(env.spec.action_space.low, np.full(6, -1, np.float32))
    np.testing.assert_array_equal(env.spec.action_space.high, np.full(6, 1, np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", suite.NAMES)
def test_contract(name, make):
    contract.check(TimeLimit(make(name), 30), 30)


@pytest.mark.slow
def test_episodes_are_kinetix_s_own(make):
    """Rewards, ends and observations up to the first end.

    Under random actions, under none, and under random ones shortly before the time limit.
    """
    from envs._kinetix_adapter import made

    env, (own, params) = make(LEVEL), made(LEVEL)
    limit = env.spec.episode_length
    drawn = np.random.default_rng(1).uniform(-1, 1, (limit, LANES, 6)).astype(np.float32)
    drawn[:, 1] = 0
    times = np.array([0, 0, limit - 7, limit - 1], np.int32)

    @jax.jit
    def run(keys):
        states, _ = jax.vmap(env.reset)(keys)
        states = states.replace(timestep=jnp.asarray(times))

        def step(carry, actions):
            after = jax.vmap(env.step)(keys, carry[0], actions)
            with implicit_promotion():
                observation, state, reward, done, _ = jax.vmap(own.step, (0, 0, 0, None))(
                    keys, carry[1], actions, params
                )
                state = jax.tree.map(lambda leaf, old: leaf.astype(old.dtype), state, carry[1])
            ours = after.observation.values, after.reward, after.terminated, after.truncated
            return (after.state, state), (ours, (observation, reward, done))

        return jax.lax.scan(step, (states, states), jnp.asarray(drawn))[1]

    ours, theirs = run(jax.random.split(jax.random.key(2), LANES))
    values, rewards, terminated, truncated = map(np.asarray, ours)
    ended = terminated | truncated
    assert ended.any(0).all() and terminated[:, 0].any()
    assert (ended.argmax(0)[2:] == [6, 0]).all() and truncated[6, 2] and truncated[0, 3]
    alive = np.cumsum(ended, 0) - ended == 0
    np.testing.assert_array_equal(ended[alive], np.asarray(theirs[2])[alive])
    # Two programs of the same physics differ by rounding, which contacts magnify.
    np.testing.assert_allclose(rewards[alive], np.asarray(theirs[1])[alive], atol=1e-4)
    np.testing.assert_allclose(values[alive], np.asarray(theirs[0])[alive], atol=1e-3)
