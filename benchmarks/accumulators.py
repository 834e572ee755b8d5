"""Times the forms in which an episode's low-rank noise can be kept, on one weight matrix.

    python -m benchmarks.accumulators [--widths 64 256] [--ranks 1 4] [--windows 2 10 50]

`rl_es.evolution.noise_memory.cheapest_accumulator` was chosen by this. The table has milliseconds a
window for drawing the noise, keeping it and contracting it into an update, medians over interleaved
rounds, and what each form keeps of a pair.
"""

import argparse
import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.evolution.noise_memory import (
    DenseAccumulator,
    NoiseHistory,
    NoiseKeys,
    PairMemory,
    cheapest_accumulator,
)
from rl_es.evolution.perturbation import LowRank, block_keys
from rl_es.interfaces import Matrix, ParameterSpec

AT_ONCE = 4  # windows of one call


def _forms(windows: int) -> dict[str, PairMemory]:
    return {"dense": DenseAccumulator(), "list": NoiseHistory(windows), "keys": NoiseKeys(windows)}


def _perturbation(width: int, rank: int) -> LowRank:
    path = ("network", "kernel")
    shape = {"network": {"kernel": jax.ShapeDtypeStruct((width, width), jnp.float32)}}
    return LowRank(ParameterSpec(shape, {path: Matrix(width, width)}), rank)


def _program(form: PairMemory, perturbation: LowRank, pairs: int) -> Any:
    """Returns (memory, key) -> memory and the sum of updates after some windows of one episode."""
    fresh, sigma = jnp.zeros((pairs,), bool), jnp.float32(0.1)

    def window(carry: tuple[Any, Array], key: Array) -> tuple[tuple[Any, Array], None]:
        memory, total = carry
        draw, weigh = jax.random.split(key)
        keys = block_keys(draw, pairs)
        noise, memory = form.ask(perturbation, keys, memory, fresh, sigma)
        weights = jax.random.normal(weigh, (pairs,))
        update = form.contract(perturbation, memory, noise, weights, sigma)
        return (memory, total + update["network"]["kernel"]), None

    def run(memory: Any, key: Array) -> Any:
        shape = perturbation.parameters.shapes["network"]["kernel"].shape
        first = memory, jnp.zeros(shape)
        return jax.lax.scan(window, first, jax.random.split(key, AT_ONCE))[0]

    return jax.jit(run, donate_argnums=0)


def _pair_bytes(memory: Any) -> int:
    """Returns the bytes that are kept of one pair."""
    return sum(leaf.nbytes // len(leaf) for leaf in jax.tree.leaves(memory))


def measure(
    width: int, rank: int, windows: int, pairs: int, rounds: int
) -> dict[str, tuple[float, int]]:
    """Measures each form: milliseconds a window, and bytes that are kept of a pair."""
    perturbation = _perturbation(width, rank)
    forms = _forms(windows)
    programs = {name: _program(form, perturbation, pairs) for name, form in forms.items()}
    memories = {name: form.init(perturbation, pairs) for name, form in forms.items()}
    pair_bytes = {name: _pair_bytes(memory) for name, memory in memories.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            memories[name], total = program(memories[name], jax.random.key(turn))
            total.block_until_ready()
            if turn:  # the first compiles
                times[name].append(1e3 * (time.perf_counter() - start) / AT_ONCE)
    return {name: (float(np.median(times[name])), pair_bytes[name]) for name in forms}


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description="Times the forms of an accumulator.")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--windows", type=int, nargs="+", default=[2, 10, 50])
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    names = list(_forms(1))
    heads = [*(f"{name}, ms" for name in names), *(f"{name}, KiB a pair" for name in names)]
    print("| width, rank, windows | " + " | ".join(heads) + " | chosen |")
    print("|---|" + "---:|" * len(heads) + "---|")
    for width, rank, windows in itertools.product(args.widths, args.ranks, args.windows):
        results = measure(width, rank, windows, args.pairs, args.rounds)
        cells = [f"{results[name][0]:.2f}" for name in names]
        cells += [f"{results[name][1] / 1024:,.1f}" for name in names]
        chosen = cheapest_accumulator(_perturbation(width, rank), windows)
        print(f"| {width}, {rank}, {windows} | " + " | ".join([*cells, chosen]) + " |", flush=True)


if __name__ == "__main__":
    main()
