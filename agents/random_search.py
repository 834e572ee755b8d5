"""Random search: every member is a fresh sample, and the best one so far is kept.

What evolved parameters are compared with at equal environment steps. Samples are uniform within
the parameters' bounds where they have any (`network: parameters` in an environment with bounded
actions); otherwise normal around the start, with standard deviation sigma.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import field_validator

from rl_es.config import GREY, Config, Style, static, traced
from rl_es.evolution.config import check_even

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(GREY, "dotted", "p", order=8)
EVALUATED = "the best member so far"
USE = "a baseline for few parameters"


class Hyperparameters(Config):
    """Settings of random search."""

    population: int = static(256, "members, half of them mirrored in the others", ge=2)
    sigma: float = traced(1.0, "standard deviation of parameters without bounds", gt=0)
    episodes: int = static(1, "episodes a member; their mean is its return", ge=1)

    @field_validator("population")
    @classmethod
    def _check_even(cls: type[Self], population: int) -> int:
        return check_even(population)


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.agents._random_search import RandomSearchStrategy
    from rl_es.interfaces import Episode

    return RandomSearchStrategy(config.population, problem.parameters, Episode(config.episodes))
