"""OpenAI-ES: full-rank noise, whole episodes, centred ranks, Adam.

Salimans, Ho, Chen, Sidor and Sutskever, "Evolution Strategies as a Scalable Alternative to
Reinforcement Learning", 2017, https://arxiv.org/abs/1703.03864, Algorithm 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import BLUE, Style, static, traced
from rl_es.evolution.config import EpisodicConfig, Shaping

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(BLUE, order=1)
USE = "the reference of the literature; small networks, where full rank costs little"


class Hyperparameters(EpisodicConfig):
    """Settings of OpenAI-ES; the defaults follow the paper where it states them."""

    shaping: Shaping = static("centred_ranks", "how returns become weights")
    weight_decay: float = traced(
        0.005, "adamw: decoupled decay; sgd, adam: L2 term in the gradient", ge=0
    )


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.evolution.perturbation import FullRank
    from rl_es.evolution.strategy import episodic_strategy

    return episodic_strategy(config, FullRank(problem.parameters))
