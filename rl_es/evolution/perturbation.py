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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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


_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def _random_bits(key: Array, high: Array, low: Array) -> Array:
    """Returns 32 random bits for each count 2^32 high + low, by 20 rounds of Threefry-2x32.

    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". `jax.random.bits` has the
    same bits, but runs the rounds on CPU as a loop over whole arrays.

    Args:
      key: [..., 2] the words of a key.
      high: [...] uint32.
      low: [...] uint32.
    """
    words = (key[..., 0], key[..., 1], key[..., 0] ^ key[..., 1] ^ _PARITY)
    x, y = high + words[0], low + words[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation)))
        x = x + words[(group + 1) % 3]
        y = y + words[(group + 2) % 3] + np.uint32(group + 1)
    return x ^ y


class RandomTable(NamedTuple):
    """A table of random numbers, a row for each pair, of which columns are drawn.

    The rows of a block of 64 pairs are those that `jax.random` draws with the block's key and the
    shape (64, width). Only the columns that are drawn are computed, each number by itself. Columns
    that do not overlap are independent. The numbers of columns are arrays [...] uint32.

    Attributes:
      words: [H, 2] uint32, the key of each pair's block.
      high: [H] uint32, the count of each row's first number, divided by 2^32.
      low: [H] uint32, the rest.
    """

    words: Array
    high: Array
    low: Array

    def uniform(self, columns: Array, low: float = -1.0) -> Array:
        """Draws numbers in [low, 1), [H, ...]."""
        lead = (-1, *(1,) * columns.ndim)
        count = self.low.reshape(lead) + columns[None]
        carry = (count < columns[None]).astype(jnp.uint32)
        bits = _random_bits(self.words.reshape(*lead, 2), self.high.reshape(lead) + carry, count)
        ones = np.float32(1).view(np.uint32)  # the exponent of numbers in [1, 2)
        unit = jax.lax.bitcast_convert_type((bits >> np.uint32(9)) | ones, jnp.float32) - 1.0
        least = np.float32(low)
        return jnp.maximum(least, unit * (1 - least) + least)

    def normal(self, columns: Array) -> Array:
        """Draws standard normal numbers, [H, ...]."""
        above_minus_one = float(np.nextafter(np.float32(-1), np.float32(0)))
        uniform = self.uniform(columns, above_minus_one)
        return np.float32(math.sqrt(2)) * jax.lax.erf_inv(uniform)


def column_numbers(start: int, *shape: int) -> Array:
    """Returns the numbers of consecutive columns, from `start` on, in an array of this shape."""
    return jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) + np.uint32(start)


def number_columns(
    shapes: Mapping[Any, tuple[int, ...]],
) -> tuple[dict[Any, Array], int]:
    """Numbers the columns of arrays that lie side by side; returns the table's width, too."""
    columns, width = {}, 0
    for name, shape in shapes.items():
        columns[name] = column_numbers(width, *shape)
        width += math.prod(shape)
    return columns, width


def draw_table(keys: Array, pairs: int, width: int, draw: Callable[[RandomTable], Any]) -> Any:
    """Returns what a function draws from the rows of all pairs, leaves [H, ...].

    It draws one half of the pairs after the other. A loop is what keeps XLA on CPU from drawing
    the numbers anew wherever they are read.

    Args:
      keys: [blocks], one per block of 64 pairs. Consumed.
      pairs: Number of pairs (H).
      width: Number of columns.
      draw: Draws leaves [H / 2, ...] from a table of as many rows.
    """
    half = -(-pairs // 2)
    pair = np.minimum(np.arange(2 * half), pairs - 1)
    starts = np.uint64(width) * (pair % PAIRS_PER_KEY).astype(np.uint64)
    table = RandomTable(
        jax.random.key_data(keys)[pair // PAIRS_PER_KEY],
        jnp.asarray((starts >> np.uint64(32)).astype(np.uint32)),
        jnp.asarray(starts.astype(np.uint32)),
    )
    halves = jax.tree.map(lambda leaf: leaf.reshape(2, half, *leaf.shape[1:]), table)
    drawn = jax.lax.map(draw, halves)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:pairs], drawn)


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
        columns, width = number_columns({path: leaf.shape for path, leaf in shapes.items()})
        return draw_table(
            keys, pairs, width, lambda table: jax.tree.map(table.normal, nest_by_path(columns))
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
        matrices, shapes = self.parameters.matrices, {}
        for path, leaf in leaves_by_path(self.parameters.shapes).items():
            matrix = matrices.get(path)
            shapes[path] = (self.rank, matrix.outputs + matrix.inputs) if matrix else leaf.shape
        columns, width = number_columns(shapes)

        def draw(table: RandomTable) -> Noise:
            noise = {}
            for path, numbers in columns.items():
                if matrix := matrices.get(path):
                    sides = numbers[:, : matrix.outputs], numbers[:, matrix.outputs :]
                    noise[path] = Factors(*(self._fix_length(table.normal(side)) for side in sides))
                else:
                    noise[path] = table.normal(numbers)
            return noise

        return draw_table(keys, pairs, width, draw)

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
