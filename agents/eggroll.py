"""EGGROLL: rank-r noise `A B^T / sqrt(R)` on every weight matrix, whole episodes, z-scored returns.

Sarkar et al., "Evolution Strategies at the Hyperscale", 2025, https://arxiv.org/abs/2511.16652.
Vectors, such as biases, get full-rank noise. The factors A and B are on the sphere by default;
`factors: normal` is the paper's noise, with which estimates of narrow matrices vary more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import VERMILLION, Style, static
from rl_es.evolution.config import FACTORS_HELP, EpisodicConfig, FactorDistribution

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(VERMILLION, marker="^", order=3)
FULL_RANK = "full_rank_es"
REFERENCE = "returns"
USE = "the first choice; large networks and large populations"


class Hyperparameters(EpisodicConfig):
    """Settings of EGGROLL."""

    rank: int = static(1, "rank of the noise on a weight matrix (R)", ge=1)
    factors: FactorDistribution = static("sphere", FACTORS_HELP, implied="normal")


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.evolution.perturbation import LowRank
    from rl_es.evolution.strategy import episodic_strategy

    return episodic_strategy(config, LowRank(problem.parameters, config.rank, config.factors))
