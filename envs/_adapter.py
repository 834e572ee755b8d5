"""What an adapter needs to turn a third-party environment into one that the engine can scan over.

Third-party steps rely on implicit promotion and return states whose dtypes differ between reset and
step, or are weak; a scan's carry has to keep its types, and our own code runs strict.

An environment whose `done` mixes in its time limit, as the engine's `Environment`.

Craftax and Kinetix are gymnax-style environments whose step gives five values. Their step is run
without auto-reset and with a limit that is never reached: the check of the limit alone reads that
parameter. The limit itself is reported as a truncation.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Box, Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion


def state_types(reset: Callable[..., Any], step: Callable[..., Any]) -> Any:
    """Types that a state can keep from reset through any number of steps.

    Args:
      reset: of no arguments, gives a state.
      step: of a state, gives a state of the same structure.

    Returns:
      A pytree of `jax.ShapeDtypeStruct`; each dtype holds what reset and what step give.

    Raises:
      TypeError: reset and step give states of different structures or shapes.
    """
    before = jax.eval_shape(reset)
    after = jax.eval_shape(step, before)

    def common(one: jax.ShapeDtypeStruct, other: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        if one.shape != other.shape:
            raise TypeError(f"reset gives a state of shape {one.shape}, step of {other.shape}")
        if one.dtype == other.dtype:
            return jax.ShapeDtypeStruct(one.shape, one.dtype)
        with implicit_promotion():
            return jax.ShapeDtypeStruct(one.shape, jnp.promote_types(one.dtype, other.dtype))

    if jax.tree.structure(before) != jax.tree.structure(after):
        raise TypeError("reset and step give states of different structures")
    return jax.tree.map(common, before, after)


def cast(types: Any, state: Any) -> Any:
    """The state in exactly these types, none of them weak."""
    return jax.tree.map(lambda leaf, kind: jnp.asarray(leaf, kind.dtype), state, types)


def valid_action(space: Discrete | Box, action: Array) -> Array:
    """The nearest action that the space has: int32 scalar, or float32 [*shape]."""
    if isinstance(space, Discrete):
        return jnp.clip(jnp.asarray(action, jnp.int32), 0, space.n - 1)
    return jnp.clip(jnp.asarray(action, jnp.float32), space.low, space.high)


def box(low: Any, high: Any, shape: tuple[int, ...]) -> Box:
    """A `Box` of float32 bounds, each a number or an array broadcast to `shape`."""
    return Box(
        *(np.broadcast_to(np.asarray(bound, np.float32), shape).copy() for bound in (low, high))
    )


def blank_observation() -> Observation:
    """What an environment shows that has nothing to show: one zero."""
    return Observation(jnp.zeros((1,), jnp.float32))


def no_action(space: Discrete | Box) -> Array:
    """A zero of the type that actions have."""
    if isinstance(space, Discrete):
        return jnp.zeros((), jnp.int32)
    return jnp.zeros(space.shape, jnp.float32)


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
