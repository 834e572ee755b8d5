"""An environment in the style of brax as the engine's `Environment`, whatever is in its state."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from envs._adapter import box, cast, no_action, state_types, valid_action
from rl_es.interfaces import Box, EnvSpec, EnvState, Observation, Transition
from rl_es.promotion import implicit_promotion


class BraxStyleEnvironment:
    """`reset(key)` and `step(state, action)` give a state with `obs`, `reward` and `done`.

    It has no time limit.
    """

    def __init__(self, name: str, env: Any, space: Box | None = None):
        """Wraps it.

        Args:
          name: its name in a sweep file.
          env: what is wrapped.
          space: its actions; by default [-1, 1] each, which is what brax's own steps expect:
            environments whose actuators have another range map it themselves.
        """
        self._env = env
        # Under jit its Python runs once for all programs that step or reset this environment.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
        space = space or box(-1.0, 1.0, (int(env.action_size),))
        start = functools.partial(self._reset, jax.random.key(0))
        self._shape = jax.eval_shape(start)
        self._types = state_types(
            lambda: self._carried(start()),
            lambda state: self._carried(self._step(state, no_action(space))),
        )
        self.spec = EnvSpec(
            name=name,
            observation_shape=self._shape.obs.shape,
            action_space=space,
            episode_length=None,
            rewards_after_end=True,
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state = self._reset(key)
        return cast(self._types, self._carried(state)), _observed(state)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        del key  # what is random in a step comes from a key in the state
        after = self._step(state, valid_action(self.spec.action_space, action))
        return Transition(
            state=cast(self._types, self._carried(after)),
            observation=_observed(after),
            reward=jnp.asarray(after.reward, jnp.float32),
            terminated=jnp.asarray(after.done, bool),
            truncated=jnp.zeros((), bool),
        )

    def _carried(self, state: Any) -> EnvState:
        """The part of the environment's own state that its next step needs: all of it."""
        return state

    def _reset_once(self, key: Array) -> Any:
        with implicit_promotion():
            return self._env.reset(key)

    def _step_once(self, state: Any, action: Array) -> Any:
        with implicit_promotion():
            return self._env.step(state, action)


def _observed(state: Any) -> Observation:
    return Observation(jnp.asarray(state.obs, jnp.float32))
