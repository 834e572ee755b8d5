"""Environments of brax, and of others in its style, as the engine's `Environment`.

`BraxStyleEnvironment` carries the whole state of an environment; `BraxEnvironment`, for brax's own,
the physics alone. Brax's wrappers are not used.
"""

import copy
import dataclasses
import functools
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.envs._adapter import (
    box,
    cast,
    describe_arrays,
    no_action,
    observe_arrays,
    state_types,
    valid_action,
    without_printing,
)
from rl_es.errors import UserError
from rl_es.interfaces import Box, Environment, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import TimeLimit, implicit_promotion

with without_printing():
    from brax import envs, fluid
    from brax.envs.base import State


# Wrappers of brax and Playground that serve their own training loops.
TRAINING_WRAPPERS = ("VmapWrapper", "AutoResetWrapper", "BraxAutoResetWrapper", "EvalWrapper")
EPISODE_WRAPPER = "EpisodeWrapper"


def adapt(name: str, env: Any) -> Environment:
    """Returns an environment in the style of brax as the engine's.

    Wrappers of training loops are taken off: the engine vmaps and resets by itself. A time limit
    is that of an `EpisodeWrapper`, if there is one.

    Raises:
      UserError: says what the class lacks, and the line to write.
    """
    bare, limit = _without_training_wrappers(name, env)
    if limit is None:
        note = "no time limit: brax's environments state none; set episode_length in the sweep file"
        return BraxStyleEnvironment(name, bare, notes=(note,))
    note = f"limit {limit:,}: episode_length of the {EPISODE_WRAPPER}"
    return TimeLimit(BraxStyleEnvironment(name, bare, notes=(note,)), limit)


def _without_training_wrappers(name: str, env: Any) -> tuple[Any, int | None]:
    """Returns an environment without wrappers of training loops, and the limit among them."""
    if "env" not in vars(env):
        return env, None
    inner, limit = _without_training_wrappers(name, env.env)
    kind = type(env).__name__
    if kind == EPISODE_WRAPPER:
        if env.action_repeat != 1:
            raise UserError(
                f"{name}: {kind} repeats actions {env.action_repeat} times; name the environment "
                f"itself, and write action_repeat: {env.action_repeat} in the sweep file"
            )
        return inner, int(env.episode_length)
    if kind in TRAINING_WRAPPERS:
        return inner, limit
    if inner is not env.env:
        env = copy.copy(env)
        env.env = inner
    return env, limit


class BraxStyleEnvironment:
    """An environment in the style of brax, without a time limit.

    Its `reset(key)` and `step(state, action)` return a state with `obs`, `reward` and `done`. Of a
    dictionary of observations with a `state` and a `privileged_state`, which is for critics, the
    policy sees the `state`; of any other it sees all arrays, as one vector.
    """

    def __init__(self, name: str, env: Any, space: Box | None = None, notes: tuple[str, ...] = ()):
        """Wraps an environment.

        Args:
          name: Its name in a sweep file.
          env: The environment.
          space: Its action space; [-1, 1] for each element by default, as brax's own steps expect:
            environments whose actuators have another range map it themselves.
          notes: What an adapter read from the class, as in `EnvSpec`.

        Raises:
          UserError: reset returns no state with `obs`, `reward` and `done`.
        """
        self._env = env
        # Under jit its Python runs once for all programs that step or reset this environment.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
        space = space or box(-1.0, 1.0, (int(env.action_size),))
        start = functools.partial(self._reset, jax.random.key(0))
        self._shape = jax.eval_shape(start)
        for field in ("obs", "reward", "done"):
            if not hasattr(self._shape, field):
                raise UserError(
                    f"{name}: reset returns a {type(self._shape).__name__} without {field}; "
                    "write: return brax.envs.State(pipeline_state, obs, reward, done)"
                )
        self._types = state_types(
            lambda: self._scan_state(start()),
            lambda state: self._scan_state(self._step(state, no_action(space))),
        )
        arrays = describe_arrays(_visible(self._shape.obs))
        if _visible(self._shape.obs) is not self._shape.obs:
            arrays = "state; privileged_state is for critics"
        self.spec = EnvSpec(
            name=name,
            observation_shape=jax.eval_shape(_observation, self._shape).values.shape,
            action_space=space,
            episode_length=None,
            rewards_after_end=True,
            notes=(*notes, *((f"observation: {arrays}",) if arrays else ())),
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state = self._reset(key)
        return cast(self._types, self._scan_state(state)), _observation(state)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        del key  # random steps use a key in the state
        after = self._step(state, valid_action(self.spec.action_space, action))
        return Transition(
            state=cast(self._types, self._scan_state(after)),
            observation=_observation(after),
            reward=jnp.asarray(after.reward, jnp.float32),
            terminated=jnp.asarray(after.done, bool),
            truncated=jnp.zeros((), bool),
        )

    def _scan_state(self, state: Any) -> EnvState:
        """Returns the part of the environment's state that its next step needs: all of it."""
        return state

    def _reset_once(self, key: Array) -> Any:
        with implicit_promotion():
            return self._env.reset(key)

    def _step_once(self, state: Any, action: Array) -> Any:
        with implicit_promotion():
            return self._env.step(state, action)


def _visible(observation: Any) -> Any:
    """Returns what a policy sees of an observation."""
    if isinstance(observation, Mapping) and {*observation} == {"state", "privileged_state"}:
        return observation["state"]
    return observation


def _observation(state: Any) -> Observation:
    return observe_arrays(_visible(state.obs))


class _Numpy:
    """`jax.numpy` for `brax.fluid`, whose call of `clip` uses a name that jax above 0.9 dropped."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def clip(self, values: Array, a_min: float) -> Array:
        """Returns the values, clipped from below."""
        return jnp.clip(values, min=a_min)


fluid.jp = _Numpy()


def make_environment(name: str, backend: str) -> Any:
    """Returns brax's own environment of a name."""
    with implicit_promotion(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Brax System")  # on every load: brax is not maintained
        return envs.get_environment(name.removeprefix("brax/"), backend=backend)


class BraxEnvironment(BraxStyleEnvironment):
    """An environment of brax on one of its physics backends.

    The state is the physics alone. All other fields of brax's state are outputs of its step, which
    needs them to exist only.
    """

    def _scan_state(self, state: State) -> EnvState:
        return state.pipeline_state

    def _step_once(self, state: Any, action: Array) -> State:
        empty = dataclasses.replace(self._shape, pipeline_state=None)
        fields = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty)
        return super()._step_once(dataclasses.replace(fields, pipeline_state=state), action)
