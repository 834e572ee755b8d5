"""PES: windows of K steps, fresh noise each window, weighted by the episode's accumulated noise.

Vicol, Metz and Sohl-Dickstein, "Unbiased Gradient Estimation in Unrolled Computation Graphs with
Persistent Evolution Strategies", 2021, https://arxiv.org/abs/2112.13835. With `rank: R` the noise
of each weight matrix is of rank R, as in EGGROLL (https://arxiv.org/abs/2511.16652).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from rl_es.config import GREEN, Style, static
from rl_es.evolution.config import Accumulator, LowRankPersistentConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(GREEN, "long", "D", order=4)
REFERENCE = "gradients"
USE = "long or endless episodes: unbiased estimates from windows"


class Hyperparameters(LowRankPersistentConfig):
    """Settings of persistent ES."""

    accumulator: Accumulator = static(
        "auto",
        "how an episode's noise is kept: auto, the cheapest of dense, list and keys, which agree; "
        "held-B, one factor B an episode, is biased (ablation)",
    )

    @model_validator(mode="after")
    def _check_rank(self) -> Self:
        if self.accumulator == "held-B" and self.rank is None:
            raise ValueError("accumulator held-B holds factors of low-rank noise: give a rank")
        return self


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.evolution.noise_memory import make_accumulator
    from rl_es.evolution.strategy import make_perturbation, persistent_strategy, windows_per_episode

    perturbation = make_perturbation(problem.parameters, config.rank, config.factors)
    memory = make_accumulator(
        config.accumulator, perturbation, windows_per_episode(config, problem)
    )
    return persistent_strategy(config, perturbation, problem, memory=memory)
