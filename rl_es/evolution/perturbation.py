"""Antithetic perturbations: draw unit noise of pairs, put it into a policy, contract it.

Noise is drawn once a generation, one normal draw a block of 64 pairs, sliced over the parameters.
Weight matrices are perturbed as products inside the policy, shared by the two members of a pair;
everything else (biases, convolution kernels, log standard deviations) is perturbed directly.

`FullRank`: independent normal noise on every scalar (Salimans et al. 2017, arXiv 1703.03864).
`LowRank`: E = A B^T / sqrt(R) on each matrix, with independent normal factors (EGGROLL, arXiv
2511.16652, section 3); each element of E has mean 0 and variance 1, as in full rank.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.keys import PAIRS_PER_KEY
from rl_es.evolution.products import Dense
from rl_es.evolution.products import LowRank as LowRankProduct
from rl_es.evolution.tree import Path, by_path, nested, weighted
from rl_es.interfaces import Members, Noise, ParameterSpec, Params, Update


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
        shapes = by_path(self.parameters.shapes)
        sizes = [math.prod(leaf.shape) for leaf in shapes.values()]
        cut = _normal(keys, pairs, sizes)
        return nested(
            {
                path: part.reshape(pairs, *leaf.shape)
                for (path, leaf), part in zip(shapes.items(), cut, strict=True)
            }
        )

    def members(self, params: Params, noise: Noise, sigma: Array) -> Members:
        matrices = self.parameters.matrices
        direct, products = {}, {}
        for path, unit in by_path(noise).items():
            if path in matrices:
                shape = (unit.shape[0], matrices[path].inputs, matrices[path].outputs)
                # Scaled where it is applied: noise times sigma would be a second copy of it all.
                own = jnp.broadcast_to(sigma, unit.shape[:1])
                products[path] = Dense(unit.reshape(shape), own)
            else:
                direct[path] = _scaled(sigma, unit)
        return Members(params, direct, products)

    def contract(self, noise: Noise, weights: Array) -> Update:
        return weighted(weights, noise)

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
            by_path(self.parameters.shapes),
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
        shapes = by_path(self.parameters.shapes)
        return nested(
            {
                path: self._contract_factors(unit, weights).reshape(shapes[path].shape)
                if isinstance(unit, Factors)
                else weighted(weights, unit)
                for path, unit in noise.items()
            }
        )

    def _contract_factors(self, factors: Factors, weights: Array) -> Array:
        """[M, N] sum over pairs of weights B A^T / sqrt(R), as one product over pairs and ranks."""
        a, b = (side.reshape(-1, side.shape[-1]) for side in (factors.a, factors.b))  # [H R, .]
        weighted = jnp.repeat(weights, self.rank)[:, None] * b
        return weighted.T @ a / math.sqrt(self.rank)

    def dense(self, noise: Noise) -> Params:
        shapes = by_path(self.parameters.shapes)
        written: dict[Path, Array] = {}
        for path, unit in noise.items():
            if isinstance(unit, Factors):
                full = jnp.einsum("hrm,hrn->hmn", unit.b, unit.a)
                unit = full.reshape(-1, *shapes[path].shape) / math.sqrt(self.rank)
            written[path] = unit
        return nested(written)
