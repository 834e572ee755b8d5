"""Estimates by strategies whose parameters stay as they are, for tests of persistent segments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.evolution.fitness_shaping import STATELESS_SHAPINGS
from rl_es.evolution.noise_memory import FreshNoise
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.gradients import watch
from rl_es.interfaces import Environment, Episode, Persistent, Perturbation, Policy
from rl_es.training.learner import Evolution, TrainState

SIGMA, PAIRS = 0.3, 4096
HYPER = {"lr": 1.0, "lr_decay": 1.0, "sigma": SIGMA, "sigma_decay": 1.0}
FIRST = 30  # generations, in which pairs come out of step


def learner(
    env: Environment,
    policy: Policy,
    perturbation: Perturbation,
    segment: Episode | Persistent,
    memory: Any = None,
    pairs: int = PAIRS,
) -> Evolution:
    """One with raw shaping that keeps its parameters, and each estimate as optimiser's state."""
    agent = EvolutionStrategy(
        population=2 * pairs,
        perturbation=perturbation,
        segment=segment,
        shaping=STATELESS_SHAPINGS["raw"],
        optimiser=watch,
        pair_memory=memory or FreshNoise(),
    )
    return Evolution(agent, env, policy)


def start(evolution: Evolution, theta: float | np.ndarray) -> TrainState:
    """Its first state, with other parameters, which are one array."""
    hyper = {name: jnp.float32(value) for name, value in HYPER.items()}
    state = evolution.init(jax.random.key(0), hyper)
    params = jax.tree.map(
        lambda leaf: jnp.broadcast_to(jnp.float32(theta), leaf.shape), state.agent.params
    )
    return state.replace(agent=evolution.agent.init(params, hyper))


def per_cycle(
    evolution: Evolution, theta: float | np.ndarray, generations: int
) -> tuple[np.ndarray, np.ndarray]:
    """The estimate [n] of a cycle's gradient, and its standard error [n].

    It is that of a window, times the mean number of windows in a cycle. The error is by batches of
    10 generations, which correlate little with one another.
    """

    def step(state: TrainState, _: None) -> tuple[TrainState, tuple[Array, Array]]:
        state, segment, _ = evolution.generation(state)
        (estimate,) = jax.tree.leaves(state.agent.optimiser)
        return state, (estimate.ravel(), segment.ended.mean())

    run = jax.jit(lambda state: jax.lax.scan(step, state, None, length=FIRST + generations)[1])
    estimates, ended = (np.asarray(a, np.float64)[FIRST:] for a in run(start(evolution, theta)))
    batches = estimates.reshape(-1, 10, estimates.shape[1]).mean(1)
    error = batches.std(0, ddof=1) / np.sqrt(len(batches))
    return batches.mean(0) / ended.mean(), error / ended.mean()
