"""Any Flax Linen module as a policy, unmodified: its matrix products are intercepted.

`nn.Dense`, `nn.DenseGeneral` and `nn.Embed` are left to compute x W + b with shared W; what is
added is sign * (x E) for the member at hand. `matrices` finds out which of a module's arrays can be
treated so, by tracing the module once; what it cannot treat is named with the reason.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.interpreters import partial_eval

from rl_es.evolution.tree import Path, by_path
from rl_es.interfaces import Matrix

NETWORK: Path = ("network",)  # where a policy's parameters hold those of its module

_WEIGHT = {nn.Dense: "kernel", nn.DenseGeneral: "kernel", nn.Embed: "embedding"}
_METHODS = {(nn.Dense, "__call__"), (nn.DenseGeneral, "__call__"),
            (nn.Embed, "__call__"), (nn.Embed, "attend")}  # fmt: skip


def _weight_path(context: nn.module.InterceptorContext) -> Path | None:
    """Path of the weight this call multiplies by, or None for any other call.

    Subclasses are left alone: what they do with their kernel is not known.
    """
    kind = type(context.module)
    if (kind, context.method_name) not in _METHODS:
        return None
    if kind is nn.DenseGeneral and tuple(_tuple(context.module.batch_dims)):
        return None
    return (*context.module.path, _WEIGHT[kind])


def _tuple(axes: Any) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _term(module: nn.Module, method: str, product: Any, x: Array, y: Array) -> Array:
    """What a product adds to the output y of a call with input x."""
    if method == "attend":
        return product.apply_transposed(x)
    if isinstance(module, nn.Embed):
        return product.take(x)
    if isinstance(module, nn.DenseGeneral):
        axes = tuple(axis % x.ndim for axis in _tuple(module.axis))
        x = jnp.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
        x = x.reshape(*x.shape[: x.ndim - len(axes)], -1)
        return product.apply(x).reshape(y.shape)
    return product.apply(x)


@contextlib.contextmanager
def perturbed(products: Mapping[Path, Any], sign: Array) -> Iterator[None]:
    """Within it, each product is added, with its sign, where the module of its path is called.

    Args:
      products: by path of the weight in a policy's parameters (under `NETWORK`), a product of
        `rl_es.evolution.products` for one member pair.
      sign: [] +1 or -1.
    """

    def add(call: Callable[..., Array], args: Any, kwargs: Any, context: Any) -> Array:
        y = call(*args, **kwargs)
        path = NETWORK + (_weight_path(context) or ())
        if path not in products:
            return y
        x = args[0] if args else next(iter(kwargs.values()))
        term = _term(context.module, context.method_name, products[path], x, y)
        return y + (sign * term).astype(y.dtype)

    with nn.intercept_methods(add):
        yield


def matrices(
    apply: Callable[[Any], Any], params: Any
) -> tuple[dict[Path, Matrix], dict[Path, str]]:
    """Which arrays of a module are used as matrices only.

    Args:
      apply: runs the module on example inputs, given its parameters; it is traced, never computed.
      params: pytree of `jax.ShapeDtypeStruct`.

    Returns:
      The matrices by path under `NETWORK`, and by path why a matrix cannot be treated as one.
    """
    shapes = by_path(params)
    calls: dict[Path, tuple[nn.Module, Any]] = {}
    refused: dict[Path, str] = {}

    def record(call: Callable[..., Array], args: Any, kwargs: Any, context: Any) -> Array:
        path = _weight_path(context)
        if path is None:
            return call(*args, **kwargs)
        seen = context.module.variables.get("params", {}).get(path[-1])
        name = "/".join(path[:-1]) or type(context.module).__name__
        if path not in shapes:
            refused[path] = f"the parameters of '{name}' do not stand at the path of its module"
        elif seen is not None and seen.shape != shapes[path].shape:
            refused[path] = (
                f"'{name}' is lifted over its parameters (a kernel of shape {seen.shape} a call "
                f"out of {shapes[path].shape}, as nn.scan and nn.vmap make them)"
            )
        elif path not in calls or context.method_name == "__call__":
            calls[path] = (context.module, context.method_name)
        # Its weight is left unread, so that any other use of it shows in the trace.
        return _output_of(call, args, kwargs)

    def _output_of(call: Callable[..., Array], args: Any, kwargs: Any) -> Array:
        y = call(*args, **kwargs)
        return jnp.zeros(y.shape, y.dtype)

    with nn.intercept_methods(record):
        # A function of its own: one that was traced before would come from jax's cache, unseen.
        traced = jax.make_jaxpr(lambda params: apply(params))(params)
    _, used = partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    elsewhere = {
        tuple(str(getattr(entry, "key", entry)) for entry in path)
        for (path, _), use in zip(leaves, used, strict=True)
        if use
    }
    found = {}
    for path, (module, _) in calls.items():
        if path in elsewhere:
            refused[path] = f"'{'/'.join(path)}' is also used in another way than as a matrix"
        elif path not in refused:
            found[path] = _as_matrix(module, shapes[path].shape)
    return (
        {NETWORK + path: matrix for path, matrix in sorted(found.items())},
        {NETWORK + path: reason for path, reason in sorted(refused.items())},
    )


def _as_matrix(module: nn.Module, shape: tuple[int, ...]) -> Matrix:
    inputs = len(_tuple(module.axis)) if isinstance(module, nn.DenseGeneral) else 1
    return Matrix(math.prod(shape[:inputs]), math.prod(shape[inputs:]))
