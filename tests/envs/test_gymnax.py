"""Every gymnax environment keeps the contract; the classic ones equal gymnasium's."""

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import gymnax as suite
from tests.envs import contract

# Truncation alone ends them.
ENDLESS = {
    "Pendulum-v1",
    "Freeway-MinAtar",
    "DiscountingChain-bsuite",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
}
# Length of every episode, where the task fixes it.
LENGTHS = {
    "Catch-bsuite": 9,
    "DeepSea-bsuite": 8,
    "MemoryChain-bsuite": 6,
    "SimpleBandit-bsuite": 1,
    "UmbrellaChain-bsuite": 10,
}


def make(name):
    return suite.make(name, suite.Options())


def test_names_are_all_that_gymnax_registers_without_the_one_that_downloads():
    assert (*suite.NAMES, "MNISTBandit-bsuite") == tuple(
        sorted(gymnax.registered_envs, key=lambda name: name == "MNISTBandit-bsuite")
    )


@pytest.mark.parametrize("name", suite.NAMES)
def test_contract(name):
    env = make(name)
    assert env.spec.name == name
    result = contract.check(env, env.spec.episode_length)
    if name in ENDLESS:
        assert not result.terminated.any()
        assert result.truncated[-1].all()
    if name in LENGTHS:
        assert (result.terminated.argmax(0) == LENGTHS[name] - 1).all()
    if name == "CartPole-v1":  # pushing one way only tips the pole over
        assert result.terminated[:12, 4:].any(0).all()


def test_categories_are_one_hot():
    env = make("FrozenLake-misc")
    _, observation = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(observation.values, np.eye(16, dtype=np.float32)[0])


# Parity with gymnasium: one step from the same state under the same action.


def _uniform(low, high, count=1500):
    return np.random.default_rng(3).uniform(low, high, (count, len(low))).astype(np.float32)


def _mountain_car(speed=0.07):
    inside = _uniform([-1.2, -speed], [0.6, speed])
    inside = inside[~((inside[:, 0] >= 0.45) & (inside[:, 1] >= 0))]  # not over already
    at_wall = _uniform([-1.2, -speed], [-1.15, 0.01], 300)
    standing = np.array([[-1.2, -speed], [-1.2, 0.0], [-1.2, speed]], np.float32)
    return np.concatenate([inside, at_wall, standing])


# CartPole: only states before an end. From a state that is over, gymnax pays 0 and gymnasium pays
# 1 once: no rollout sees it.
# Acrobot: half of its greatest speeds. Beyond, one Runge-Kutta step of 0.2 s magnifies float32
# rounding up to 1e-4 of a velocity; gymnasium computes in double precision, where the two agree
# to 2e-12 over all speeds.
CLASSIC = {
    "CartPole-v1": (
        ("x", "x_dot", "theta", "theta_dot"),
        _uniform([-2.4, -3, -0.209, -3], [2.4, 3, 0.209, 3]),
    ),
    "Pendulum-v1": (("theta", "theta_dot"), _uniform([-6, -8], [6, 8])),
    "Acrobot-v1": (
        ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
        _uniform([-np.pi, -np.pi, -6, -14], [np.pi, np.pi, 6, 14]),
    ),
    "MountainCar-v0": (("position", "velocity"), _mountain_car()),
    "MountainCarContinuous-v0": (("position", "velocity"), _mountain_car()),
}


@pytest.mark.parametrize("name", CLASSIC)
def test_a_step_equals_gymnasium(name):
    fields, starts = CLASSIC[name]
    env = make(name)
    original = gymnasium.make(name).unwrapped
    original.reset(seed=0)
    original.action_space.seed(0)
    actions = np.stack([original.action_space.sample() for _ in starts])

    @jax.jit
    @jax.vmap
    def step(start, action):
        state, _ = env.reset(jax.random.key(0))
        state = state.replace(**dict(zip(fields, start)))
        return env.step(jax.random.key(1), state, action)

    discrete = actions.ndim == 1
    ours = step(jnp.asarray(starts), jnp.asarray(actions, jnp.int32 if discrete else jnp.float32))

    expected = []
    for start, action in zip(starts, actions):
        original.state = np.asarray(start, np.float64)
        original.steps_beyond_terminated = None
        expected.append(original.step(action)[:3])
    observation, reward, terminated = (np.array(column) for column in zip(*expected))
    np.testing.assert_allclose(ours.observation.values, observation, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.reward, reward, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.terminated, terminated)
    assert not np.asarray(ours.truncated).any()
    assert gymnasium.spec(name).max_episode_steps == env.spec.episode_length
    if name != "Pendulum-v1":
        assert terminated.any()


def test_the_left_wall_stops_the_continuous_car():
    env = make("MountainCarContinuous-v0")
    state, _ = env.reset(jax.random.key(0))
    state = state.replace(position=jnp.float32(-1.19), velocity=jnp.float32(-0.05))
    after = env.step(jax.random.key(0), state, jnp.zeros(1))
    np.testing.assert_array_equal(after.observation.values, np.array([-1.2, 0.0], np.float32))
