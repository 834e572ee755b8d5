"""A Craftax environment as the engine's `Environment`: its step without auto-reset.

Craftax's `done` is set by its time limit too. Its step is therefore run with a limit that is never
reached, which alone reads that parameter, and the limit itself is told as truncation.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from craftax.craftax_env import make_craftax_env_from_name
from jax import Array

from envs._adapter import cast, implicit_promotion, no_action, state_types, valid_action
from rl_es.interfaces import Discrete, EnvSpec, EnvState, Observation, Transition


def made(name: str) -> Any:
    """The environment that Craftax itself has under a name."""
    with implicit_promotion():
        return make_craftax_env_from_name(f"{name.removeprefix('craftax/')}-v1", auto_reset=False)


class CraftaxEnvironment:
    """One of Craftax's environments with its default parameters."""

    def __init__(self, name: str):
        self._env = made(name)
        params = self._env.default_params
        self._limit = int(params.max_timesteps)
        self._endless = params.replace(max_timesteps=np.iinfo(np.int32).max)
        # Under jit Craftax's Python runs once for all programs that step or reset this environment.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
        space = Discrete(int(self._env.action_space(params).n))
        start = functools.partial(self._reset, jax.random.key(0))
        self._types = state_types(
            lambda: start()[1],
            lambda state: self._step(jax.random.key(0), state, no_action(space))[1],
        )
        self.spec = EnvSpec(
            name=name,
            observation_shape=jax.eval_shape(start)[0].shape,
            action_space=space,
            episode_length=self._limit,
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        observation, state = self._reset(key)
        return cast(self._types, state), _observed(observation)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        action = valid_action(self.spec.action_space, action)
        observation, state, reward, terminated = self._step(key, state, action)
        terminated = jnp.asarray(terminated, bool)
        return Transition(
            state=cast(self._types, state),
            observation=_observed(observation),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=terminated,
            truncated=(state.timestep >= self._limit) & ~terminated,
        )

    def _reset_once(self, key: Array) -> tuple[Any, Any]:
        with implicit_promotion():
            return self._env.reset_env(key, self._endless)

    def _step_once(self, key: Array, state: EnvState, action: Array) -> tuple[Any, Any, Any, Any]:
        with implicit_promotion():
            observation, state, reward, terminated, _ = self._env.step_env(
                key, state, action, self._endless
            )
        return observation, state, reward, terminated


def _observed(observation: Array) -> Observation:
    return Observation(jnp.asarray(observation, jnp.float32))
