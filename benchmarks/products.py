"""Times the forms that a rank-r product can take, on a policy network alone.

    python -m benchmarks.products [--widths 64 256] [--ranks 1 4 8] [--population 1024]

The form in `rl_es.evolution.perturbation` was chosen by this. The network has three hidden layers,
tanh, 4 inputs and 2 outputs; noise is drawn beforehand. Each form's time is divided into that of
the unperturbed network, round by round, and the median is printed: 100 is pure batch inference.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.evolution.perturbation import dot_rows
from rl_es.training.compilation import float32_products

STEPS, INPUTS, OUTPUTS = 100, 4, 2


def _plain(x: Array, b: Array) -> Array:
    return x @ b.T


def _minor_sum(x: Array, b: Array) -> Array:
    return (x[None] * b).sum(-1)


def _rank_by_rank(x: Array, b: Array) -> Array:
    """Computes rank by rank, over four wide slices that a product with ones sums."""
    width = max(16, x.size // 4)
    if x.size % width:
        return _plain(x, b)
    sums = [(x * row).reshape(-1, width).sum(0) @ jnp.ones((width,)) for row in b]
    return jnp.stack(sums)


FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "dot_rows (used)": dot_rows,
    "each rank, four wide slices": _rank_by_rank,
    "plain product": _plain,
    "sum over the minor axis": _minor_sum,
}


def _network(width: int, rank: int, pairs: int, key: Array) -> list[dict[str, Array]]:
    sizes = [INPUTS, width, width, width, OUTPUTS]
    layers = []
    for m, n in itertools.pairwise(sizes):
        key, *keys = jax.random.split(key, 4)
        layers.append(
            {
                "w": jax.random.normal(keys[0], (m, n)) / m**0.5,
                "b": jax.random.normal(keys[1], (pairs, rank, m)),
                "a": jax.random.normal(keys[2], (pairs, rank, n)) * 0.1 / rank**0.5,
            }
        )
    return layers


def _program(layers: list[dict[str, Array]], form: Callable[[Array, Array], Array] | None) -> Any:
    """Returns x [H, 2, 4] -> the same after `STEPS` steps of the network; None: unperturbed."""

    def member(noise: list[Any], sign: Array, x: Array) -> Array:
        for i, (layer, (b, a)) in enumerate(zip(layers, noise, strict=True)):
            y = x @ layer["w"]
            if form is not None:
                r = form(x, b)
                y = y + sign * sum((r[k] * a[k] for k in range(1, len(a))), r[0] * a[0])
            x = jnp.tanh(y) if i < len(layers) - 1 else y
        return jnp.concatenate([x, jnp.sin(x)])

    over = jax.vmap(jax.vmap(member, (None, 0, 0)), (0, None, 0))
    noise = [(layer["b"], layer["a"]) for layer in layers]
    signs = jnp.array([1.0, -1.0])

    def run(x: Array) -> Array:
        return jax.lax.scan(lambda x, _: (over(noise, signs, x), None), x, length=STEPS)[0]

    return jax.jit(run)


def shares(width: int, rank: int, population: int, rounds: int) -> dict[str, float]:
    """Returns percent of the unperturbed network's speed by form: medians of interleaved rounds."""
    key, start_key = jax.random.split(jax.random.key(0))
    layers = _network(width, rank, population // 2, key)
    x = jax.random.normal(start_key, (population // 2, 2, INPUTS))
    programs = {name: _program(layers, form) for name, form in {"": None, **FORMS}.items()}
    for program in programs.values():
        program(x).block_until_ready()
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            program(x).block_until_ready()
            times[name].append(time.perf_counter() - start)
    floor = np.asarray(times[""])
    return {name: float(np.median(100 * floor / np.asarray(times[name]))) for name in FORMS}


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description="Times the forms of a rank-r product.")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--population", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    print("| width, rank | " + " | ".join(FORMS) + " |")
    print("|---|" + "---:|" * len(FORMS))
    for width, rank in itertools.product(args.widths, args.ranks):
        with float32_products():
            percent = shares(width, rank, args.population, args.rounds)
        print(
            f"| {width}, {rank} | "
            + " | ".join(f"{share:.0f}" for share in percent.values())
            + " |"
        )


if __name__ == "__main__":
    main()
