"""What tracing a function says about it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def same(one: Callable[..., Any], other: Callable[..., Any], *arguments: Any) -> bool:
    """Whether two functions, traced now, are the same program with the same constants."""
    first, second = (_traced(function, arguments) for function in (one, other))
    # Functions inside are printed with their addresses, which differ and mean nothing.
    shown = [re.sub(r" at 0x[0-9a-f]+", "", str(program)) for program in (first, second)]
    return shown[0] == shown[1] and all(
        np.array_equal(_plain(a), _plain(b)) for a, b in zip(first.consts, second.consts)
    )


def _traced(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """The program of a function, traced twice since libraries fill caches the first time.

    It is wrapped anew each time: jax remembers the trace of a function that it has seen.
    """
    _, program = (jax.make_jaxpr(lambda *given: function(*given))(*arguments) for _ in range(2))
    return program


def _plain(constant: Any) -> np.ndarray:
    key = hasattr(constant, "dtype") and jnp.issubdtype(constant.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(constant) if key else constant)


def reuses_key(function: Callable[..., Any], *arguments: Any) -> str:
    """What jax says about a random key that is used twice; empty if there is none."""
    concrete = jax.tree.map(_blank, arguments)
    try:
        with jax.debug_key_reuse(True):
            jax.jit(lambda *given: function(*given))(*concrete)
    except jax.errors.KeyReuseError as error:
        return str(error).splitlines()[0]
    return ""


def _blank(leaf: Any) -> Any:
    """Zeros for a shape, and a fresh key for a key: jax marks those that were used."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.zeros((*leaf.shape, 2), jnp.uint32))
    return np.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf


def differences(name: str, before: Any, after: Any) -> Iterator[str]:
    """The differences between two pytrees of shapes, in words."""
    leaves, structure = jax.tree.flatten_with_path(before)
    others, other = jax.tree.flatten_with_path(after)
    if structure != other:
        yield f"{name} changes its structure"
        return
    for (path, one), (_, new) in zip(leaves, others):
        if (one.shape, one.dtype) != (new.shape, new.dtype):
            yield (
                f"{name}{jax.tree_util.keystr(path)} is {one.dtype}{list(one.shape)} at first, "
                f"then {new.dtype}{list(new.shape)}"
            )


def weak(tree: Any) -> int:
    """How many arrays of a pytree of shapes have weak types."""
    return sum(bool(getattr(leaf, "weak_type", False)) for leaf in jax.tree.leaves(tree))
