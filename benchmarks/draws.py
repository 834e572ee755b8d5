"""Times how noise is drawn, against the same numbers drawn block by block by `jax.random.normal`.

    python -m benchmarks.draws [--width 256] [--ranks 1 4 full] [--population 1024]

Noise of a policy of three hidden layers with 4 inputs and 2 outputs. `rl_es.evolution.perturbation`
computes each number by itself; `jax.random.normal` fills arrays with random bits first. The
milliseconds are medians over interleaved rounds.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.evolution.perturbation import PAIRS_PER_KEY, FullRank, LowRank, block_keys
from rl_es.interfaces import Matrix, ParameterSpec, Perturbation
from rl_es.training.compilation import CompiledFunction, compile_function

INPUTS, OUTPUTS = 4, 2


def policy_parameters(width: int) -> ParameterSpec:
    """Returns the description of the policy's parameters."""
    shapes, matrices = {}, {}
    for i, sides in enumerate(itertools.pairwise([INPUTS, width, width, width, OUTPUTS])):
        layer = {"kernel": jax.ShapeDtypeStruct(sides, jnp.float32),
                 "bias": jax.ShapeDtypeStruct(sides[1:], jnp.float32)}  # fmt: skip
        shapes[f"Dense_{i}"] = layer
        matrices[f"Dense_{i}", "kernel"] = Matrix(*sides)
    return ParameterSpec(shapes, matrices)


def draw_blocks(keys: Array, sizes: list[int]) -> Any:
    """Draws arrays [blocks, 64, size] of normal numbers, block by block. Consumes `keys`."""
    ends = list(itertools.accumulate(sizes))

    def draw_block(key: Array) -> list[Array]:
        normal = jax.random.normal(key, (PAIRS_PER_KEY, ends[-1]))
        return [normal[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]

    return jax.lax.map(draw_block, keys)


def measure(perturbation: Perturbation, pairs: int, rounds: int) -> dict[str, Any]:
    """Returns the numbers of a draw, and for each form milliseconds and temporary bytes."""
    keys = block_keys(jax.random.key(0), pairs)
    shapes = jax.tree.leaves(jax.eval_shape(lambda: perturbation.draw(keys, pairs)))
    sizes = [math.prod(leaf.shape) // pairs for leaf in shapes]
    forms: dict[str, Callable[[Array], Any]] = {
        "by itself": lambda keys: perturbation.draw(keys, pairs),
        "in blocks": lambda keys: draw_blocks(keys, sizes),
    }
    programs: dict[str, CompiledFunction] = {}
    for name, form in forms.items():
        programs[name] = compile_function(form, keys)
        jax.block_until_ready(programs[name].call(keys))
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program.call(keys))
            seconds[name].append(time.perf_counter() - start)
    outputs = 4 * pairs * sum(sizes)
    row: dict[str, Any] = {"numbers": pairs * sum(sizes)}
    for name, program in programs.items():
        row[f"{name}, ms"] = round(1e3 * median(seconds[name]), 2)
        row[f"{name}, MB beside it"] = round((program.memory_bytes - outputs) / 1e6, 2)
    return row


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description="Times how noise is drawn.")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--ranks", nargs="+", default=["1", "4", "full"])
    parser.add_argument("--population", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    parameters, pairs = policy_parameters(args.width), args.population // 2
    for i, rank in enumerate(args.ranks):
        full = rank == "full"
        noise = FullRank(parameters) if full else LowRank(parameters, int(rank))
        row = {"rank": rank, **measure(noise, pairs, args.rounds)}
        if i == 0:
            print("| " + " | ".join(row) + " |")
            print("|" + "---:|" * len(row))
        print("| " + " | ".join(f"{value:,}" if rank != value else rank for value in row.values())
              + " |")  # fmt: skip


if __name__ == "__main__":
    main()
