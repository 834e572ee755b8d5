"""NRES: windows of K steps, one noise per episode, reused in each of its windows.

Li, Harrison, Sohl-Dickstein, Smith and Metz, "Noise-Reuse in Online Evolution Strategies", 2023,
https://arxiv.org/abs/2304.12180; the same as ES-Single, Vicol, Kolter and Swersky, 2023,
https://arxiv.org/abs/2304.11153. With `rank: R` the noise of each weight matrix is of rank R, as in
EGGROLL (https://arxiv.org/abs/2511.16652), and no sum over windows has to be kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import PURPLE, Style
from rl_es.evolution.config import LowRankPersistentConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(PURPLE, "dashed", "v", order=5)
USE = "as `pes`; less variance where one noise serves a whole episode"


class Hyperparameters(LowRankPersistentConfig):
    """Settings of noise-reuse ES."""


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.evolution.noise_memory import EpisodeNoise
    from rl_es.evolution.strategy import make_perturbation, persistent_strategy

    perturbation = make_perturbation(problem.parameters, config.rank, config.factors)
    return persistent_strategy(config, perturbation, problem, memory=EpisodeNoise())
