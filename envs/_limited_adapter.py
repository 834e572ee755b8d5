"""An environment whose `done` mixes in its time limit, as the engine's `Environment`.

Craftax and Kinetix are gymnax-style environments whose step gives five values. Their step is run
without auto-reset and with a limit that is never reached: the check of the limit alone reads that
parameter. The limit itself is reported as a truncation.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from envs._adapter import cast, no_action, state_types, valid_action
from rl_es.interfaces import Box, Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.promotion import implicit_promotion


class LimitedEnvironment:
    """An environment of parameters with `max_timesteps`, and of states with `timestep`."""

    def __init__(self, name: str, env: Any, params: Any, space: Discrete | Box, *chosen: Any):
        """Wraps it; `chosen` are arguments of its `reset_env` after the key and the parameters."""
        self._env, self._chosen = env, chosen
        self._limit = int(params.max_timesteps)
        self._endless = params.replace(max_timesteps=np.iinfo(np.int32).max)
        # Under jit its Python runs once for all programs that step or reset this environment.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
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
            rewards_after_end=True,
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
            return self._env.reset_env(key, self._endless, *self._chosen)

    def _step_once(self, key: Array, state: EnvState, action: Array) -> tuple[Any, Any, Any, Any]:
        with implicit_promotion():
            observation, state, reward, terminated, _ = self._env.step_env(
                key, state, action, self._endless
            )
        return observation, state, reward, terminated


def _observed(observation: Array) -> Observation:
    return Observation(jnp.asarray(observation, jnp.float32))
