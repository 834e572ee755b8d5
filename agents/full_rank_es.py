"""Full-rank ES: Gaussian noise on every weight, whole episodes, z-scored returns.

What EGGROLL is compared with: the same estimate without the low-rank constraint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import SKY, Style
from rl_es.evolution.config import EpisodicConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(SKY, "dashed", "s", order=2)
USE = "what low rank is compared with: `eggroll` without it"


class Hyperparameters(EpisodicConfig):
    """Settings of full-rank ES."""


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.evolution.perturbation import FullRank
    from rl_es.evolution.strategy import episodic_strategy

    return episodic_strategy(config, FullRank(problem.parameters))
