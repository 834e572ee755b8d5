"""PES: windows of K steps, fresh noise each window, weighted by the episode's accumulated noise.

Vicol, Metz and Sohl-Dickstein, "Unbiased Gradient Estimation in Unrolled Computation Graphs with
Persistent Evolution Strategies", 2021, https://arxiv.org/abs/2112.13835.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.evolution.config import PersistentConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, Problem

NUMERICS = 1


class Hyperparameters(PersistentConfig):
    """Settings of persistent ES."""


def make(config: Hyperparameters, problem: Problem) -> Agent:
    from rl_es.evolution.build import persistent
    from rl_es.evolution.memory import Accumulate
    from rl_es.evolution.perturbation import FullRank

    return persistent(config, FullRank(problem.parameters), problem, memory=Accumulate())
