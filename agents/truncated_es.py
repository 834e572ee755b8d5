"""Truncated ES: windows of K steps from an unperturbed particle, with no memory between windows.

The biased foil of PES: it sees what a perturbation does within one window and nothing after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import ORANGE, Style
from rl_es.evolution.config import PersistentConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, ProblemSpec

NUMERICS = 1
STYLE = Style(ORANGE, "dashdot", "P", order=6)
USE = "the biased foil of `pes` and `nres`"


class Hyperparameters(PersistentConfig):
    """Settings of truncated ES."""


def make(config: Hyperparameters, problem: ProblemSpec) -> Agent:
    from rl_es.evolution.perturbation import FullRank
    from rl_es.evolution.strategy import persistent_strategy

    return persistent_strategy(config, FullRank(problem.parameters), problem, start="centre")
