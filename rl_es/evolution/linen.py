"""Any Flax Linen module as a policy, unmodified: noise on its matrices is added by interception.

`perturb_products` intercepts the calls of `nn.Dense`, `nn.DenseGeneral` and `nn.Embed`. The module
computes x W + b with the weights that the population shares; sign (x E) is added for the member.
Another class takes part by an attribute `matrix_parameter`: the name of the parameter W [M, N] that
its `__call__(x)` multiplies x [..., M] by, and uses in no other way.

`find_matrices` decides which arrays of a module can be perturbed so: those that are used in no
other way. It traces the module once and computes nothing. For every matrix that cannot be perturbed
so, it states the reason.

`reduce_products` computes the same products x W in another precision. The noise terms stay float32.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import core
from flax import linen as nn
from flax.core.scope import Scope
from jax import Array
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from jax.interpreters import partial_eval

from rl_es.errors import UserError
from rl_es.evolution.perturbation import Path, leaves_by_path
from rl_es.interfaces import Matrix

NETWORK: Path = ("network",)  # path of the module's parameters in a policy's

_WEIGHT = {nn.Dense: "kernel", nn.DenseGeneral: "kernel", nn.Embed: "embedding"}
_METHODS = {(nn.Dense, "__call__"), (nn.DenseGeneral, "__call__"),
            (nn.Embed, "__call__"), (nn.Embed, "attend")}  # fmt: skip


def weight_path(context: nn.module.InterceptorContext) -> Path | None:
    """Returns the path of the weight that a call multiplies by, below `NETWORK`, or None.

    It is None for subclasses and for layers with another product, too: what they do with their
    kernel is unknown.
    """
    module, kind = context.module, type(context.module)
    if context.method_name == "__call__" and "matrix_parameter" in vars(kind):
        return (*module.path, vars(kind)["matrix_parameter"])
    if (kind, context.method_name) not in _METHODS:
        return None
    if kind is not nn.Embed and (module.dot_general or module.dot_general_cls):
        return None
    if kind is nn.DenseGeneral and as_tuple(module.batch_dims):
        return None
    return (*module.path, _WEIGHT[kind])


def as_tuple(axes: Any) -> tuple[int, ...]:
    """Returns the axes that a module states as one number or several."""
    return (axes,) if isinstance(axes, int) else tuple(axes)


def input_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Array:
    """Returns the input x of a call, passed by position or by name."""
    return args[0] if args else next(iter(kwargs.values()))


def _noise_term(module: nn.Module, method: str, product: Any, x: Array, y: Array) -> Array:
    """Returns x E, shaped like the output y of a call with input x."""
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
    """Perturbs the modules that are called within this context.

    Args:
      products: A product of `rl_es.evolution.perturbation` for one pair, by the path of the weight
        in the policy's parameters (under `NETWORK`).
      sign: [] +1 for the plus member, -1 for the minus member.
    """

    def add(call: Callable[..., Array], args: Any, kwargs: Any, context: Any) -> Array:
        y = call(*args, **kwargs)
        path = NETWORK + (weight_path(context) or ())
        if path not in products:
            return y
        x = input_of(args, kwargs)
        term = _noise_term(context.module, context.method_name, products[path], x, y)
        return y + (sign * term).astype(y.dtype)

    with nn.intercept_methods(add):
        yield


def bfloat16_product(
    x: Array, y: Array, dimension_numbers: Any, precision: Any = None, **options: Any
) -> Array:
    """Returns `jax.lax.dot_general` of inputs that are rounded to bfloat16, summed in float32.

    XLA may drop a conversion to bfloat16 and back where a processor lacks such products, and
    ignores `DotAlgorithmPreset.BF16_BF16_F32` on CPU. `reduce_precision` stays: the result is the
    same up to the order of the sum on every machine.

    Args:
      x: An array.
      y: Another one.
      dimension_numbers: As for `jax.lax.dot_general`.
      precision: Not used, as are `options`; layers of Flax state them.
      options: Not used.
    """
    left, right = (jax.lax.reduce_precision(side, 8, 7).astype(jnp.bfloat16) for side in (x, y))
    product = jax.lax.dot_general(
        left,
        right,
        dimension_numbers,
        precision=jax.lax.Precision.DEFAULT,
        preferred_element_type=jnp.float32,
    )
    return product.astype(x.dtype)


def tf32_product(
    x: Array, y: Array, dimension_numbers: Any, precision: Any = None, **options: Any
) -> Array:
    """Returns `jax.lax.dot_general` of inputs that are rounded to tf32, summed in float32.

    The arguments are those of `bfloat16_product`.
    """
    algorithm = jax.lax.DotAlgorithmPreset.TF32_TF32_F32
    return jax.lax.dot_general(x, y, dimension_numbers, precision=algorithm)


_PRODUCTS = {"bfloat16": bfloat16_product, "tf32": tf32_product}


@contextlib.contextmanager
def reduce_products(precision: str) -> Iterator[None]:
    """Reduces the precision of the products x W of the modules that are called within this context.

    These are the products that noise can be added to. Anything else that a module computes is left
    alone, such as convolutions. Enter it inside `perturb_products`, which adds the noise terms.

    Args:
      precision: float32, which changes nothing, bfloat16 or tf32.

    Raises:
      UserError: A module multiplies by its weight in a way of its own.
    """
    if precision == "float32":
        yield
        return
    product = _PRODUCTS[precision]

    def reduce(call: Callable[..., Array], args: Any, kwargs: Any, context: Any) -> Array:
        if (path := weight_path(context)) is None:
            return call(*args, **kwargs)
        module = context.module
        if type(module) not in _WEIGHT:
            raise UserError(
                f"precision: {precision} is not for {type(module).__name__}, which multiplies in "
                "a way of its own; leave it out"
            )
        if isinstance(module, nn.Embed):
            if context.method_name != "attend":
                return call(*args, **kwargs)
            x, weight = input_of(args, kwargs), module.variables["params"][path[-1]]
            return product(x, weight, (((x.ndim - 1,), (1,)), ((), ())))
        layer = module.clone(parent=None, dot_general=product)
        return cast(Array, layer.apply(module.variables, *args, **kwargs))

    with nn.intercept_methods(reduce):
        yield


Inputs = Callable[[], tuple[Any, ...]]  # returns examples of a module's arguments

_traces = itertools.count()


def find_matrices(
    module: nn.Module, params: Any, inputs: Inputs
) -> tuple[dict[Path, Matrix], dict[Path, str]]:
    """Finds the arrays of a module that are used as matrices only.

    Args:
      module: The module.
      params: Its parameters, a pytree of `jax.ShapeDtypeStruct`.
      inputs: Returns examples of the module's arguments; called inside the trace.

    Returns:
      The matrices, by path under `NETWORK`; and the reasons why other weights that a product
      multiplies by are refused, by path.
    """
    shapes = leaves_by_path(params)
    recorder = _Recorder(shapes)
    traced = _trace(module, params, inputs, recorder)
    calls, refusals = recorder.calls, recorder.refusals
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    paths = [tuple(entry.key for entry in path) for path, _ in leaves]
    sources = dict(zip(traced.invars, paths, strict=True))
    for path, source, is_jitted in _marked_weights(traced, sources):
        if is_jitted:  # equal modules share one trace, so that the path may be another module's
            refusals[source or path] = f"'{'/'.join(source or path)}' is used inside nn.jit"
        elif source != path:
            refusals.setdefault(
                path,
                f"'{'/'.join(path)}' is computed from parameters, as by nn.WeightNorm or "
                "map_variables",
            )
    _, uses = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    for path, use in zip(paths, uses, strict=True):
        if use and path in calls:
            refusals.setdefault(path, f"'{'/'.join(path)}' is also used other than as a matrix")
    matrices = {path: _as_matrix(module, shapes[path].shape) for path, module in calls.items()
                if path not in refusals}  # fmt: skip
    return (
        {NETWORK + path: matrix for path, matrix in sorted(matrices.items())},
        {NETWORK + path: reason for path, reason in sorted(refusals.items())},
    )


class _Recorder:
    """An interceptor that records the calls that multiply by a weight, and marks the weight.

    Attributes:
      calls: The module that multiplies by a weight, by the weight's path.
      refusals: The reason why a weight cannot be treated as a matrix, by its path.
    """

    def __init__(self, shapes: Mapping[Path, Any]):
        self._shapes = shapes
        self.calls: dict[Path, nn.Module] = {}
        self.refusals: dict[Path, str] = {}

    def __call__(self, call: Callable[..., Array], args: Any, kwargs: Any, context: Any) -> Array:
        path = weight_path(context)
        y = call(*args, **kwargs)
        if path is None:
            return y
        weight = context.module.variables["params"][path[-1]]
        checkpoint_name(weight, "/".join(path))
        name = "/".join(path[:-1]) or type(context.module).__name__
        if path not in self._shapes:
            self.refusals[path] = (
                f"the parameters of '{name}' do not stand at the path of its module"
            )
        elif weight.shape != self._shapes[path].shape:
            self.refusals[path] = (
                f"'{name}' is lifted over its parameters (a kernel of shape {weight.shape} a call "
                f"out of {self._shapes[path].shape}, as nn.scan and nn.vmap make them)"
            )
        else:
            self.calls[path] = context.module
        # Reads the input, not the weight: any other use of the weight shows in the trace.
        return jnp.zeros(y.shape, y.dtype) + input_of(args, kwargs).sum().astype(y.dtype)


def _trace(module: nn.Module, params: Any, inputs: Inputs, recorder: _Recorder) -> Jaxpr:
    """Traces the module as a function of its parameters, with its calls intercepted."""

    def apply(params: Any) -> Any:
        # The flag is unique. nn.jit caches traces by flags: modules under it would otherwise not be
        # traced here, or others would reuse a trace with the recorder's outputs.
        def call(scope: Scope) -> Any:
            return module.clone(parent=scope)(*inputs())

        return core.apply(call, flags={"trace": next(_traces)})({"params": params})

    with nn.intercept_methods(recorder):
        return jax.make_jaxpr(apply)(params).jaxpr


def _marked_weights(
    jaxpr: Jaxpr, sources: Mapping[Var, Path], is_jitted: bool = False
) -> Iterator[tuple[Path, Path | None, bool]]:
    """Yields the weights that a recorder marked in a trace.

    A parameter is followed into loops, branches and calls. A value that is computed from a
    parameter is no parameter.

    Args:
      jaxpr: The trace.
      sources: The paths of the variables that are parameters.
      is_jitted: True inside a function under `nn.jit`.

    Yields:
      The path at which a module reads its weight; the path of the parameter that the weight is, or
      None; and `is_jitted` at that point.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name":
            (weight,) = equation.invars
            source = sources.get(weight) if isinstance(weight, Var) else None
            yield tuple(equation.params["name"].split("/")), source, is_jitted
        for inner, operands in _bodies(equation):
            inner_sources = {
                variable: sources[operand]
                for variable, operand in zip(inner.invars, operands, strict=False)
                if isinstance(operand, Var) and operand in sources
            }
            inner_jitted = is_jitted or equation.primitive.name == "jit"
            yield from _marked_weights(inner, inner_sources, inner_jitted)


def _bodies(equation: JaxprEqn) -> Iterator[tuple[Jaxpr, list[Any]]]:
    """Yields the functions in an equation, each with the operands that it is called with.

    Of a loop's operands only the constants are given: what it carries or scans over changes.
    """
    operands, params = equation.invars, equation.params
    if equation.primitive.name == "scan":
        yield params["jaxpr"].jaxpr, operands[: params["num_consts"]]
    elif equation.primitive.name == "while":
        first, last = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        yield params["cond_jaxpr"].jaxpr, operands[:first]
        yield params["body_jaxpr"].jaxpr, operands[first:last]
    elif equation.primitive.name == "cond":
        for branch in params["branches"]:
            yield branch.jaxpr, operands[1:]
    else:
        for value in params.values():
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr):
                yield inner, operands if len(inner.invars) == len(operands) else []


def _as_matrix(module: nn.Module, shape: tuple[int, ...]) -> Matrix:
    """Returns the sizes of a weight as a matrix; `nn.DenseGeneral` may contract several axes."""
    inputs = len(as_tuple(module.axis)) if isinstance(module, nn.DenseGeneral) else 1
    return Matrix(math.prod(shape[:inputs]), math.prod(shape[inputs:]))
