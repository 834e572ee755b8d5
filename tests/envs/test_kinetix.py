"""Kinetix's levels keep the contract, and the steps of one of them are Kinetix's own."""

import numpy as np
import pytest

from rl_es.envs import kinetix as suite
from rl_es.rollout.wrappers import TimeLimit
from tests.envs import contract, limited

pytestmark = pytest.mark.extra("kinetix")

LEVEL = "kinetix/s/h1_thrust_over_ball"
# A polygon takes 26 values, a circle 18, and so on: the more of them a level has room for.
SIZES = dict(zip(suite.NAMES, (679, 247, 140)))


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
    """Rewards, ends and observations up to the first end, under random actions and under none."""
    from rl_es.envs.kinetix import make_raw

    env, (own, params) = make(LEVEL), make_raw(LEVEL)
    shape = env.spec.episode_length, limited.LANES, 6
    actions = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    actions[:, 1] = 0
    ours, theirs = limited.beside(env, own, params, actions)
    np.testing.assert_array_equal(ours.ended, theirs.ended)
    # Two programs of the same physics differ by rounding, which contacts magnify.
    np.testing.assert_allclose(ours.reward, theirs.reward, atol=1e-4)
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-3)
