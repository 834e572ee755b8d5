"""What an adapter needs to turn a third-party environment into one that the engine can scan over.

Third-party steps rely on implicit promotion and return states whose dtypes differ between reset and
step, or are weak; a scan's carry has to keep its types, and our own code runs strict.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Box, Discrete, Observation
from rl_es.promotion import implicit_promotion


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
