"""A brax environment as the engine's `Environment`: the raw one, without brax's wrappers.

Actions lie in [-1, 1] for every environment, which is what brax's own steps expect: those whose
actuators have another range map it themselves.
"""

import contextlib
import dataclasses
import functools
import io
import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from envs._adapter import (
    box,
    cast,
    implicit_promotion,
    no_action,
    state_types,
    valid_action,
)
from rl_es.interfaces import EnvSpec, EnvState, Observation, Transition

with contextlib.redirect_stdout(io.StringIO()):  # brax reports every optional package it misses
    from brax import envs
    from brax.envs.base import State


def made(name: str, backend: str) -> Any:
    """The environment that brax itself has under a name."""
    with implicit_promotion(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Brax System")  # on every load: it is not maintained
        return envs.get_environment(name.removeprefix("brax/"), backend=backend)


class BraxEnvironment:
    """An environment of brax's on one of its physics backends; it has no time limit.

    The state is the physics alone. Everything else in brax's own state is an output of its step,
    which only wants to find the fields there.
    """

    def __init__(self, name: str, env: Any):
        """Wraps what brax itself, or a package in its style, calls an environment."""
        self._env = env
        # Under jit brax's Python runs once for all programs that step or reset this environment.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
        space = box(-1.0, 1.0, (self._env.action_size,))
        start = functools.partial(self._reset, jax.random.key(0))
        self._empty = dataclasses.replace(jax.eval_shape(start), pipeline_state=None)
        self._types = state_types(
            lambda: start().pipeline_state,
            lambda physics: self._step(physics, no_action(space)).pipeline_state,
        )
        self.spec = EnvSpec(
            name=name,
            observation_shape=self._empty.obs.shape,
            action_space=space,
            episode_length=None,
            rewards_after_end=True,
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state = self._reset(key)
        return cast(self._types, state.pipeline_state), _observed(state)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        del key  # brax's steps are deterministic
        after = self._step(state, valid_action(self.spec.action_space, action))
        return Transition(
            state=cast(self._types, after.pipeline_state),
            observation=_observed(after),
            reward=jnp.asarray(after.reward, jnp.float32),
            terminated=jnp.asarray(after.done, bool),
            truncated=jnp.zeros((), bool),
        )

    def _reset_once(self, key: Array) -> State:
        with implicit_promotion():
            return self._env.reset(key)

    def _step_once(self, physics: Any, action: Array) -> State:
        fields = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self._empty)
        with implicit_promotion():
            return self._env.step(dataclasses.replace(fields, pipeline_state=physics), action)


def _observed(state: State) -> Observation:
    return Observation(jnp.asarray(state.obs, jnp.float32))
