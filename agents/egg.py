"""Integer EGGROLL: integer noise of rank 1, signs of pairs, steps of one unit.

Sarkar et al., "Evolution Strategies at the Hyperscale", 2025, https://arxiv.org/abs/2511.16652,
appendix H. For networks in integers, such as `network: egg`. Particles live on from window to
window. As in the paper, `memory: forget` credits a window's return to that window's noise alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import field_validator, model_validator

from rl_es.config import WINE, Config, Style, static, traced
from rl_es.evolution.config import check_even

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(WINE, "dashed", ">", order=10)
USE = "networks in integers (`network: egg`)"


class Hyperparameters(Config):
    """Settings of integer EGGROLL."""

    population: int = static(256, "members, half of them antithetic partners", ge=2)
    window: int = static(100, "steps of a window (K), one per generation", ge=1)
    sigma_shift: int = static(4, "noise is 2^-sigma_shift of the fixed point's 1.0", ge=0, le=11)
    decay: float = traced(0.015, "level of the test in generation t: 1 / (decay t + 1)", ge=0)
    level: float | None = static(None, "a fixed level of the test", gt=0, le=1)
    memory: Literal["forget", "episode", "history"] = static(
        "forget",
        "noise that returns are credited to: forget, this window's; episode, one noise an episode "
        "(NRES); history, the sum over the episode's windows (PES)",
    )
    start: Literal["particle", "centre"] = static(
        "particle", "centre: windows start from an unperturbed particle, as in truncated_es"
    )
    staggered: bool = static(
        False, "cut first episodes short by whole windows, so that pairs are in all phases at once"
    )

    @field_validator("population")
    @classmethod
    def _check_even(cls, population: int) -> int:
        return check_even(population)

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.start == "centre" and self.memory != "forget":
            raise ValueError(
                f"start centre forgets what earlier windows did: memory must be forget, not "
                f"{self.memory}"
            )
        return self


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.errors import UserError
    from rl_es.evolution.integers import (
        LARGEST,
        FixedPointScale,
        IntegerLowRank,
        IntegerStrategy,
        PairSigns,
    )
    from rl_es.evolution.noise_memory import EpisodeNoise, NoiseHistory
    from rl_es.evolution.strategy import persistent_segment, windows_per_episode

    segment = persistent_segment(config, problem, config.start)
    windows = windows_per_episode(config, problem)
    if config.memory == "forget":
        signs = IntegerLowRank(problem.parameters, config.sigma_shift)
        return IntegerStrategy(config.population, signs, segment, PairSigns(), level=config.level)
    if windows is None:
        raise UserError(
            f"memory: {config.memory} keeps noise to the end of an episode, but episodes never "
            "end here; give the environment an episode_length, or choose memory: forget"
        )
    reuses = config.memory == "episode"
    return IntegerStrategy(
        config.population,
        IntegerLowRank(problem.parameters, config.sigma_shift, largest_weight=LARGEST),
        segment,
        FixedPointScale(windows),
        pair_memory=EpisodeNoise() if reuses else NoiseHistory(windows),
        most_windows=1 if reuses else windows,
        level=config.level,
    )
