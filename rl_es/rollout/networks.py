"""The built-in networks, as Flax Linen modules: (carry, x) -> (carry, output).

Kernels start as N(0, 1) / sqrt(fan in), biases at zero, as in the EGGROLL paper (arXiv 2511.16652).
All but the CNN and the shared MLP flatten their observations.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from rl_es.errors import UserError

KERNEL = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


def pqn(x: Array) -> Array:
    """Returns the relu of a layer norm without parameters (eps 1e-5, biased variance)."""
    return nn.relu(nn.LayerNorm(epsilon=1e-5, use_bias=False, use_scale=False)(x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": nn.relu, "pqn": pqn}


class MLP(nn.Module):
    """Fully connected layers. Without hidden ones and with `bias=False` the network is linear."""

    outputs: int
    widths: Sequence[int] = (64, 64)
    activation: str = "tanh"
    bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [*observation_shape] -> [outputs]
        x = x.reshape(-1)
        for width in self.widths:
            x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=KERNEL)(x))
        return nn.Dense(self.outputs, use_bias=self.bias, kernel_init=KERNEL)(x)


class SharedMLP(nn.Module):
    """Fully connected layers that map each row of an observation by itself.

    For learned optimisers: a row holds the features of one parameter that is optimised.
    """

    outputs: int  # of a row
    widths: Sequence[int] = (64, 64)
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [rows, features] -> [rows, outputs]
        for width in self.widths:
            x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=KERNEL)(x))
        return nn.Dense(self.outputs, kernel_init=KERNEL)(x)


class CNN(nn.Module):
    """One 3 x 3 convolution of 16 channels, then fully connected layers, for images [H, W, C]."""

    outputs: int
    widths: Sequence[int] = (64,)
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [H, W, C] -> [outputs]
        x = nn.Conv(16, (3, 3), kernel_init=KERNEL)(x)
        x = ACTIVATIONS[self.activation](x)
        return MLP(self.outputs, self.widths, self.activation)(x)


class GRU(nn.Module):
    """Fully connected layers, then a gated recurrent unit of the last width, then the outputs."""

    outputs: int
    widths: Sequence[int] = (64, 64)
    activation: str = "tanh"

    @nn.compact
    def __call__(
        self, state: Array, x: Array
    ) -> tuple[Array, Array]:  # [W], [...] -> [W], [outputs]
        x = x.reshape(-1)
        for width in self.widths[:-1]:
            x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=KERNEL)(x))
        state, x = nn.GRUCell(self.widths[-1], kernel_init=KERNEL)(state, x)
        return state, nn.Dense(self.outputs, kernel_init=KERNEL)(x)

    @property
    def carry(self) -> Array:
        """State at the start of an episode."""
        return jnp.zeros((self.widths[-1],), jnp.float32)


def carry_of(module: nn.Module, observation_shape: tuple[int, ...]) -> Any:
    """Returns the initial state of a module; () if it is not recurrent.

    It is the module's `carry`, or that of `initialize_carry(rng, input_shape)`, which flax's own
    cells have.
    """
    if hasattr(module, "carry"):
        return module.carry  # pyright: ignore[reportAttributeAccessIssue]
    if _initialises_carry(module):
        return module.apply({}, jax.random.key(0), observation_shape, method="initialize_carry")
    return ()


def _initialises_carry(module: nn.Module) -> bool:
    """Tells whether a module has a method of that name: a static one lacks the module's sizes."""
    return inspect.isfunction(inspect.getattr_static(module, "initialize_carry", None))


def outputs_field(kind: type[nn.Module]) -> str | None:
    """Returns the field that takes the number of outputs; None if a class has no such field.

    It is the field `outputs`, or else the one field without a default.

    Raises:
      UserError: names the other fields without a default.
    """
    fields = [field for field in dataclasses.fields(kind)
              if field.init and field.name not in ("parent", "name")]  # fmt: skip
    required = [field.name for field in fields
                if field.default is field.default_factory is dataclasses.MISSING]  # fmt: skip
    has_outputs = any(field.name == "outputs" for field in fields)
    if excess := [field for field in required if field != "outputs"][0 if has_outputs else 1 :]:
        raise UserError(
            f"network {kind.__name__}: it must be made from the number of its outputs alone; write "
            f"a default for {', '.join(excess)}"
        )
    return "outputs" if has_outputs else next(iter(required), None)


def check_inputs(module: nn.Module) -> None:
    """Refuses a module that takes more than an observation and the carry that it starts with.

    Raises:
      UserError: names the arguments, and what to write.
    """
    name = type(module).__name__
    if not callable(module):
        raise UserError(f"network {name}: it cannot be called; write def __call__(self, x)")
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.__call__).parameters.values()
    required = [p.name for p in parameters if p.kind in kinds and p.default is p.empty]
    # A property is not called: it would compute the carry.
    has_carry = inspect.getattr_static(module, "carry", None) is not None
    is_recurrent = has_carry or _initialises_carry(module)
    if len(required) > (2 if is_recurrent else 1):
        remedy = f"give all but {'the carry and ' if is_recurrent else ''}the observation a default"
        if len(required) == 2:
            remedy += "; or, if it is recurrent, write def initialize_carry(self, rng, input_shape)"
        raise UserError(f"network {name}: it is called with ({', '.join(required)}); {remedy}")
