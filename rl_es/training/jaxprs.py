"""What can be read off a function's jaxpr before it is compiled: dependence and memory."""

import math
from collections.abc import Iterable
from typing import Any

import jax
from jax.extend.core import Literal


def dependent_variables(program: Any, inputs: Iterable[Any]) -> set[Any]:
    """Returns the variables of a jaxpr that depend on some of its inputs, these included."""
    dependents = {*inputs}
    for equation in program.eqns:
        if any(not isinstance(x, Literal) and x in dependents for x in equation.invars):
            dependents.update(equation.outvars)
    return dependents


# Operations that XLA fuses into those that use their outputs.
FUSED = set(
    [
        "add",
        "broadcast_in_dim",
        "convert_element_type",
        "copy",
        "div",
        "exp",
        "exp2",
        "integer_pow",
        "log",
        "max",
        "min",
        "mul",
        "neg",
        "reshape",
        "rsqrt",
        "select_n",
        "sqrt",
        "square",
        "squeeze",
        "sub",
        "transpose",
    ]
)


def largest_array(program: Any) -> int:
    """Returns the bytes of the largest array that a jaxpr has to hold, in functions inside it too.

    Outputs of elementwise operations do not count, such as all members' outer products in a sum.
    """
    largest = 0
    for equation in program.eqns:
        programs = inner_programs(equation)
        largest = max([largest, *map(largest_array, programs)])
        if programs or equation.primitive.name in FUSED:
            continue
        arrays = [variable.aval for variable in equation.outvars]
        sizes = [math.prod(a.shape) * a.dtype.itemsize for a in arrays if hasattr(a, "dtype")]
        largest = max([largest, *sizes])
    return largest


def inner_programs(equation: Any) -> list[Any]:
    """Returns the jaxprs that an equation runs, such as the body of a loop."""
    values = jax.tree.leaves([*equation.params.values()], is_leaf=_is_program)
    return [getattr(value, "jaxpr", value) for value in values if _is_program(value)]


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
