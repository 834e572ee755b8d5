"""The noise of one member's weight matrix, applied as a product: x -> x E.

Two forms: low rank, E = A B^T / sqrt(R) read as (x B) A^T with factors that already carry
sigma / sqrt(R) (EGGROLL, "Evolution Strategies at the Hyperscale", arXiv 2511.16652), and dense.
Both act on one member's input; the engine vmaps them over pairs, signs and episodes, so that the
unperturbed product x W, which they do not touch, stays one product shared by the population.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

_NARROW = 16  # inputs up to which a row product is written out term by term


def _row_dot(x: Array, b: Array) -> Array:
    """Sum over M of x [..., M] times b [M], as [..., 1].

    On CPU a reduction over the minor dimension is up to ten times slower than sums of a few wide
    slices closed by a small product with ones; elsewhere a plain product is best.
    """
    inputs = x.shape[-1]
    if jax.default_backend() != "cpu":
        return (x @ b)[..., None]
    if inputs <= _NARROW:
        return sum((x[..., j : j + 1] * b[j] for j in range(1, inputs)), x[..., :1] * b[0])
    width = max(_NARROW, inputs // 4)
    y = x * _like(b, x)
    if inputs % width:
        return y @ jnp.ones((inputs, 1), x.dtype)
    total = sum((y[..., j : j + width] for j in range(width, inputs, width)), y[..., :width])
    return total @ jnp.ones((width, 1), x.dtype)


def _like(vector: Array, x: Array) -> Array:
    """[N] with as many leading axes of one as x has: strict rank promotion asks for it."""
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)


def _barrier(x: Array) -> Array:
    """The input itself, in a form that keeps XLA on CPU from re-deriving the layer before it."""
    if jax.default_backend() != "cpu" or x.shape[-1] <= _NARROW:
        return x
    return jnp.maximum(x, -jnp.abs(x))


@struct.dataclass
class LowRank:
    """A^T-side and B-side factors of one matrix, a tuple of R vectors each."""

    a: tuple[Array, ...]  # R x [N], carrying sigma / sqrt(R)
    b: tuple[Array, ...]  # R x [M]

    def apply(self, x: Array) -> Array:
        """X [..., M] -> [..., N]."""
        x = _barrier(x)
        terms = [_row_dot(x, b) * _like(a, x) for a, b in zip(self.a, self.b, strict=True)]
        return sum(terms[1:], terms[0])

    def apply_transposed(self, y: Array) -> Array:
        """Y [..., N] -> [..., M]."""
        return LowRank(a=self.b, b=self.a).apply(y)

    def take(self, index: Array) -> Array:
        """Rows of E at integer `index` [...], as [..., N]."""
        terms = [b[index][..., None] * a.reshape((1,) * index.ndim + a.shape)
                 for a, b in zip(self.a, self.b, strict=True)]  # fmt: skip
        return sum(terms[1:], terms[0])


@struct.dataclass
class Dense:
    """One matrix of noise, carrying sigma."""

    e: Array  # [M, N]

    def apply(self, x: Array) -> Array:
        """X [..., M] -> [..., N]."""
        return x @ self.e

    def apply_transposed(self, y: Array) -> Array:
        """Y [..., N] -> [..., M]."""
        return y @ self.e.T

    def take(self, index: Array) -> Array:
        """Rows of E at integer `index` [...], as [..., N]."""
        return self.e[index]


Product = Any  # LowRank or Dense
