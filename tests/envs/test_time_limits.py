"""Time limits that only the step of an environment knows: which ends are one, and which are not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from rl_es.envs._styles import adapt
from rl_es.rollout.wrappers import TimeLimit, implicit_promotion
from rl_es.tools.check_agent import find_key_reuse

LIMIT = 7


class State(NamedTuple):
    x: Array
    t: Array
    expired: Array


class Counted:
    """The style of gymnax, with a counter and a flag, and an end that each test gives it."""

    num_actions = 2

    def __init__(self, end: Callable[[State], Any], reward: Callable[[State], Any] | None = None):
        self.end, self.reward = end, reward or (lambda state: state.x)

    def reset_env(self, key: Array) -> tuple[Array, State]:
        state = State(jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return state.x[None], state

    def step_env(self, key: Array, state: State, action: Array) -> tuple[Any, ...]:
        x = state.x + action + jax.random.uniform(key, minval=-0.01, maxval=0.01)
        after = State(x, state.t + 1, state.t + 1 >= LIMIT - 1)
        end = self.end(after._replace(expired=state.expired))
        return x[None], after, self.reward(after), *(end if isinstance(end, tuple) else (end,)), {}


def rollout(env: Any, steps: int = 10) -> Any:
    """Returns the transitions [2, steps] of action 0, which stays, and of action 1."""

    def play(action: Array) -> Any:
        def step(state: Any, key: Array) -> tuple[Any, Any]:
            after = env.step(key, state, action)
            return after.state, after._replace(state=())

        return jax.lax.scan(step, env.reset(keys[0])[0], keys)[1]

    keys = jax.random.split(jax.random.key(1), steps)
    return jax.jit(jax.vmap(play))(jnp.arange(2))


def number(condition: Array) -> Array:
    return condition.astype(jnp.float32)


LIMITS = {
    "alone": lambda s: s.t >= LIMIT,
    "or": lambda s: (s.x >= 3) | (s.t >= LIMIT),
    "any": lambda s: jnp.stack([s.x >= 3, s.t >= LIMIT]).any(),
    "sum": lambda s: number(s.x >= 3) + number(s.t >= LIMIT),
    "clipped sum": lambda s: jnp.clip(number(s.x >= 3) + number(s.t >= LIMIT), 0, 1),
    "maximum": lambda s: jnp.maximum(number(s.x >= 3), number(s.t >= LIMIT)) > 0,
    "where": lambda s: jnp.where(s.x >= 3, 1.0, jnp.where(s.t >= LIMIT, 1.0, 0.0)),
    "flag": lambda s: (s.x >= 3) | s.expired,
    "in jit": jax.jit(lambda s: (s.x >= 3) | (s.t >= LIMIT)),
    "truncation": lambda s: (s.x >= 3, s.t >= LIMIT),
    "truncation of two": lambda s: (s.x >= 3, (s.t >= LIMIT) & (s.t >= 2)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_an_end_that_the_counter_decides_is_a_limit(name: str) -> None:
    env = adapt("counted", Counted(LIMITS[name]))
    assert env.spec.episode_length == LIMIT
    steps = rollout(env)
    assert not steps.terminated[0].any() and steps.truncated[0].argmax() == LIMIT - 1
    if name != "alone":
        assert steps.terminated[1].any() and steps.terminated[1].argmax() in (2, 3)
    longer = rollout(TimeLimit(env, 9))
    assert not longer.terminated[0].any() and longer.truncated[0].argmax() == 8


OTHERS = {
    "a sum of numbers": lambda s: s.x + 0.1 * s.t - 0.65 > 0,
    "a number and a condition": lambda s: s.x - 5 + (s.t >= LIMIT) > 0,
    "a maximum of numbers": lambda s: jnp.maximum(s.x - 3, s.t - LIMIT) > 0,
    "both": lambda s: (s.x >= 0.5) & (s.t >= LIMIT),
    "truncation by both": lambda s: (s.x >= 3, (s.t >= 4) & (s.x >= 0.5)),
    "another truncation": lambda s: (s.t >= LIMIT, s.x >= 0.5),
    "negated": lambda s: ~((s.x < 3) & (s.t < LIMIT)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_ends_stay_as_they_are(name: str) -> None:
    env = adapt("counted", Counted(OTHERS[name]))
    assert env.spec.episode_length is None
    steps = rollout(env)
    t = jnp.tile(jnp.arange(1, 11), (2, 1))
    state = State(steps.observation.values[..., 0], t, jnp.zeros((), bool))
    with implicit_promotion():
        ends = OTHERS[name](state)
    expected = ends[0] | ends[1] if isinstance(ends, tuple) else ends
    np.testing.assert_array_equal(steps.terminated | steps.truncated, expected)


def test_an_end_that_a_key_draws_is_no_limit() -> None:
    class Walled(Counted):
        def reset_env(self, key: Array) -> tuple[Array, State]:
            observation, state = super().reset_env(key)
            return observation, state._replace(t=jax.random.randint(key, (), 0, 5))

    env = adapt("walled", Walled(LIMITS["alone"]))
    assert env.spec.episode_length is None and rollout(env).terminated.any()


def test_the_reward_at_the_limit_is_that_of_the_environment() -> None:
    env = adapt("late", Counted(LIMITS["or"], lambda s: jnp.where(s.t >= LIMIT, -10.0, 1.0)))
    rewards = rollout(env).reward[0]
    np.testing.assert_array_equal(rewards[:LIMIT], [1.0] * (LIMIT - 1) + [-10.0])


def test_a_step_uses_its_key_once() -> None:
    env = adapt("late", Counted(LIMITS["or"], lambda s: jnp.where(s.t >= LIMIT, -s.x, s.x)))
    key = jax.random.key(0)
    assert not find_key_reuse(env.step, key, env.reset(key)[0], jnp.int32(0))


def test_a_method_of_a_limit_s_name_is_none() -> None:
    class Planner(Counted):
        def horizon(self) -> None:
            raise NotImplementedError

    assert adapt("planner", Planner(LIMITS["or"])).spec.episode_length == LIMIT
