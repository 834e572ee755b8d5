"""Small sweeps of real environments and agents, and what stops them or makes them fail.

Budgets are mostly generations, so that evaluation points coincide.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rl_es.envs import gymnax
from rl_es.interfaces import Transition
from rl_es.sweep.progress import CellReport
from rl_es.training import task

# Four groups of four runs, some seconds each with their programs in the cache.
TINY = """
name: tiny
seeds: 2
defaults:
  budget: {generations: 4}
  evaluation: {points: 2, episodes: 4}
  policy: {widths: [8]}
  agent: {population: 16}
environments:
  - {name: CartPole-v1, episode_length: 30, threshold: 1}
  - {name: Pendulum-v1, episode_length: 20}
agents:
  - {name: eggroll, grid: {lr: [0.05, 0.01]}}
  - {name: pes, with: {window: 10}, grid: {lr: [0.05, 0.01]}}
"""
PLANNED = """
name: planned
seeds: 3
defaults:
  budget: {generations: 2}
  evaluation: {points: 1, episodes: 4}
  policy: {widths: [8]}
  agent: {population: 16}
environments: [{name: Pendulum-v1, episode_length: 20}]
agents: [eggroll]
"""
PLANNED_PARAMETERS = 3 * 8 + 8 + 8 + 1 + 1  # two layers and a log standard deviation
ONE = """
name: one
seeds: 2
defaults:
  budget: {generations: 6}
  evaluation: {points: 3, episodes: 4}
  policy: {widths: [8]}
environments: [{name: CartPole-v1, episode_length: 30}]
agents: [{name: eggroll, with: {population: 16}}]
"""
PERSISTENT = ("agents=[{name: pes, with: {population: 16, window: 10}}]",)
TEXT = "environments=[{name: text/python_docs, options: {loss: tables, evaluation_steps: 50}%s}]"
EGG = "defaults.policy={network: egg, widths: [8, 8], head: deterministic}"
LASTING = {  # what strategies remember of their pairs, in each form
    "eggroll": (),
    "pes": PERSISTENT,
    "pes list": ("agents=[{name: pes, with: {population: 16, window: 10, rank: 1}}]",),
    "pes keys": (
        "agents=[{name: pes, with: {population: 16, window: 10, rank: 1, accumulator: keys}}]",
    ),
    "nres": ("agents=[{name: nres, with: {population: 16, window: 10, staggered: true}}]",),
    "nres rank 1": ("agents=[{name: nres, with: {population: 16, window: 10, rank: 1}}]",),
    "truncated_es": ("agents=[{name: truncated_es, with: {population: 16, window: 10}}]",),
    "egg": (TEXT % "", EGG, "agents=[{name: egg, with: {population: 16, window: 10}}]"),
    "egg history": (
        TEXT % ", episode_length: 25",
        EGG,
        "agents=[{name: egg, with: {population: 16, window: 10, memory: history}}]",
    ),
    "egg episode": (
        TEXT % ", episode_length: 25",
        EGG,
        "agents=[{name: egg, with: {population: 16, window: 10, memory: episode}}]",
    ),
    "grpo": ("agents=[{name: grpo, with: {prompts: 2, group: 4, minibatches: 2, kl_coef: 0.1}}]",),
    "bptt": (
        "environments=[{name: Pendulum-v1, episode_length: 25}]",
        "agents=[{name: bptt, with: {particles: 4, window: 10}}]",
    ),
}


def interrupt_at(seed: int, fraction: float) -> Callable[..., None]:
    """What interrupts this process once a run has done a fraction of its budget."""

    def running(report: CellReport) -> None:
        if report.cell.seed == seed and report.fraction >= fraction:
            os.kill(os.getpid(), signal.SIGINT)

    return running


class Broken:
    """An environment whose step cannot be traced."""

    def __init__(self, env: Any):
        self.env, self.spec = env, env.spec

    def reset(self, key: Any) -> Any:
        return self.env.reset(key)

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        raise ZeroDivisionError("the pole\nis missing")


@contextmanager
def broken_cartpole() -> Iterator[None]:
    """CartPole cannot be run here."""
    make = gymnax.make

    def sometimes(name: str, options: Any) -> Any:
        env = make(name, options)
        return Broken(env) if name.startswith("CartPole") else env

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gymnax, "make", sometimes)
        task.clear_cache()
        yield
    task.clear_cache()
