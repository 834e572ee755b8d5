"""Truncated ES: windows of K steps from an unperturbed particle, with no memory between windows.

The biased foil of PES: it sees what a perturbation does within one window and nothing after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.evolution.config import PersistentConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Agent, Problem

NUMERICS = 1


class Hyperparameters(PersistentConfig):
    """Settings of truncated ES."""


def make(config: Hyperparameters, problem: Problem) -> Agent:
    from rl_es.evolution.build import persistent
    from rl_es.evolution.perturbation import FullRank

    return persistent(config, FullRank(problem.parameters), problem, start="centre")
