"""A navix environment as the engine's `Environment`: its raw step, which does not reset.

The state is navix's own without its key, which every step gets anew, and without the pictures of
its tiles, which only drawing needs.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from navix.environments.environment import StepType, Timestep
from navix.environments.registry import make

from rl_es.envs._adapter import cast, no_action, state_types, valid_action
from rl_es.interfaces import Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion


def make_environment(name: str) -> Any:
    """Returns navix's own environment of a name."""
    with implicit_promotion():
        return make(name.removeprefix("navix/"))


class NavixEnvironment:
    """An environment of navix, without a time limit."""

    def __init__(self, name: str):
        self._env = make_environment(name)
        # Under jit navix's Python runs once for all programs that step or reset this environment.
        self._reset, self._step = jax.jit(self._reset_once), jax.jit(self._step_once)
        space = Discrete(len(self._env.action_set))
        self._types = state_types(
            lambda: self._reset(jax.random.key(0))[0],
            lambda state: self._step(jax.random.key(0), state, no_action(space))[0],
        )
        self.spec = EnvSpec(
            name=name,
            observation_shape=(self._env.height, self._env.width, 3),
            action_space=space,
            episode_length=None,
            rewards_after_end=True,
        )

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        state, start = self._reset(key)
        return cast(self._types, state), _observation(start)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        state, after = self._step(key, state, valid_action(self.spec.action_space, action))
        return Transition(
            state=cast(self._types, state),
            observation=_observation(after),
            reward=jnp.asarray(after.reward, jnp.float32),
            terminated=jnp.asarray(after.step_type == StepType.TERMINATION, bool),
            truncated=jnp.zeros((), bool),
        )

    def _reset_once(self, key: Array) -> tuple[EnvState, Timestep]:
        with implicit_promotion():
            start = self._env.reset(key)
        return _scan_state(start.state), start

    def _step_once(self, key: Array, state: EnvState, action: Array) -> tuple[EnvState, Timestep]:
        zero = jnp.zeros((), jnp.int32)
        before = Timestep(
            t=zero,  # never the last step: time is not counted here
            observation=zero,
            action=zero,
            reward=jnp.zeros((), jnp.float32),
            step_type=StepType.TRANSITION,
            state=state.replace(key=key),
        )
        with implicit_promotion():
            after = self._env._step(before, action)
        return _scan_state(after.state), after


def _scan_state(state: Any) -> EnvState:
    return state.replace(key=None, cache=None)


def _observation(timestep: Timestep) -> Observation:
    return Observation(jnp.asarray(timestep.observation, jnp.float32))
