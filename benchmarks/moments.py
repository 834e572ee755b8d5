"""Prints the moments of unit noise by theory, and as measured on draws of the perturbations.

    python -m benchmarks.moments [--shapes 3x32 32x1] [--ranks 1 4] [--pairs 40960] [--seed 0]

A row is a kind of noise on a weight matrix of M inputs and N outputs. The second moment is that of
one member's estimate of a linear return's gradient, over M N; 1 is the least that noise of mean 0
and variance 1 can have. The fourth moment is the factor of the expected estimate of a cube; 3 is
full rank. The output moment is of the squared distance by which a member's noise moves the outputs
of a unit input; 1 if it is the same for all members. A measured value has its standard error behind
it. docs/low_rank.md derives the theory.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.evolution.config import FactorDistribution
from rl_es.evolution.moments import MatrixNoise
from rl_es.evolution.perturbation import PAIRS_PER_KEY
from rl_es.evolution.strategy import make_perturbation
from rl_es.interfaces import Matrix, ParameterSpec, Perturbation

SHAPES = ((3, 32), (32, 1), (4, 64), (16, 16), (32, 32), (256, 256))
ROW = "{:>9}  {:22}  {:>8} {:>18}  {:>8} {:>18}  {:>8} {:>18}"


def sample_moments(
    perturbation: Perturbation, blocks: int, g: Array, v: Array, u: Array, key: Array
) -> tuple[Array, Array, Array]:
    """Returns <G, E>^2 |E|^2, (v' E u)^4 and |v' E|^4 of draws [blocks * 64].

    G is [M, N], v [M] and u [N].
    """

    def sample_block(key: Array) -> tuple[Array, Array, Array]:
        unit = perturbation.draw(key[None], PAIRS_PER_KEY)
        (e,) = jax.tree.leaves(perturbation.dense(unit))
        squares = jnp.square(e).sum((1, 2))
        outputs = jnp.einsum("m,hmn->hn", v, e)
        return (
            jnp.square(jnp.einsum("hmn,mn->h", e, g)) * squares,
            (outputs @ u) ** 4,
            jnp.square(jnp.square(outputs).sum(1)),
        )

    second, fourth, output = jax.lax.map(sample_block, jax.random.split(key, blocks))
    return second.ravel(), fourth.ravel(), output.ravel()


def format_mean(samples: Array, scale: float) -> str:
    """Returns the mean of samples over a scale, and its standard error: '1.01 (0.02)'."""
    values = np.asarray(samples, np.float64) / scale
    return f"{values.mean():.4f} ({values.std(ddof=1) / len(values) ** 0.5:.4f})"


def measure_rows(
    shape: tuple[int, int], ranks: list[int], pairs: int, seed: int
) -> Iterator[tuple[str, ...]]:
    """Yields the rows of a matrix: full rank, then every kind of factors by rank."""
    inputs, outputs = shape
    rng = np.random.default_rng(seed)
    g, v, u = (rng.normal(size=size) for size in (shape, inputs, outputs))
    unit_vectors = [jnp.asarray(x / np.linalg.norm(x), jnp.float32) for x in (g, v, u)]
    spec = ParameterSpec(
        {"kernel": jax.ShapeDtypeStruct(shape, jnp.float32)},
        {("kernel",): Matrix(inputs, outputs)},
    )
    kinds = [MatrixNoise(rank, f) for rank in ranks for f in get_args(FactorDistribution)]
    for noise in (MatrixNoise(None), *kinds):
        perturbation = make_perturbation(spec, noise.rank, noise.factors)
        blocks = -(-pairs // PAIRS_PER_KEY)
        sample = jax.jit(partial(sample_moments, perturbation, blocks))
        second, fourth, output = sample(*unit_vectors, jax.random.key(seed))
        yield (
            f"{inputs} x {outputs}",
            "full rank" if noise.rank is None else f"rank {noise.rank}, {noise.factors}",
            f"{noise.second_moment(inputs, outputs) / (inputs * outputs):.4f}",
            format_mean(second, inputs * outputs),
            f"{noise.fourth_moment(inputs, outputs):.4f}",
            format_mean(fourth, 1),
            f"{noise.output_moment(inputs, outputs):.4f}",
            format_mean(output, outputs**2),
        )


def parse_shape(text: str) -> tuple[int, int]:
    """Returns the numbers of inputs and outputs of '3x32'."""
    inputs, outputs = map(int, text.split("x"))
    return inputs, outputs


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Prints the moments of unit noise.")
    parser.add_argument("--shapes", type=parse_shape, nargs="+", default=SHAPES)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--pairs", type=int, default=40960)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    heads = "second / MN", "measured", "fourth", "measured", "output", "measured"
    print(ROW.format("matrix", "noise", *heads))
    for shape in options.shapes:
        for row in measure_rows(shape, options.ranks, options.pairs, options.seed):
            print(ROW.format(*row), flush=True)


if __name__ == "__main__":
    main()
