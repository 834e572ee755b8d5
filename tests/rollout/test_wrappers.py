"""Wrappers around an environment whose every number is known, and around real ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.envs import gymnax as suite
from rl_es.interfaces import Discrete, EnvSpec, Observation, Transition
from rl_es.rollout.config import WrapperConfig
from rl_es.rollout.unroll import single_step, start_particle, unroll_episodes
from rl_es.rollout.wrappers import ActionRepeat, RewardScale, TimeLimit, wrap_environment
from tests.envs import contract
from tests.toys import Countdown, ParameterPolicy


class Counter:
    """Pays its step's number 1, 2, 3, ...; ends after `ends` steps and is over after `limit`."""

    def __init__(self, ends=None, limit=None):
        self.ends, self.limit = ends, limit
        self.spec = EnvSpec("counter", (1,), Discrete(2), limit)

    def reset(self, key):
        return jnp.zeros((), jnp.int32), Observation(jnp.zeros(1))

    def step(self, key, state, action):
        count = state + 1
        terminated = count == self.ends if self.ends else jnp.zeros((), bool)
        truncated = count >= self.limit if self.limit else jnp.zeros((), bool)
        number = count.astype(jnp.float32)
        return Transition(count, Observation(number[None]), number, terminated, truncated)


def rollout(env, steps):
    """Rewards, observations, terminated and truncated of `steps` steps, each [T]."""

    def step(state, key):
        after = env.step(key, state, jnp.zeros((), jnp.int32))
        return after.state, (
            after.reward,
            after.observation.values[0],
            after.terminated,
            after.truncated,
        )

    state, _ = env.reset(jax.random.key(0))
    outputs = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), steps))[1]
    return [np.asarray(output) for output in outputs]


def first(flags):
    """The number of the first step that is flagged, or None."""
    return int(flags.argmax()) + 1 if flags.any() else None


@pytest.mark.parametrize("own", [None, 3, 5, 8])
def test_a_time_limit_replaces_the_own_one(own):
    env = TimeLimit(Counter(limit=own), 5)
    assert env.spec.episode_length == 5
    _, _, terminated, truncated = rollout(env, 10)
    assert not terminated.any()
    assert first(truncated) == 5


@pytest.mark.parametrize("limit", [3, 4, 6])
def test_an_end_within_the_limit_is_a_termination(limit):
    _, _, terminated, truncated = rollout(TimeLimit(Counter(ends=4), limit), 4)
    assert first(terminated) == 4
    assert first(truncated) == (3 if limit == 3 else None)  # and never both in one step
    assert not (terminated & truncated).any()


def test_the_last_of_several_limits_holds():
    env = TimeLimit(TimeLimit(Counter(), 3), 7)
    assert isinstance(env.env, Counter)
    assert first(rollout(env, 9)[3]) == 7


def test_repeats_add_up():
    rewards, values, terminated, truncated = rollout(ActionRepeat(Counter(), 3), 2)
    np.testing.assert_array_equal(rewards, [1 + 2 + 3, 4 + 5 + 6])
    np.testing.assert_array_equal(values, [3, 6])
    assert not (terminated | truncated).any()


@pytest.mark.parametrize("kind", ["ends", "limit"])
def test_repeats_stop_where_the_episode_ends(kind):
    env = ActionRepeat(Counter(**{kind: 5}), 3)
    assert env.spec.episode_length == (2 if kind == "limit" else None)
    rewards, values, terminated, truncated = rollout(env, 2)
    np.testing.assert_array_equal(rewards, [1 + 2 + 3, 4 + 5])
    np.testing.assert_array_equal(values, [3, 5])
    flags, others = (terminated, truncated) if kind == "ends" else (truncated, terminated)
    np.testing.assert_array_equal(flags, [False, True])
    assert not others.any()


def test_rewards_are_scaled():
    rewards, values, *_ = rollout(RewardScale(Counter(), -0.5), 3)
    np.testing.assert_array_equal(rewards, [-0.5, -1.0, -1.5])
    np.testing.assert_array_equal(values, [1, 2, 3])


def test_wrap_does_nothing_unasked():
    env = Counter(limit=6)
    assert wrap_environment(env, WrapperConfig()) is env
    assert wrap_environment(env, WrapperConfig(episode_length=6)) is env


def test_wrap_counts_the_agents_steps():
    env = wrap_environment(
        Counter(limit=10), WrapperConfig(episode_length=4, action_repeat=3, reward_scale=2.0)
    )
    assert env.spec.episode_length == 4  # twelve of the environment: more than its own ten
    rewards, _, terminated, truncated = rollout(env, 4)
    np.testing.assert_array_equal(rewards, [12, 30, 48, 66])
    np.testing.assert_array_equal(truncated, [False, False, False, True])
    assert not terminated.any()
    assert (
        wrap_environment(Counter(limit=10), WrapperConfig(action_repeat=3)).spec.episode_length == 4
    )


@pytest.mark.parametrize("length", [50, 300])
def test_real_episodes_are_shortened_and_lengthened(length):
    """Pendulum's own limit is 200, and it never ends of itself."""
    env = wrap_environment(
        suite.make("Pendulum-v1", suite.Options()), WrapperConfig(episode_length=length)
    )
    result = contract.check(env, length)
    assert result.truncated[-1].all()


def test_wrapped_environments_keep_the_contract():
    config = WrapperConfig(episode_length=40, action_repeat=4, reward_scale=0.1)
    env = wrap_environment(suite.make("CartPole-v1", suite.Options()), config)
    result = contract.check(env, 40)
    np.testing.assert_allclose(result.reward[0], 0.4, rtol=1e-6)
    assert result.terminated[:3, 4:].any(0).all()


def test_repeated_actions_are_counted_as_the_environments_steps():
    """Up to the end of the episode and not beyond it, where it ends within the repeats."""
    inner, policy = Countdown(longest=10, limit=8), ParameterPolicy()
    env = ActionRepeat(inner, 3)
    keys = jax.random.split(jax.random.key(0), 64)
    particles = jax.vmap(lambda key: start_particle(env, policy, key))(keys)
    lengths = np.minimum(np.asarray(particles.env[1]), 8)
    step = single_step(env, policy, {"theta": jnp.zeros(1)}, None)
    unrolled = jax.jit(lambda first: unroll_episodes(step, first, keys, env.spec.episode_length))(
        particles
    )
    np.testing.assert_array_equal(unrolled.lengths, lengths)
    np.testing.assert_array_equal(unrolled.returns, lengths)
    assert len(set(lengths)) > 4
