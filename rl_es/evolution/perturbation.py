"""Antithetic perturbations: draw unit noise of pairs, put it into a policy, contract it.

Noise is drawn once a generation, one normal draw a block of 64 pairs, sliced over the parameters.
Weight matrices are perturbed as products inside the policy, shared by the two members of a pair;
everything else (biases, convolution kernels, log standard deviations) is perturbed directly.

`FullRank`: independent normal noise on every scalar (Salimans et al. 2017, arXiv 1703.03864).
`LowRank`: E = A B^T / sqrt(R) on each matrix, with independent normal factors (EGGROLL, arXiv
2511.16652, section 3); each element of E has mean 0 and variance 1, as in full rank.

Keys by block of 64 antithetic pairs, so that no result depends on chunks, shards or devices.

The noise of one member's weight matrix, applied as a product: x -> x E.

Two forms: low rank, E = A B^T / sqrt(R) read as (x B) A^T with factors that already carry
sigma / sqrt(R) (EGGROLL, "Evolution Strategies at the Hyperscale", arXiv 2511.16652), and dense.
Both act on one member's input; the engine vmaps them over pairs, signs and episodes, so that the
unperturbed product x W, which they do not touch, stays one product shared by the population.

Nested dictionaries of parameters by path, and their arithmetic.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Members, Noise, ParameterSpec, Params, Update

PAIRS_PER_KEY = 64


def block_keys(key: Array, pairs: int, first: Array | int = 0) -> Array:
    """[blocks] keys for `pairs` pairs from block `first` on. Consumes `key`."""
    blocks = -(-pairs // PAIRS_PER_KEY)
    numbers = jnp.asarray(first, jnp.uint32) + jnp.arange(blocks, dtype=jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def pair_keys(keys: Array, pairs: int, episodes: int) -> Array:
    """[H, E] keys, one per pair and episode, which partners share. Consumes `keys` [blocks]."""
    split = jax.vmap(lambda key: jax.random.split(key, (PAIRS_PER_KEY, episodes)))(keys)
    return split.reshape(-1, episodes)[:pairs]


_SLICE = 16  # inputs whose products are summed side by side


def dot_rows(x: Array, b: Array) -> Array:
    """Sums over M of x [..., M] times each row of b [R, M], as [..., R].

    The cheapest form for each platform. On an accelerator that is a plain product. On CPU, where a
    sum over the minor dimension runs one number at a time and batched products of few columns are
    slow, all R products are summed together over slices of 16 inputs, and one small product with
    ones closes them. `python -m benchmarks.products` times it against other forms; none was faster
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
class LowRankProduct:
    """The factors of one matrix: E = sum over R of b_r a_r^T."""

    a: Array  # [R, N], carrying sigma / sqrt(R)
    b: Array  # [R, M]

    def apply(self, x: Array) -> Array:
        """X [..., M] -> [..., N]."""
        return self._expand(dot_rows(x, self.b))

    def apply_transposed(self, y: Array) -> Array:
        """Y [..., N] -> [..., M]."""
        return LowRankProduct(a=self.b, b=self.a).apply(y)

    def take(self, index: Array) -> Array:
        """Rows of E at integer `index` [...], as [..., N]."""
        return self._expand(jnp.moveaxis(self.b[:, index], 0, -1))

    def _expand(self, products: Array) -> Array:
        """Sum over R of products [..., R] times a, [..., N], rank by rank."""
        terms = [products[..., r : r + 1] * _like(a, products) for r, a in enumerate(self.a)]
        return sum(terms[1:], terms[0])


@struct.dataclass
class DenseProduct:
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


Path = tuple[str, ...]


def leaves_by_path(params: Any) -> dict[Path, Any]:
    """Leaves by path, in sorted order, whatever order the dictionaries were built in."""
    return dict(sorted(flatten_dict(params).items()))


def nest_by_path(leaves: Mapping[Path, Any]) -> Any:
    """The inverse of `by_path`."""
    return unflatten_dict(dict(leaves))


def weighted_sum(weights: Array, tree: Any) -> Any:
    """Sum over pairs of weights [H] times leaves [H, ...]."""
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), tree)


def select_fresh(fresh: Array, new: Any, old: Any) -> Any:
    """Of each pair, or copy: the new leaves [H, ...] where `fresh` [H], else the old ones."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(fresh.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def global_norm(params: Any) -> Array:
    """[] the Euclidean norm over all leaves."""
    return jnp.sqrt(
        sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)), jnp.zeros(()))
    )


@struct.dataclass
class Factors:
    """Unit low-rank noise of one weight array."""

    a: Array  # [H, R, N]
    b: Array  # [H, R, M]


def _normal(keys: Array, pairs: int, sizes: list[int]) -> list[Array]:
    """Standard normal numbers, [H, size] for each size: one draw per block, cut there.

    Block by block, the generator's temporaries and the uncut draw stay small.
    """
    rows = min(pairs, PAIRS_PER_KEY)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]

    def block(key: Array) -> list[Array]:
        drawn = jax.random.normal(key, (rows, sum(sizes)))
        return [drawn[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]

    return [part.reshape(-1, part.shape[-1])[:pairs] for part in jax.lax.map(block, keys)]


def _scaled(sigma: Array, noise: Array) -> Array:
    """Noise [H, ...] times sigma, [] or [H]."""
    return jnp.reshape(sigma, (-1, *(1,) * (noise.ndim - 1))) * noise


@dataclass(frozen=True)
class FullRank:
    """Independent noise on every scalar. Noise is a nested dictionary like the parameters."""

    parameters: ParameterSpec

    def draw(self, keys: Array, pairs: int) -> Noise:
        shapes = leaves_by_path(self.parameters.shapes)
        sizes = [math.prod(leaf.shape) for leaf in shapes.values()]
        cut = _normal(keys, pairs, sizes)
        return nest_by_path(
            {
                path: part.reshape(pairs, *leaf.shape)
                for (path, leaf), part in zip(shapes.items(), cut, strict=True)
            }
        )

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        matrices = self.parameters.matrices
        direct, products = {}, {}
        for path, unit in leaves_by_path(noise).items():
            if path in matrices:
                shape = (unit.shape[0], matrices[path].inputs, matrices[path].outputs)
                # Scaled where it is applied: noise times sigma would be a second copy of it all.
                own = jnp.broadcast_to(sigma, unit.shape[:1])
                products[path] = DenseProduct(unit.reshape(shape), own)
            else:
                direct[path] = _scaled(sigma, unit)
        return Members(params, direct, products)

    def contract(self, noise: Noise, weights: Array) -> Update:
        return weighted_sum(weights, noise)

    def dense(self, noise: Noise) -> Params:
        return noise


@dataclass(frozen=True)
class LowRank:
    """Noise of rank R on matrices, full-rank noise on the rest.

    Noise is a dictionary by path: `Factors` for a matrix, [H, ...] for anything else. A rank at or
    above min(M, N) is allowed: it is then no saving, but still the same estimator.

    Raises:
      UserError: the policy has a matrix that cannot be perturbed as a product.
    """

    parameters: ParameterSpec
    rank: int

    def __post_init__(self) -> None:
        for reason in self.parameters.refused.values():
            raise UserError(f"low-rank noise cannot treat this policy: {reason}")

    def draw(self, keys: Array, pairs: int) -> Noise:
        shapes, matrices, rank = (
            leaves_by_path(self.parameters.shapes),
            self.parameters.matrices,
            self.rank,
        )
        sizes: list[int] = []
        for path, leaf in shapes.items():
            matrix = matrices.get(path)
            sides = matrix.outputs + matrix.inputs if matrix else 0
            sizes.append(rank * sides if matrix else math.prod(leaf.shape))
        cut = iter(_normal(keys, pairs, sizes))
        noise = {}
        for path, leaf in shapes.items():
            drawn = next(cut)
            if matrix := matrices.get(path):
                drawn = drawn.reshape(pairs, rank, matrix.outputs + matrix.inputs)
                noise[path] = Factors(drawn[..., : matrix.outputs], drawn[..., matrix.outputs :])
            else:
                noise[path] = drawn.reshape(pairs, *leaf.shape)
        return noise

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        scale = sigma / math.sqrt(self.rank)
        direct, products = {}, {}
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                products[path] = LowRankProduct(a=_scaled(scale, unit.a), b=unit.b)
            else:
                direct[path] = _scaled(sigma, unit)
        return Members(params, direct, products)

    def contract(self, noise: Noise, weights: Array) -> Update:
        shapes = leaves_by_path(self.parameters.shapes)
        return nest_by_path(
            {
                path: self._contract_factors(unit, weights).reshape(shapes[path].shape)
                if isinstance(unit, Factors)
                else weighted_sum(weights, unit)
                for path, unit in noise.items()
            }
        )

    def _contract_factors(self, factors: Factors, weights: Array) -> Array:
        """[M, N] sum over pairs of weights B A^T / sqrt(R), as one product over pairs and ranks."""
        a, b = (side.reshape(-1, side.shape[-1]) for side in (factors.a, factors.b))  # [H R, .]
        weighted = jnp.repeat(weights, self.rank)[:, None] * b
        return weighted.T @ a / math.sqrt(self.rank)

    def dense(self, noise: Noise) -> Params:
        shapes = leaves_by_path(self.parameters.shapes)
        written: dict[Path, Array] = {}
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                full = jnp.einsum("hrm,hrn->hmn", unit.b, unit.a)
                unit = full.reshape(-1, *shapes[path].shape) / math.sqrt(self.rank)
            written[path] = unit
        return nest_by_path(written)
