"""EGG: a recurrent language model in integers, and its twin in real numbers.

Sarkar et al., "Evolution Strategies at the Hyperscale", arXiv 2511.16652, appendix G. Parameters,
activations and states are integers within ±127, in fixed point: 16 stands for 1.0. Saturation is
the only nonlinearity. `EGG` maps the index of a token to the logits of the next one, in 1/16 bit.

Integers are held in float32, in which every value here is exact: a product of integers within ±127,
summed over M inputs, stays below 2^24 up to M = 1040; a shift to the right is a multiplication by a
power of two and a floor. Products return their exact sums. The noise of a member is added to them,
before the shift and the clip of the model.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.integers import LARGEST, ONE, saturate, to_fixed_point
from rl_es.interfaces import EnvSpec
from rl_es.rollout.config import PolicyConfig

GATE = 256  # the integer that stands for 1.0 in a gate
WIDEST = 256  # the widest product has 4 D inputs, and 127 * 127 * 1024 < 2^24

_FLAGS = {"avx512_bf16", "amx_bf16"}  # of processors that multiply bfloat16


def fixed_point_normal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Draws 16 N(0, 1), rounded and clipped to ±127. Consumes `key`."""
    return to_fixed_point(jax.random.normal(key, shape, dtype))


def _straight_through(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Returns the same function of one array, with a derivative of 1."""
    straight = jax.custom_jvp(lambda x: function(x))
    straight.defjvp(lambda primals, tangents: (function(*primals), *tangents))
    return straight


_floor_through, _round_through = map(_straight_through, (jnp.floor, jnp.round))


@cache
def product_dtype() -> Any:
    """Returns the type in which products of integers within ±127 are fastest here, and exact.

    bfloat16 holds integers up to 256, and its products are summed in float32: no result depends on
    this choice. Processors without such products would convert every operand.
    """
    if jax.default_backend() != "cpu":
        return jnp.bfloat16
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        words = set()
    return jnp.bfloat16 if words & _FLAGS else jnp.float32


def multiply_integers(x: Array, matrix: Array, dtype: Any) -> Array:
    """Returns x W as exact float32 sums, for integers within ±127: [M] and [M, N] -> [N]."""
    contraction = (((x.ndim - 1,), (0,)), ((), ()))
    return jax.lax.dot_general(
        x.astype(dtype), matrix.astype(dtype), contraction, preferred_element_type=jnp.float32
    )


class IntegerDense(nn.Module):
    """The exact sums x W of integers; the kernel is rounded and clipped to ±127."""

    matrix_parameter: ClassVar[str] = "kernel"

    outputs: int
    kernel_init: Any
    straight_through: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.outputs))
        if self.straight_through:  # gradients would be rounded to bfloat16
            return multiply_integers(x, saturate(_round_through(kernel)), jnp.float32)
        return multiply_integers(x, saturate(jnp.round(kernel)), product_dtype())


class EGG(nn.Module):
    """The model: an embedding, L layers of a minimal gated unit and an MLP, and a head.

    Attributes:
      outputs: Number of tokens (V).
      widths: The width (D) of each of the L layers; all are equal.
      integers: Integers; False for the same graph and clips in real numbers.
      straight_through: Take the derivative of floors and roundings to be 1; it is 0 otherwise.
    """

    outputs: int
    widths: Sequence[int] = (64, 64)
    integers: bool = True
    straight_through: bool = False

    @property
    def carry(self) -> tuple[Array, ...]:
        """State of each layer at the start of a document [D].

        In one array [L, D] on CPU, XLA would compute a layer again for each of its uses.
        """
        return tuple(jnp.zeros((width,), jnp.float32) for width in self.widths)

    @nn.compact
    def __call__(
        self, state: tuple[Array, ...], x: Array
    ) -> tuple[tuple[Array, ...], Array]:  # L of [D], [1] -> L of [D], [V]
        """Reads a token; token 0, which separates documents, sets the state to zero first."""
        width, token = self.widths[0], x.reshape(()).astype(jnp.int32)
        embed = nn.Embed(self.outputs, width, embedding_init=self._matrix_init, name="embed")
        x = saturate(self._round(embed(token)))
        layers: list[Array] = []
        for i, layer in enumerate(state):
            layer = jnp.where(token == 0, 0.0, layer)
            layers.append(self._gated_unit(f"gru_{i}", layer, self._norm(f"gru_{i}_norm", x)))
            x = saturate(x + layers[-1])
            hidden = self._product(f"mlp_{i}_up", 4 * width, self._norm(f"mlp_{i}_norm", x))
            x = saturate(x + self._product(f"mlp_{i}_down", width, hidden))
        return tuple(layers), self._product("head", self.outputs, self._norm("head_norm", x))

    def _gated_unit(self, name: str, state: Array, x: Array) -> Array:
        """Returns the next state of a layer; the gate is (f + 127) / 256."""
        width = self.widths[0]
        forget = self._product(f"{name}_forget_input", width, x)
        forget = forget + self._product(f"{name}_forget_state", width, state)
        gate = saturate(forget + self._vector(f"{name}_forget_bias", 0)) + LARGEST
        past = self._floor(gate * state / GATE)
        change = self._product(f"{name}_change_input", width, x)
        change = change + self._product(f"{name}_change_state", width, past)
        change = saturate(change + self._vector(f"{name}_change_bias", 0))
        return state + self._floor(gate * (change - state) / GATE)

    def _norm(self, name: str, x: Array) -> Array:
        """Returns x w / m, floored and clipped; m is the mean of |x|, floored, and at least 1."""
        mean = jnp.abs(x) @ jnp.ones(x.shape) / x.shape[-1]
        return saturate(
            self._floor(x * self._vector(name, ONE) / jnp.maximum(self._floor(mean), 1))
        )

    def _product(self, name: str, outputs: int, x: Array) -> Array:
        """Returns x W / (16 √M) for x [M], floored and clipped; √M is floored, as in the paper."""
        init = self._matrix_init
        if self.integers:
            dense: nn.Module = IntegerDense(outputs, init, self.straight_through, name=name)
        else:
            dense = nn.Dense(outputs, use_bias=False, kernel_init=init, name=name)
        return saturate(self._floor(dense(x) / (ONE * math.isqrt(x.shape[-1]))))

    def _vector(self, name: str, start: int) -> Array:
        """Returns a parameter [D], rounded and clipped: noise may have been added to it."""
        vector = self.param(name, nn.initializers.constant(start), self.widths[:1])
        return saturate(self._round(vector))

    @property
    def _matrix_init(self) -> Any:
        return fixed_point_normal if self.integers else nn.initializers.normal(ONE)

    def _floor(self, x: Array) -> Array:
        if not self.integers:
            return x
        return _floor_through(x) if self.straight_through else jnp.floor(x)

    def _round(self, x: Array) -> Array:
        if not self.integers:
            return x
        return _round_through(x) if self.straight_through else jnp.round(x)


def make_egg(config: PolicyConfig, spec: EnvSpec, outputs: int) -> EGG:
    """Returns the model that a sweep's settings describe, for an environment of tokens.

    Raises:
      UserError: the observation is no index of a token, or the widths differ or are too large.
    """
    widths = config.widths
    if spec.observation_shape != (1,):
        raise UserError(
            f"network: egg reads the index of a token, of shape (1,); {spec.name} observes "
            f"{spec.observation_shape}: choose an environment of text, or another network"
        )
    if not widths or len(set(widths)) > 1 or widths[0] > WIDEST:
        raise UserError(
            f"widths: {list(widths)}; egg has one width for all layers, at most {WIDEST} so that "
            "its sums are exact, such as [64, 64]"
        )
    return EGG(outputs, widths, config.integers, config.straight_through)
