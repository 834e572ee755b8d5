"""Any Flax Linen module as a policy, unmodified: its matrix products are intercepted.

`nn.Dense`, `nn.DenseGeneral` and `nn.Embed` are left to compute x W + b with shared W; what is
added is sign * (x E) for the member at hand. `rl_es.evolution.linen` finds out which of a
module's arrays can be treated so.

Which arrays of a Flax Linen module are used as matrices only, so that products can perturb them.

The module is traced once, never computed. What cannot be treated is named with the reason.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import core
from flax import linen as nn
from flax.core.scope import Scope
from jax import Array
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from jax.interpreters import partial_eval

from rl_es.evolution.perturbation import Path, leaves_by_path
from rl_es.interfaces import Matrix

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
def perturb_products(products: Mapping[Path, Any], sign: Array) -> Iterator[None]:
    """Within it, each product is added, with its sign, where the module of its path is called.

    Args:
      products: by path of the weight in a policy's parameters (under `NETWORK`), a product of
        `rl_es.evolution.perturbation` for one member pair.
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


Inputs = Callable[[], tuple[Any, ...]]

_traces = itertools.count()


def find_matrices(
    module: nn.Module, params: Any, inputs: Inputs
) -> tuple[dict[Path, Matrix], dict[Path, str]]:
    """Which arrays of a module are used as matrices only.

    Args:
      module: the module.
      params: pytree of `jax.ShapeDtypeStruct`.
      inputs: gives examples of what the module is called with, inside the trace.

    Returns:
      The matrices by path under `NETWORK`, and, by path, why a matrix cannot be treated as one.
    """
    shapes = leaves_by_path(params)
    recorder = _Recorder(shapes)
    traced = _trace(module, params, inputs, recorder)
    calls, refused = recorder.calls, recorder.refused
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    paths = [tuple(entry.key for entry in path) for path, _ in leaves]
    for path, source, jitted in _weights(traced, dict(zip(traced.invars, paths, strict=True))):
        if jitted:  # equal modules share one trace, so that the path may be that of another
            refused[source or path] = f"'{'/'.join(source or path)}' is used inside nn.jit"
        elif source != path:
            refused.setdefault(
                path,
                f"'{'/'.join(path)}' is computed from parameters, as by nn.WeightNorm or "
                "map_variables",
            )
    _, used = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    for path, use in zip(paths, used, strict=True):
        if use and path in calls:
            refused.setdefault(path, f"'{'/'.join(path)}' is also used other than as a matrix")
    found = {path: _as_matrix(module, shapes[path].shape) for path, module in calls.items()
             if path not in refused}  # fmt: skip
    return (
        {NETWORK + path: matrix for path, matrix in sorted(found.items())},
        {NETWORK + path: reason for path, reason in sorted(refused.items())},
    )


class _Recorder:
    """Intercepts the calls of a module: notes those that multiply by a weight, and marks it.

    Attributes:
      calls: by path of the weight, the module that multiplies by it.
      refused: by path of the weight, why it cannot be treated as a matrix.
    """

    def __init__(self, shapes: Mapping[Path, Any]):
        self._shapes = shapes
        self.calls: dict[Path, nn.Module] = {}
        self.refused: dict[Path, str] = {}

    def __call__(self, call: Callable[..., Array], args: Any, kwargs: Any, context: Any) -> Array:
        path = weight_path(context)
        y = call(*args, **kwargs)
        if path is None:
            return y
        weight = context.module.variables["params"][path[-1]]
        checkpoint_name(weight, "/".join(path))
        name = "/".join(path[:-1]) or type(context.module).__name__
        if path not in self._shapes:
            self.refused[path] = (
                f"the parameters of '{name}' do not stand at the path of its module"
            )
        elif weight.shape != self._shapes[path].shape:
            self.refused[path] = (
                f"'{name}' is lifted over its parameters (a kernel of shape {weight.shape} a call "
                f"out of {self._shapes[path].shape}, as nn.scan and nn.vmap make them)"
            )
        else:
            self.calls[path] = context.module
        # The input is read and the weight is not, so that any other use of it shows in the trace.
        return jnp.zeros(y.shape, y.dtype) + input_of(args, kwargs).sum().astype(y.dtype)


def _trace(module: nn.Module, params: Any, inputs: Inputs, recorder: _Recorder) -> Jaxpr:
    """The module as a function of its parameters, its calls intercepted."""

    def apply(params: Any) -> Any:
        # A flag that no other trace has: what is under nn.jit, which keeps traces by flags, would
        # otherwise not be seen here, or leave to others what the recorder returns.
        def call(scope: Scope) -> Any:
            return module.clone(parent=scope)(*inputs())

        return core.apply(call, flags={"trace": next(_traces)})({"params": params})

    with nn.intercept_methods(recorder):
        return jax.make_jaxpr(apply)(params).jaxpr


def _weights(
    jaxpr: Jaxpr, known: Mapping[Var, Path], jitted: bool = False
) -> Iterator[tuple[Path, Path | None, bool]]:
    """What a trace multiplies by: the module's path for it, the parameter it is, whether under jit.

    A parameter is followed into loops, branches and calls; what is computed from one is none.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name":
            (weight,) = equation.invars
            source = known.get(weight) if isinstance(weight, Var) else None
            yield tuple(equation.params["name"].split("/")), source, jitted
        for inner, operands in _bodies(equation):
            passed = {
                variable: known[operand]
                for variable, operand in zip(inner.invars, operands, strict=False)
                if isinstance(operand, Var) and operand in known
            }
            yield from _weights(inner, passed, jitted or equation.primitive.name == "jit")


def _bodies(equation: JaxprEqn) -> Iterator[tuple[Jaxpr, list[Any]]]:
    """The functions in an equation, each with the operands that it is called with.

    What a loop carries or scans over changes, so only a loop's constants are operands.
    """
    operands, own = equation.invars, equation.params
    if equation.primitive.name == "scan":
        yield own["jaxpr"].jaxpr, operands[: own["num_consts"]]
    elif equation.primitive.name == "while":
        first, last = own["cond_nconsts"], own["cond_nconsts"] + own["body_nconsts"]
        yield own["cond_jaxpr"].jaxpr, operands[:first]
        yield own["body_jaxpr"].jaxpr, operands[first:last]
    elif equation.primitive.name == "cond":
        for branch in own["branches"]:
            yield branch.jaxpr, operands[1:]
    else:
        for value in own.values():
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr):
                yield inner, operands if len(inner.invars) == len(operands) else []


def _as_matrix(module: nn.Module, shape: tuple[int, ...]) -> Matrix:
    inputs = len(as_tuple(module.axis)) if isinstance(module, nn.DenseGeneral) else 1
    return Matrix(math.prod(shape[:inputs]), math.prod(shape[inputs:]))
