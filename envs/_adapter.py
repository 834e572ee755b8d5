"""Adapters of third-party environments: types that a scan can carry, valid actions, time limits.

Third-party steps rely on implicit promotion, and return states whose dtypes differ between reset
and step, or are weak. The carry of a scan must keep its types, and our own code runs strict.

`LimitedEnvironment` adapts Craftax and Kinetix, gymnax-style environments whose `done` includes
their time limit. They are stepped without auto-reset and with a limit that is never reached (only
the check of the limit reads that parameter); the limit itself is reported as a truncation.
"""

import contextlib
import functools
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Box, Discrete, EnvSpec, EnvState, Observation, Transition
from rl_es.rollout.wrappers import implicit_promotion

MASK = "action_mask"


@contextlib.contextmanager
def without_printing() -> Iterator[None]:
    """A context for imports of libraries that print which optional packages they miss.

    Errors are raised as they are, and standard error is left alone. `sys.__stdout__` is replaced as
    well: mabrax, which jaxmarl imports, sets `sys.stdout` back to it.
    """
    original, sink = sys.__stdout__, io.StringIO()
    with contextlib.redirect_stdout(sink):
        sys.__stdout__ = sink  # pyright: ignore[reportAttributeAccessIssue]
        try:
            yield
        finally:
            sys.__stdout__ = original  # pyright: ignore[reportAttributeAccessIssue]


def state_types(reset: Callable[..., Any], step: Callable[..., Any]) -> Any:
    """Returns types that a state can keep from reset through any number of steps.

    Args:
      reset: Returns a state.
      step: Maps a state to the next.

    Returns:
      A pytree of `jax.ShapeDtypeStruct`, whose dtypes can hold the states of both functions.

    Raises:
      TypeError: reset and step return states of different structures or shapes.
    """
    before = jax.eval_shape(reset)
    return common_types(before, jax.eval_shape(step, before))


def common_types(before: Any, after: Any) -> Any:
    """Returns the types of `state_types` from the shapes of states after a reset and after a step.

    Raises:
      TypeError: the states are of different structures or shapes.
    """

    def common(path: Any, a: jax.ShapeDtypeStruct, b: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        if a.shape != b.shape:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise TypeError(
                f"reset gives {name or 'a state'} of shape {a.shape}, step of {b.shape}"
            )
        if a.dtype == b.dtype:
            return jax.ShapeDtypeStruct(a.shape, a.dtype)
        with implicit_promotion():
            return jax.ShapeDtypeStruct(a.shape, jnp.promote_types(a.dtype, b.dtype))

    if jax.tree.structure(before) != jax.tree.structure(after):
        raise TypeError("reset and step give states of different structures")
    return jax.tree_util.tree_map_with_path(common, before, after)


def cast(types: Any, state: Any) -> Any:
    """Returns a state in exactly these types, none of them weak."""
    return jax.tree.map(lambda leaf, kind: jnp.asarray(leaf, kind.dtype), state, types)


def valid_action(space: Discrete | Box, action: Array) -> Array:
    """Returns the nearest action in the space: int32 scalar, or float32 [*shape].

    Actions of several agents [I, ...] are brought into the space one by one.
    """
    if isinstance(space, Discrete):
        return jnp.clip(jnp.asarray(action, jnp.int32), 0, space.n - 1)
    action = jnp.asarray(action, jnp.float32)
    low, high = (np.broadcast_to(bound, action.shape) for bound in (space.low, space.high))
    return jnp.clip(action, low, high)


def box(low: Any, high: Any, shape: tuple[int, ...]) -> Box:
    """Returns a `Box` of float32 bounds, each a number or an array broadcast to `shape`."""
    return Box(
        *(np.broadcast_to(np.asarray(bound, np.float32), shape).copy() for bound in (low, high))
    )


def observe_arrays(tree: Any) -> Observation:
    """Returns an observation of one array as it is, or of several as one vector.

    The vector holds the arrays in the order of their names. A bool array named `action_mask` is
    the mask of allowed actions.
    """
    if jax.tree_util.all_leaves([tree]):
        return Observation(jnp.asarray(tree, jnp.float32))
    mask = tree.get(MASK) if isinstance(tree, Mapping) else None
    if mask is not None:
        tree = {name: leaf for name, leaf in tree.items() if name != MASK}
    leaves = [jnp.asarray(leaf, jnp.float32).reshape(-1) for leaf in jax.tree.leaves(tree)]
    return Observation(jnp.concatenate(leaves), None if mask is None else jnp.asarray(mask, bool))


def describe_arrays(tree: Any) -> str:
    """Returns the names and shapes of an observation of several arrays; '' for one array."""
    if jax.tree_util.all_leaves([tree]):
        return ""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = [(jax.tree_util.keystr(path, simple=True, separator="."), leaf.shape)
             for path, leaf in leaves]  # fmt: skip
    listed = ", ".join(f"{name} {shape}" for name, shape in names if name != MASK)
    mask = f"; {MASK} is the mask" if any(name == MASK for name, _ in names) else ""
    return f"one vector of {listed}{mask}"


def blank_observation() -> Observation:
    """Returns the observation of an environment that shows nothing: one zero."""
    return Observation(jnp.zeros((1,), jnp.float32))


def no_action(space: Discrete | Box) -> Array:
    """Returns a zero of the type that actions have."""
    if isinstance(space, Discrete):
        return jnp.zeros((), jnp.int32)
    return jnp.zeros(space.shape, jnp.float32)


class LimitedEnvironment:
    """An environment of parameters with `max_timesteps`, and of states with `timestep`."""

    def __init__(self, name: str, env: Any, params: Any, space: Discrete | Box, *reset_args: Any):
        """Wraps `env`; `reset_args` follow the key and the parameters in calls of `reset_env`."""
        self._env, self._reset_args = env, reset_args
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
        return cast(self._types, state), _float_observation(observation)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        action = valid_action(self.spec.action_space, action)
        observation, state, reward, terminated = self._step(key, state, action)
        terminated = jnp.asarray(terminated, bool)
        return Transition(
            state=cast(self._types, state),
            observation=_float_observation(observation),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=terminated,
            truncated=(state.timestep >= self._limit) & ~terminated,
        )

    def _reset_once(self, key: Array) -> tuple[Any, Any]:
        with implicit_promotion():
            return self._env.reset_env(key, self._endless, *self._reset_args)

    def _step_once(self, key: Array, state: EnvState, action: Array) -> tuple[Any, Any, Any, Any]:
        with implicit_promotion():
            observation, state, reward, terminated, _ = self._env.step_env(
                key, state, action, self._endless
            )
        return observation, state, reward, terminated


def _float_observation(observation: Array) -> Observation:
    return Observation(jnp.asarray(observation, jnp.float32))
