"""Measures how well each noise's estimates point along the gradient, at policies along a run.

    python -m benchmarks.cosine [--env Pendulum-v1] [--generations 0 10 30 100] [--samples 200]

A run of full-rank ES of sweeps/low_rank/fixed.yaml is stopped at some generations, and there the
parameters are held still. The gradient is the mean of many full-rank estimates. Printed is the
cosine of one generation's estimate with it in percent, its mean over samples and seeds and the
standard error: over all parameters, and for the weight matrix of each layer alone. The error of the
gradient itself lowers all cosines of a policy alike.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.config import split_traced
from rl_es.evolution.moments import MatrixNoise
from rl_es.evolution.perturbation import leaves_by_path
from rl_es.evolution.strategy import EvolutionStrategy, make_perturbation
from rl_es.gradients import frozen
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.loading import load_sweep
from rl_es.sweep.queue import make_group_training
from rl_es.training.learner import Evolution, TrainState

NOISES = {
    "full rank": MatrixNoise(None),
    "rank 1 normal": MatrixNoise(1, "normal"),
    "rank 1 sphere": MatrixNoise(1, "sphere"),
    "rank 4 normal": MatrixNoise(4, "normal"),
    "rank 4 sphere": MatrixNoise(4, "sphere"),
    "rank 4 orthogonal": MatrixNoise(4, "orthogonal"),
}


class EstimateSampler:
    """Draws estimates with one kind of noise, at parameters that are held still."""

    def __init__(self, trainer: Evolution, noise: MatrixNoise, samples: int):
        """Compiles nothing yet."""
        agent = trainer.agent
        assert isinstance(agent, EvolutionStrategy)
        perturbation = make_perturbation(trainer.policy.parameters, noise.rank, noise.factors)
        agent = dataclasses.replace(agent, perturbation=perturbation)
        learner = frozen(dataclasses.replace(trainer, agent=agent), "full rank")

        def sample(state: TrainState, _: None) -> tuple[TrainState, Any]:
            state = learner.generation(state)[0]
            return state, state.agent.optimiser

        self._run = jax.jit(lambda state: jax.lax.scan(sample, state, None, length=samples)[1])

    def sample(self, state: TrainState, key: jax.Array) -> dict[str, np.ndarray]:
        """Returns estimates by layer, [samples, parameters]: 'all', then each weight matrix."""
        params = state.agent.params
        agent = state.agent.replace(optimiser=jax.tree.map(jnp.zeros_like, params))
        estimates = leaves_by_path(self._run(dataclasses.replace(state, agent=agent, key=key)))
        flat = {path: np.asarray(leaf).reshape(len(leaf), -1) for path, leaf in estimates.items()}
        layers = {path[-2]: leaf for path, leaf in flat.items() if path[-1] == "kernel"}
        return {"all": np.concatenate([*flat.values()], 1), **layers}


def cosines(estimates: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Returns the cosines [samples] of estimates [samples, D] with a gradient [D]."""
    lengths = np.linalg.norm(estimates, axis=1) * np.linalg.norm(gradient)
    return estimates @ gradient / np.maximum(lengths, 1e-30)


def states_along_run(trainer: Evolution, hyper: Any, seed: int, stops: list[int]) -> Iterator[Any]:
    """Yields the states of a run at some generations, in order."""
    step = jax.jit(lambda state: trainer.generation(state)[0])
    state = jax.jit(trainer.init)(jax.random.key(seed), hyper)
    for generation in range(max(stops) + 1):
        if generation in stops:
            yield state
        state = step(state)


def main() -> None:
    """Prints a table for each stop."""
    parser = argparse.ArgumentParser(description="Measures cosines of estimates with the gradient.")
    parser.add_argument("--env", default="Pendulum-v1")
    parser.add_argument("--generations", type=int, nargs="+", default=[0, 10, 30, 100])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    cells = expand_cells(load_sweep(Path("sweeps/low_rank/fixed.yaml")))
    group = next(g for g in group_cells(cells) if g.cells[0].env == options.env)
    trainer = make_group_training(group).learner
    assert isinstance(trainer, Evolution)
    hyper = {name: jnp.float32(x) for name, x in split_traced(group.cells[0].config)[1].items()}
    reference = EstimateSampler(trainer, NOISES["full rank"], 5 * options.samples)
    samplers = {
        name: EstimateSampler(trainer, noise, options.samples) for name, noise in NOISES.items()
    }
    results: dict[tuple[int, str, str], list[np.ndarray]] = {}
    for seed in range(options.seeds):
        states = states_along_run(trainer, hyper, seed, sorted(options.generations))
        for stop, state in zip(sorted(options.generations), states, strict=True):
            many = reference.sample(state, jax.random.key(1000 + seed))
            for k, (name, sampler) in enumerate(samplers.items()):
                estimates = sampler.sample(state, jax.random.key(2000 + 100 * seed + k))
                for layer, rows in estimates.items():
                    values = cosines(rows, many[layer].mean(0))
                    results.setdefault((stop, name, layer), []).append(values)
    for stop in sorted(options.generations):
        print(f"\n{options.env}, generation {stop}, cosine in %, {options.seeds} seeds")
        for name in NOISES:
            columns = []
            for (at, label, layer), parts in results.items():
                if (at, label) == (stop, name):
                    values = 100 * np.concatenate(parts)
                    error = values.std(ddof=1) / len(values) ** 0.5
                    columns.append(f"{layer} {values.mean():5.2f} ({error:.2f})")
            print(f"  {name:18} {'  '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
