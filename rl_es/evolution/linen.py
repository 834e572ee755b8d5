"""Any Flax Linen module as a policy, unmodified: its matrix products are intercepted.

`nn.Dense`, `nn.DenseGeneral` and `nn.Embed` are left to compute x W + b with shared W; what is
added is sign * (x E) for the member at hand. `rl_es.evolution.matrices` finds out which of a
module's arrays can be treated so.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from rl_es.evolution.tree import Path

NETWORK: Path = ("network",)  # where a policy's parameters hold those of its module

_WEIGHT = {nn.Dense: "kernel", nn.DenseGeneral: "kernel", nn.Embed: "embedding"}
_METHODS = {(nn.Dense, "__call__"), (nn.DenseGeneral, "__call__"),
            (nn.Embed, "__call__"), (nn.Embed, "attend")}  # fmt: skip


def weight_path(context: nn.module.InterceptorContext) -> Path | None:
    """Path of the weight that a call multiplies by, below `NETWORK`; None for any other call.

    Subclasses, and layers with a product of their own, are left alone: what they do with their
    kernel is not known.
    """
    module, kind = context.module, type(context.module)
    if (kind, context.method_name) not in _METHODS:
        return None
    if kind is not nn.Embed and (module.dot_general or module.dot_general_cls):
        return None
    if kind is nn.DenseGeneral and as_tuple(module.batch_dims):
        return None
    return (*module.path, _WEIGHT[kind])


def as_tuple(axes: Any) -> tuple[int, ...]:
    """Axes as a module states them, one or several."""
    return (axes,) if isinstance(axes, int) else tuple(axes)


def input_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Array:
    """The input x of a call, however it was passed."""
    return args[0] if args else next(iter(kwargs.values()))


def _term(module: nn.Module, method: str, product: Any, x: Array, y: Array) -> Array:
    """What a product adds to the output y of a call with input x."""
    if method == "attend":
        return product.apply_transposed(x)
    if isinstance(module, nn.Embed):
        return product.take(x)
    if isinstance(module, nn.DenseGeneral):
        axes = sorted(axis % x.ndim for axis in as_tuple(module.axis))  # as the module does
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
        path = NETWORK + (weight_path(context) or ())
        if path not in products:
            return y
        x = input_of(args, kwargs)
        term = _term(context.module, context.method_name, products[path], x, y)
        return y + (sign * term).astype(y.dtype)

    with nn.intercept_methods(add):
        yield
