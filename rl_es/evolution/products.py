"""The noise of one member's weight matrix, applied as a product: x -> x E.

Two forms: low rank, E = A B^T / sqrt(R) read as (x B) A^T with factors that already carry
sigma / sqrt(R) (EGGROLL, "Evolution Strategies at the Hyperscale", arXiv 2511.16652), and dense.
Both act on one member's input; the engine vmaps them over pairs, signs and episodes, so that the
unperturbed product x W, which they do not touch, stays one product shared by the population.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

_SLICE = 16  # inputs whose products are summed side by side


def products(x: Array, b: Array) -> Array:
    """Sums over M of x [..., M] times each row of b [R, M], as [..., R].

    The cheapest form for each platform. On an accelerator that is a plain product. On CPU, where a
    sum over the minor dimension runs one number at a time and batched products of few columns are
    slow, all R products are summed together over slices of 16 inputs, and one small product with
    ones closes them. `python -m rl_es.speed.products` times it against other forms; none was faster
    at any rank, nor at other widths by enough for a choice by shape.
    """
    inputs = x.shape[-1]
    if jax.default_backend() != "cpu":
        return x @ b.T
    if inputs < _SLICE:
        return sum((x[..., j : j + 1] * _like(b[:, j], x) for j in range(1, inputs)),
                   x[..., :1] * _like(b[:, 0], x))  # fmt: skip
    short = -inputs % _SLICE
    x, b = (jnp.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, short)]) for part in (x, b))
    y = x[..., None, :] * b.reshape((1,) * (x.ndim - 1) + b.shape)
    y = y.reshape(*y.shape[:-1], -1, _SLICE).sum(-2)
    return y @ jnp.ones((_SLICE,), x.dtype)


def _like(vector: Array, x: Array) -> Array:
    """[N] with as many leading axes of one as x has: strict rank promotion asks for it."""
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)


@struct.dataclass
class LowRank:
    """The factors of one matrix: E = sum over R of b_r a_r^T."""

    a: Array  # [R, N], carrying sigma / sqrt(R)
    b: Array  # [R, M]

    def apply(self, x: Array) -> Array:
        """X [..., M] -> [..., N]."""
        return self._expand(products(x, self.b))

    def apply_transposed(self, y: Array) -> Array:
        """Y [..., N] -> [..., M]."""
        return LowRank(a=self.b, b=self.a).apply(y)

    def take(self, index: Array) -> Array:
        """Rows of E at integer `index` [...], as [..., N]."""
        return self._expand(jnp.moveaxis(self.b[:, index], 0, -1))

    def _expand(self, products: Array) -> Array:
        """Sum over R of products [..., R] times a, [..., N], rank by rank."""
        terms = [products[..., r : r + 1] * _like(a, products) for r, a in enumerate(self.a)]
        return sum(terms[1:], terms[0])


@struct.dataclass
class Dense:
    """One matrix of unit noise."""

    e: Array  # [M, N]
    sigma: Array  # []

    def apply(self, x: Array) -> Array:
        """X [..., M] -> [..., N]."""
        return self.sigma * (x @ self.e)

    def apply_transposed(self, y: Array) -> Array:
        """Y [..., N] -> [..., M]."""
        return self.sigma * (y @ self.e.T)

    def take(self, index: Array) -> Array:
        """Rows of E at integer `index` [...], as [..., N]."""
        return self.sigma * self.e[index]
