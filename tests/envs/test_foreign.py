"""Classes in the styles of gymnax 0.0.x, gymnax 1.x and brax, as people write them."""

from functools import partial
from typing import ClassVar, NamedTuple

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import State as BraxState
from brax.envs.wrappers.training import AutoResetWrapper, EpisodeWrapper, VmapWrapper
from flax import struct
from gymnax.environments import environment, spaces

from rl_es.envs._styles import adapt
from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete
from rl_es.rollout.wrappers import TimeLimit
from rl_es.tools.check_agent import find_key_reuse

LIMIT = 7


@struct.dataclass
class Params:
    max_steps_in_episode: int = LIMIT
    goal: float = 3.0


@struct.dataclass
class State:
    x: jax.Array
    time: int


class Walk(environment.Environment):
    """gymnax 1.x: a walk to a goal; each step right adds 1, and rewards 1."""

    @property
    def default_params(self):
        return Params()

    def action_space(self, params=None):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Box(-9, 9, (1,))

    def reset_env(self, key, params):
        state = State(jnp.zeros(()), 0)
        return self.get_obs(state), state

    def get_obs(self, state, params=None, key=None):
        return state.x[None]

    def step_env(self, key, state, action, params):
        state = State(state.x + action, state.time + 1)
        done = self.is_terminated(state, params)
        return self.get_obs(state), state, 1.0 * action, done, {}

    def is_terminated(self, state, params):
        return state.x >= params.goal


class Old(environment.Environment):
    """gymnax 0.0.x on today's base class: is_terminal has the limit, info the discount."""

    default_params = Params()
    action_space = Walk.action_space
    observation_space = Walk.observation_space
    reset_env = Walk.reset_env
    get_obs = Walk.get_obs

    def step_env(self, key, state, action, params):
        state = State(state.x + action, state.time + 1)
        done = self.is_terminal(state, params)
        return (
            jax.lax.stop_gradient(self.get_obs(state)),
            jax.lax.stop_gradient(state),
            1.0 * action,
            done,
            {"discount": self.discount(state, params)},
        )

    def is_terminal(self, state, params):
        return jnp.logical_or(state.x >= params.goal, state.time >= params.max_steps_in_episode)


class CountedState(NamedTuple):
    x: jax.Array
    steps_taken: jax.Array


class OtherCounter(Old):
    """Its state has no `time`."""

    def reset_env(self, key, params):
        state = CountedState(jnp.zeros(()), jnp.zeros((), jnp.int32))
        return state.x[None], state

    def step_env(self, key, state, action, params):
        state = CountedState(state.x + action, state.steps_taken + 1)
        done = (state.x >= params.goal) | (state.steps_taken >= params.max_steps_in_episode)
        return state.x[None], state, 1.0 * action, done, {}


@struct.dataclass
class BareParams(environment.EnvParams):
    goal: float = 3.0


class Unlimited(Walk):
    """Its parameters merely inherit gymnax's limit of 1."""

    default_params = BareParams()


@struct.dataclass
class HorizonParams:
    horizon: int = LIMIT
    goal: float = 3.0


class OtherName(OtherCounter):
    """Its limit has another name."""

    default_params = HorizonParams()

    def step_env(self, key, state, action, params):
        state = CountedState(state.x + action, state.steps_taken + 1)
        done = (state.x >= params.goal) | (state.steps_taken >= params.horizon)
        return state.x[None], state, 1.0 * action, done, {}


class OnObject:
    """No base class, no parameters: the limit is an attribute of the object."""

    num_actions = 2

    def __init__(self):
        self.max_steps = LIMIT

    def reset_env(self, key):
        state = {"x": jnp.zeros(()), "t": 0}
        return state["x"][None], state

    def step_env(self, key, state, action):
        state = {"x": state["x"] + action, "t": state["t"] + 1}
        done = (state["x"] >= 3.0) | (state["t"] >= self.max_steps)
        return state["x"][None], state, 1.0 * action, done


class SixValues(Walk):
    """Both ends from step_env."""

    def step_env(self, key, state, action, params):
        state = State(state.x + action, state.time + 1)
        terminated = state.x >= params.goal
        return (
            self.get_obs(state),
            state,
            1.0 * action,
            terminated,
            state.time >= params.max_steps_in_episode,
            {},
        )


class DoneWithoutMethods(Walk):
    """`done` in step_env, without the limit, which gymnax's base class applies."""

    def step_env(self, key, state, action, params):
        state = State(state.x + action, state.time + 1)
        return self.get_obs(state), state, 1.0 * action, state.x >= params.goal, {}


@struct.dataclass
class InventoryParams:
    periods: int = LIMIT
    goal: float = 3.0


class UnknownName(OtherCounter):
    """Its limit has a name that no list can have, and its step is under jit."""

    default_params = InventoryParams()

    @partial(jax.jit, static_argnums=0)
    def step_env(self, key, state, action, params):
        state = CountedState(state.x + action, state.steps_taken + 1)
        done = jnp.any(jnp.array([state.x >= params.goal, state.steps_taken >= params.periods]))
        return state.x[None], state, 1.0 * action, done, {}


class ClockState(NamedTuple):
    x: jax.Array
    clock: jax.Array


@struct.dataclass
class DurationParams:
    time_limit: float = 0.1 * LIMIT  # seconds, not steps


class Seconds(OtherCounter):
    """Its limit is a duration, and its state has a clock."""

    default_params = DurationParams()

    def reset_env(self, key, params):
        state = ClockState(jnp.zeros(()), jnp.zeros(()))
        return state.x[None], state

    def step_env(self, key, state, action, params):
        state = ClockState(state.x + action, state.clock + 0.1)
        done = jax.lax.select(state.clock >= params.time_limit - 1e-3, True, state.x >= 3.0)
        return state.x[None], state, 1.0 * action, done, {}


class OwnTruncation(OtherCounter):
    """gymnax 1.x: is_truncated of its own, with a limit in the code."""

    default_params = BareParams()

    def step_env(self, key, state, action, params):
        state = CountedState(state.x + action, state.steps_taken + 1)
        return state.x[None], state, 1.0 * action, state.x >= params.goal, {}

    def is_truncated(self, state, params):
        return state.steps_taken >= LIMIT


UNNAMED = (UnknownName, Seconds, OwnTruncation)
LIMITED = (Walk, Old, OtherCounter, OtherName, OnObject, SixValues, DoneWithoutMethods, *UNNAMED)


def rollout(env, action, steps):
    """Returns the transitions of `steps` steps of one action, and the state at the end."""
    state, _ = env.reset(jax.random.key(0))

    def step(state, _):
        after = env.step(jax.random.key(1), state, action)
        return after.state, after._replace(state=())

    return jax.jit(lambda state: jax.lax.scan(step, state, None, steps))(state)


@pytest.mark.parametrize("kind", [*LIMITED, Unlimited])
def test_termination_is_told_from_truncation(kind):
    env = adapt("walk", kind())
    assert env.spec.episode_length == (None if kind is Unlimited else LIMIT)
    _, going = rollout(env, jnp.int32(1), 10)
    assert going.terminated.argmax() == 2  # the third step right reaches the goal
    _, staying = rollout(env, jnp.int32(0), 10)
    assert not staying.terminated.any()
    truncated = np.asarray(staying.truncated)
    expected = np.zeros(10, bool) if kind is Unlimited else np.arange(1, 11) >= LIMIT
    np.testing.assert_array_equal(truncated, expected)


@pytest.mark.parametrize("kind", LIMITED)
def test_the_limit_can_be_lifted(kind):
    env = TimeLimit(adapt("walk", kind()), 9)
    _, staying = rollout(env, jnp.int32(0), 10)
    assert not staying.terminated.any()
    assert staying.truncated.argmax() == 8


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Walk, "limit 7: max_steps_in_episode of its parameters"),
        (OtherName, "limit 7: horizon of its parameters"),
        (OnObject, "limit 7: max_steps of the environment"),
        (UnknownName, "limit 7: every episode ends by then, by steps_taken of its state"),
        (Seconds, "limit 7: every episode ends by then, by clock of its state"),
        (Unlimited, "no time limit: neither"),
    ],
)
def test_where_the_limit_is_from_is_told(kind, words):
    assert words in adapt("walk", kind()).spec.notes[0]


class OnlyTime(OtherCounter):
    """The one end that it has is the limit, and its steps are random."""

    default_params = InventoryParams()

    def step_env(self, key, state, action, params):
        x = state.x + jax.random.normal(key)
        state = CountedState(x, state.steps_taken + 1)
        return x[None], state, x, state.steps_taken >= params.periods, {}


class RandomSteps(Old):
    """gymnax 0.0.x, with random steps and the limit in `done`."""

    def step_env(self, key, state, action, params):
        return super().step_env(key, state, action + jax.random.bernoulli(key), params)


@pytest.mark.parametrize("kind", [RandomSteps, OnlyTime])
def test_a_step_uses_its_key_once(kind):
    env = adapt("walk", kind())
    key = jax.random.key(0)
    state, _ = env.reset(key)
    assert not find_key_reuse(env.step, key, state, jnp.int32(0))


class DuckDiscrete:
    n = 2


class DuckBox:
    low, high, shape = -1.0, np.ones(3), (3,)


class BoundedArray:
    minimum, maximum, shape = np.zeros(2), np.ones(2), (2,)


def test_spaces_are_read_by_what_they_have():
    assert adapt("walk", _with_space(DuckDiscrete())).spec.action_space == Discrete(2)
    for space, low in ((DuckBox(), -np.ones(3)), (BoundedArray(), np.zeros(2))):
        box = adapt("walk", _with_space(space)).spec.action_space
        assert isinstance(box, Box)
        np.testing.assert_array_equal(box.low, low.astype(np.float32))


def test_first_actions_other_than_zero_are_shifted():
    space = DuckDiscrete()
    space.start = 1  # actions 1 and 2
    env = adapt("walk", _with_space(space))
    state, _ = env.reset(jax.random.key(0))
    assert env.step(jax.random.key(0), state, jnp.int32(1)).reward == 2.0


def _with_space(space):
    class Spaced(Walk):
        def action_space(self, params=None):
            return space

        def step_env(self, key, state, action, params):
            return super().step_env(key, state, jnp.sum(action), params)

    return Spaced()


class Dictionary(Walk):
    """Observations by name, with a mask."""

    def observation_space(self, params):
        return spaces.Dict({})

    def get_obs(self, state, params=None, key=None):
        goal = jnp.array([3, 4])
        mask = jnp.array([True, False])
        return {"walls": jnp.ones((2, 2), bool), "goal": goal, "action_mask": mask}


def test_a_dictionary_of_observations_is_one_vector():
    env = adapt("walk", Dictionary())
    _, observation = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(observation.values, np.float32([3, 4, 1, 1, 1, 1]))
    np.testing.assert_array_equal(observation.action_mask, [True, False])
    assert env.spec.notes[1] == (
        "observation: one vector of goal (2,), walls (2, 2); action_mask is the mask"
    )


class NoSpace(Walk):
    action_space = environment.Environment.action_space


class ThreeValues(Walk):
    def step_env(self, key, state, action, params):
        return self.get_obs(state), state, 1.0


class OtherStructure(Walk):
    def step_env(self, key, state, action, params):
        return *super().step_env(key, state, action, params)[:1], (state.x, 1), 0.0, False, {}


class OtherShape(Walk):
    def step_env(self, key, state, action, params):
        observation, state, *others = super().step_env(key, state, action, params)
        return observation, state.replace(x=jnp.zeros(2)), *others


class OnlyStep:
    default_params = Params()

    def reset(self, key, params):
        raise NotImplementedError

    def step(self, key, state, action, params):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NoSpace, "its action space is missing; write: def action_space"),
        (ThreeValues, "step_env returns 3 values; write: return observation, state, reward, done"),
        (OtherStructure, "reset and step give states of different structures"),
        (OtherShape, r"reset gives x of shape \(\), step of \(2,\)"),
        (OnlyStep, "write reset_env"),
    ],
)
def test_what_is_missing_is_named(kind, words):
    with pytest.raises(UserError, match=words):
        adapt("walk", kind())


# brax.


class Slide(brax.envs.Env):
    """brax: a point that terminates beyond 1; observations by name."""

    observation_size: ClassVar = {"state": 2, "privileged_state": 3}
    action_size = 1
    backend = "none"

    def reset(self, rng):
        x = jnp.zeros(1)
        return BraxState(None, self._observe(x), jnp.zeros(()), jnp.zeros(()), {}, {"x": x})

    def step(self, state, action):
        x = state.info["x"] + 0.3 * action
        done = (x[0] > 1.0).astype(jnp.float32)
        info = {**state.info, "x": x}
        return state.replace(obs=self._observe(x), reward=x[0], done=done, info=info)

    def _observe(self, x):
        return {"state": jnp.tile(x, 2), "privileged_state": jnp.tile(x, 3)}


def test_a_policy_sees_the_state_of_brax_and_not_what_is_for_critics():
    env = adapt("slide", Slide())
    assert env.spec.observation_shape == (2,)
    assert env.spec.episode_length is None and "no time limit" in env.spec.notes[0]


def test_brax_training_wrappers_are_taken_off():
    wrapped = AutoResetWrapper(VmapWrapper(EpisodeWrapper(Slide(), LIMIT, 1)))
    env = adapt("slide", wrapped)
    assert env.spec.episode_length == LIMIT
    _, going = rollout(env, jnp.ones(1), 5)
    assert going.terminated.argmax() == 3 and not going.truncated.any()
    _, staying = rollout(env, jnp.zeros(1), 8)
    assert not staying.terminated.any() and staying.truncated.argmax() == LIMIT - 1
    _, longer = rollout(TimeLimit(env, 9), jnp.zeros(1), 10)
    assert not longer.terminated.any() and longer.truncated.argmax() == 8


class CountedSlide(Slide):
    """Playground's manner: a counter in `info`, and the limit in `done`."""

    def reset(self, rng):
        state = super().reset(rng)
        return state.replace(info={**state.info, "step": 0})

    def step(self, state, action):
        after = super().step(state, action)
        step = state.info["step"] + 1
        over = (after.done > 0) | (step >= LIMIT)
        info = {**after.info, "step": step}
        return after.replace(done=jnp.where(over, 1.0, 0.0), info=info)


def test_a_limit_in_the_done_of_brax_is_a_truncation():
    env = adapt("slide", CountedSlide())
    assert env.spec.episode_length == LIMIT and "by info.step" in env.spec.notes[0]
    assert env.spec.notes[1] == "observation: state; privileged_state is for critics"
    _, going = rollout(env, jnp.ones(1), 5)
    assert going.terminated.argmax() == 3 and not going.truncated.any()
    _, longer = rollout(TimeLimit(env, 9), jnp.zeros(1), 10)
    assert not longer.terminated.any() and longer.truncated.argmax() == 8


def test_a_wrapper_that_repeats_actions_is_refused():
    with pytest.raises(UserError, match="write action_repeat: 4 in the sweep file"):
        adapt("slide", EpisodeWrapper(Slide(), LIMIT, 4))
