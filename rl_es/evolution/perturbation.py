"""Antithetic perturbations: draw unit noise of pairs, apply it inside a policy, contract it.

A pair's members are the parameters plus and minus sigma E. Both perturbations here draw E once a
generation, for blocks of 64 pairs with a key each, so that no result depends on chunks, shards or
devices.

`FullRank`: independent normal noise on every scalar (Salimans et al. 2017, arXiv 1703.03864).
`LowRank`: E = A B^T / sqrt(R) on every weight matrix, with independent normal factors (EGGROLL,
"Evolution Strategies at the Hyperscale", arXiv 2511.16652, section 3), or with factors of a fixed
length, which take the heavy tails from the noise of narrow matrices (docs/low_rank.md). Every
element of E has mean 0 and variance 1, as in full rank. Everything else gets full-rank noise.

The noise of a weight matrix is applied as a product, x -> x E: `LowRankProduct` as (x B) A^T, with
A scaled by sigma / sqrt(R), and `DenseProduct`. A product acts on the input of one member; the
engine vmaps it over pairs, signs and episodes. So the unperturbed product x W stays one product
that the whole population shares. Other arrays (biases, convolution kernels, log standard
deviations) are perturbed directly.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.config import FactorDistribution
from rl_es.interfaces import Members, Noise, ParameterSpec, Params, Update

Path = tuple[str, ...]


def leaves_by_path(params: Any) -> dict[Path, Any]:
    """Returns the leaves of nested dictionaries by path, sorted by path."""
    return dict(sorted(flatten_dict(params).items()))


def nest_by_path(leaves: Mapping[Path, Any]) -> Any:
    """Returns nested dictionaries: the inverse of `leaves_by_path`."""
    return unflatten_dict(dict(leaves))


def replace_leaves(params: Params, some: Params) -> Params:
    """Returns the parameters with those leaves replaced that another tree has at their paths."""
    return nest_by_path({**leaves_by_path(params), **leaves_by_path(some)})


def without_vectors(parameters: ParameterSpec) -> ParameterSpec:
    """Returns the parameters without vectors: biases, gains, log standard deviations.

    A vector is an array with at most one axis longer than 1 that no layer uses as a matrix.

    Raises:
      UserError: there are vectors only.
    """
    products = {*parameters.matrices, *parameters.refused}
    shapes = {
        path: leaf
        for path, leaf in leaves_by_path(parameters.shapes).items()
        if path in products or sum(size > 1 for size in leaf.shape) > 1
    }
    if not shapes:
        raise UserError("freeze_vectors: this policy has no matrices; leave it out")
    bounds = parameters.bounds and tuple(
        nest_by_path({path: leaves_by_path(side)[path] for path in shapes})
        for side in parameters.bounds
    )
    return replace(parameters, shapes=nest_by_path(shapes), bounds=bounds)


def weighted_sum(weights: Array, tree: Any) -> Any:
    """Returns the sum over pairs of weights [H] times leaves [H, ...]."""
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), tree)


def select_fresh(fresh: Array, new: Any, old: Any) -> Any:
    """Selects by pair: the new leaves [H, ...] where `fresh` [H], else the old ones."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(fresh.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def global_norm(params: Any) -> Array:
    """Returns the Euclidean norm over all leaves []."""
    return jnp.sqrt(
        sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)), jnp.zeros(()))
    )


PAIRS_PER_KEY = 64


def block_keys(key: Array, pairs: int, first: Array | int = 0) -> Array:
    """Returns the keys [blocks] of `pairs` pairs from block `first` on. Consumes `key`."""
    blocks = -(-pairs // PAIRS_PER_KEY)
    numbers = jnp.asarray(first, jnp.uint32) + jnp.arange(blocks, dtype=jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def pair_keys(keys: Array, pairs: int, episodes: int) -> Array:
    """Returns keys [H, E] that the members of a pair share. Consumes the block keys [blocks]."""
    split = jax.vmap(lambda key: jax.random.split(key, (PAIRS_PER_KEY, episodes)))(keys)
    return split.reshape(-1, episodes)[:pairs]


_DRAW_BYTES = 2**26  # of noise that an accelerator draws at once


def map_blocks(draw: Callable[[Array], Any], keys: Array) -> Any:
    """Returns what a function draws from each block's key, leaves [blocks, ...]. Consumes `keys`.

    On CPU it draws block by block, which keeps the generator's temporaries in the processor's
    caches. On an accelerator it draws as many blocks at once as make up `_DRAW_BYTES`: a loop over
    blocks would be a row of kernels, each too small for the device. The numbers are the same.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(draw, keys)
    shapes = jax.tree.leaves(jax.eval_shape(draw, keys[0]))
    block_bytes = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in shapes)
    most, blocks = max(1, _DRAW_BYTES // max(1, block_bytes)), len(keys)
    size = next(n for n in range(min(most, blocks), 0, -1) if blocks % n == 0)
    if size == blocks:
        return jax.vmap(draw)(keys)
    return jax.lax.map(draw, keys, batch_size=size)


_SLICE = 16  # inputs that are summed side by side


def dot_rows(x: Array, b: Array) -> Array:
    """Returns the dot products of x [..., M] with the rows of b [R, M], as [..., R].

    On an accelerator this is a plain product. On CPU, a sum over the minor dimension runs one
    number at a time, and batched products of few columns are slow. There all R products are summed
    over slices of 16 inputs, and a product with ones closes the sum. `python -m
    benchmarks.products` times this form against others: none was faster at any rank, nor at other
    widths by enough for a choice by shape.
    """
    inputs = x.shape[-1]
    if jax.default_backend() != "cpu":
        return x @ b.T
    if inputs < _SLICE:
        return sum((x[..., j : j + 1] * _broadcastable(b[:, j], x) for j in range(1, inputs)),
                   x[..., :1] * _broadcastable(b[:, 0], x))  # fmt: skip
    padding = -inputs % _SLICE
    x, b = (jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, padding)]) for array in (x, b))
    y = x[..., None, :] * b.reshape((1,) * (x.ndim - 1) + b.shape)
    y = y.reshape(*y.shape[:-1], -1, _SLICE).sum(-2)
    return y @ jnp.ones((_SLICE,), x.dtype)


def _broadcastable(vector: Array, x: Array) -> Array:
    """Returns a vector [N] with leading axes of one, as many as strict rank promotion asks for."""
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)


@struct.dataclass
class LowRankProduct:
    """The scaled factors of one pair's noise on a matrix: sigma E = sum over R of b_r a_r^T."""

    a: Array  # [R, N], scaled by sigma / sqrt(R)
    b: Array  # [R, M]

    def apply(self, x: Array) -> Array:
        """Returns x E: [..., M] -> [..., N]."""
        return self._expand(dot_rows(x, self.b))

    def apply_transposed(self, y: Array) -> Array:
        """Returns y E^T: [..., N] -> [..., M]."""
        return LowRankProduct(a=self.b, b=self.a).apply(y)

    def take(self, index: Array) -> Array:
        """Returns the rows of E at an integer index [...], as [..., N]."""
        return self._expand(jnp.moveaxis(self.b[:, index], 0, -1))

    def _expand(self, products: Array) -> Array:
        """Returns the sum over R of products [..., R] times a, as [..., N], rank by rank."""
        terms = [
            products[..., r : r + 1] * _broadcastable(a, products) for r, a in enumerate(self.a)
        ]
        return sum(terms[1:], terms[0])


@struct.dataclass
class DenseProduct:
    """One pair's unit noise on a matrix, and its scale."""

    e: Array  # [M, N]
    sigma: Array  # []

    def apply(self, x: Array) -> Array:
        """Returns x E: [..., M] -> [..., N]."""
        return self.sigma * (x @ self.e)

    def apply_transposed(self, y: Array) -> Array:
        """Returns y E^T: [..., N] -> [..., M]."""
        return self.sigma * (y @ self.e.T)

    def take(self, index: Array) -> Array:
        """Returns the rows of E at an integer index [...], as [..., N]."""
        return self.sigma * self.e[index]


@struct.dataclass
class Factors:
    """Unit low-rank noise on one weight array, of all pairs."""

    a: Array  # [H, R, N]
    b: Array  # [H, R, M]


def _normal(keys: Array, pairs: int, sizes: list[int]) -> list[Array]:
    """Returns standard normal numbers [H, size] for each size, from one draw a block."""
    rows = min(pairs, PAIRS_PER_KEY)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]

    def draw_block(key: Array) -> list[Array]:
        normal = jax.random.normal(key, (rows, sum(sizes)))
        return [normal[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]

    return [part.reshape(-1, part.shape[-1])[:pairs] for part in map_blocks(draw_block, keys)]


def _normalise(vectors: Array) -> Array:
    """Returns vectors [..., S] scaled to length 1; one of length 0 stays."""
    squares = jnp.sum(jnp.square(vectors), -1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squares, jnp.finfo(squares.dtype).tiny))


def _scale(sigma: Array, noise: Array) -> Array:
    """Returns noise [H, ...] times sigma [] or [H]."""
    return jnp.reshape(sigma, (-1, *(1,) * (noise.ndim - 1))) * noise


@dataclass(frozen=True)
class FullRank:
    """Independent normal noise on every scalar, [H, ...], structured like the parameters."""

    parameters: ParameterSpec

    def draw(self, keys: Array, pairs: int) -> Noise:
        shapes = leaves_by_path(self.parameters.shapes)
        sizes = [math.prod(leaf.shape) for leaf in shapes.values()]
        parts = _normal(keys, pairs, sizes)
        return nest_by_path(
            {
                path: part.reshape(pairs, *leaf.shape)
                for (path, leaf), part in zip(shapes.items(), parts, strict=True)
            }
        )

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        matrices = self.parameters.matrices
        direct, products = {}, {}
        for path, unit in leaves_by_path(noise).items():
            if path in matrices:
                shape = (unit.shape[0], matrices[path].inputs, matrices[path].outputs)
                # Scaled where it is applied: sigma times the noise would be a second copy of it.
                scale = jnp.broadcast_to(sigma, unit.shape[:1])
                products[path] = DenseProduct(unit.reshape(shape), scale)
            else:
                direct[path] = _scale(sigma, unit)
        return Members(params, direct, products)

    def contract(self, noise: Noise, weights: Array) -> Update:
        return weighted_sum(weights, noise)

    def dense(self, noise: Noise) -> Params:
        return noise


@dataclass(frozen=True)
class LowRank:
    """Noise of rank R on weight matrices, full-rank noise on all else.

    Noise is a dictionary by path: `Factors` of a matrix, an array [H, ...] of anything else. A rank
    of min(M, N) or more is allowed: it saves nothing, but is the same estimator.

    Raises:
      UserError: the policy has a matrix that cannot be perturbed as a product.
    """

    parameters: ParameterSpec
    rank: int
    factors: FactorDistribution = "normal"

    def __post_init__(self) -> None:
        for reason in self.parameters.refused.values():
            raise UserError(f"low-rank noise cannot treat this policy: {reason}")

    def draw(self, keys: Array, pairs: int) -> Noise:
        shapes, matrices = leaves_by_path(self.parameters.shapes), self.parameters.matrices
        sizes: list[int] = []
        for path, leaf in shapes.items():
            matrix = matrices.get(path)
            sides = matrix.outputs + matrix.inputs if matrix else 0
            sizes.append(self.rank * sides if matrix else math.prod(leaf.shape))
        noise = {}
        for (path, leaf), normal in zip(shapes.items(), _normal(keys, pairs, sizes), strict=True):
            if matrix := matrices.get(path):
                factors = normal.reshape(pairs, self.rank, matrix.outputs + matrix.inputs)
                a, b = factors[..., : matrix.outputs], factors[..., matrix.outputs :]
                noise[path] = Factors(self._fix_length(a), self._fix_length(b))
            else:
                noise[path] = normal.reshape(pairs, *leaf.shape)
        return noise

    def _fix_length(self, normal: Array) -> Array:
        """Returns factors [H, R, S] of this noise from normal ones."""
        if self.factors == "normal":
            return normal
        rank, size = normal.shape[1:]
        if self.factors == "sphere" or rank > size:
            return _normalise(normal) * math.sqrt(size)
        columns: list[Array] = []  # Gram-Schmidt
        for r in range(rank):
            rest = normal[:, r]
            for column in columns:
                rest = rest - jnp.sum(rest * column, -1, keepdims=True) * column
            columns.append(_normalise(rest))
        return jnp.stack(columns, 1) * math.sqrt(size)

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        scale = sigma / math.sqrt(self.rank)
        direct, products = {}, {}
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                products[path] = LowRankProduct(a=_scale(scale, unit.a), b=unit.b)
            else:
                direct[path] = _scale(sigma, unit)
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
        """Returns the sum [M, N] over pairs of weight B A^T / sqrt(R), by one product."""
        a, b = (side.reshape(-1, side.shape[-1]) for side in (factors.a, factors.b))  # [H R, .]
        weighted_b = jnp.repeat(weights, self.rank)[:, None] * b
        return weighted_b.T @ a / math.sqrt(self.rank)

    def dense(self, noise: Noise) -> Params:
        shapes = leaves_by_path(self.parameters.shapes)
        dense: dict[Path, Array] = {}
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                full = jnp.einsum("hrm,hrn->hmn", unit.b, unit.a)
                unit = full.reshape(-1, *shapes[path].shape) / math.sqrt(self.rank)
            dense[path] = unit
        return nest_by_path(dense)
