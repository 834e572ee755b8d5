"""Wrappers of environments: a time limit, repeated actions, scaled rewards.

Each wrapper is an `Environment` itself, whose state has the same structure at reset and at every
step. `implicit_promotion` is for code of other libraries, called from ours, which may run under
strict promotion rules.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import cast

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.interfaces import Environment, EnvState, Observation, Scored, Transition
from rl_es.rollout.config import WrapperConfig


@struct.dataclass
class TimeLimitState:
    """The state of a `TimeLimit`."""

    inner: EnvState
    steps: Array  # [] int32, since the reset


class TimeLimit:
    """Truncates an episode after `steps` steps, and at no other time.

    It replaces the environment's own limit, and can shorten as well as lengthen an episode: the
    environment's `truncated` is ignored, its `terminated` is not.
    """

    def __init__(self, env: Environment, steps: int):
        self.env = env.env if isinstance(env, TimeLimit) else env
        self.steps = steps
        self.spec = dataclasses.replace(env.spec, episode_length=steps)

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state, observation = self.env.reset(key)
        return TimeLimitState(state, jnp.zeros((), jnp.int32)), observation

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        transition = self.env.step(key, state.inner, action)
        steps = state.steps + 1
        return transition._replace(
            state=TimeLimitState(transition.state, steps),
            truncated=(steps >= self.steps) & ~transition.terminated,
        )

    def score(self, state: EnvState) -> Array:
        return _score(self.env, state.inner)


class ActionRepeat:
    """Takes every action `repeats` times: one step of the agent is that many of the environment.

    If the episode ends within the repeats, rewards are summed up to its end, and the observation is
    the one at its end. The time limit counts steps of the agent, rounded up.
    """

    def __init__(self, env: Environment, repeats: int):
        self.env = env
        self.repeats = repeats
        self.spec = dataclasses.replace(
            env.spec,
            episode_length=_agent_steps(env.spec.episode_length, repeats),
            evaluation_steps=_agent_steps(env.spec.evaluation_steps, repeats),
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        return self.env.reset(key)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        def once(state: EnvState, key: Array) -> tuple[EnvState, Transition]:
            transition = self.env.step(key, state, action)
            return transition.state, transition._replace(state=())

        state, outcomes = jax.lax.scan(once, state, jax.random.split(key, self.repeats))
        ends = (outcomes.terminated | outcomes.truncated).astype(jnp.int32)  # [repeats]
        counts = jnp.cumsum(ends) == ends  # up to the first end, included
        last = jnp.where(ends.any(), jnp.argmax(ends), self.repeats - 1)
        at_end = jax.tree.map(lambda leaf: leaf[last], outcomes)
        # The state continues past an end, where it is not used: selecting it would cost a copy.
        return at_end._replace(
            state=state,
            reward=jnp.where(counts, outcomes.reward, 0.0).sum(),
            steps=jnp.where(counts, outcomes.steps, 0).sum(),
        )

    def score(self, state: EnvState) -> Array:
        return _score(self.env, state)


class RewardScale:
    """Multiplies every reward by a factor."""

    def __init__(self, env: Environment, factor: float):
        self.env = env
        self.factor = factor
        self.spec = env.spec

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        return self.env.reset(key)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        transition = self.env.step(key, state, action)
        return transition._replace(reward=transition.reward * self.factor)

    def score(self, state: EnvState) -> Array:
        return _score(self.env, state)


def strip_wrappers(state: EnvState) -> EnvState:
    """Returns the state of the environment itself, without that of its wrappers."""
    while isinstance(state, TimeLimitState):
        state = state.inner
    return state


def _agent_steps(steps: int | None, repeats: int) -> int | None:
    """Returns the number of actions, repeated so often, that these environment steps take."""
    return None if steps is None else math.ceil(steps / repeats)


def _score(env: Environment, state: EnvState) -> Array:
    """Returns the score of an environment that has one; wrappers do not change it."""
    return cast(Scored, env).score(state)


def wrap_environment(env: Environment, config: WrapperConfig) -> Environment:
    """Wraps an environment as configured; returns itself where nothing changes.

    The configured time limit counts steps of the agent: with an action repeat of n, a limit of T is
    n T steps of the environment.
    """
    if config.episode_length is not None:
        steps = config.episode_length * config.action_repeat
        if steps != env.spec.episode_length:
            env = TimeLimit(env, steps)
    if config.action_repeat > 1:
        env = ActionRepeat(env, config.action_repeat)
    if config.reward_scale != 1.0:
        env = RewardScale(env, config.reward_scale)
    return env


@contextlib.contextmanager
def implicit_promotion() -> Iterator[None]:
    """Promotes dtypes and ranks by JAX's default rules within this context."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
