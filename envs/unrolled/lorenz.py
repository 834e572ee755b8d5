"""Lorenz: two parameters of a chaotic system, from how well its trajectory follows a known one.

The system of Lorenz (1963) with r = 28, a = 10, b = 8/3 is followed by one whose r and a are
learned; the problem is that of Li et al. (NRES, 2023, arXiv 2304.12180, section 5.1). The action
holds their logarithms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config, static

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/lorenz",)


class Options(Config):
    """Settings of the Lorenz problem."""

    steps: int = static(2000, "steps of the unroll, of 0.005 time units each", ge=1)


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`."""
    from rl_es.envs._unrolled.lorenz import Lorenz

    return Lorenz(name, options.steps)
