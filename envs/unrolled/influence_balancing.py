"""Influence balancing: a linear system in which a parameter helps soon and harms later.

Metz's problem after Tallec and Ollivier (UORO, 2018, arXiv 1702.05043, section 5.1), as PES uses it
(Vicol et al. 2021, arXiv 2112.13835, section 5.1). Its horizon is endless; what is reported is
minus the loss after a fresh unroll of 500 steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config, static

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = ("unrolled/influence_balancing",)


class Options(Config):
    """Settings of influence balancing."""

    loss_every: int = static(1, "steps from one loss to the next; the window, as a rule", ge=1)


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`."""
    from rl_es.envs._unrolled.influence_balancing import InfluenceBalancing

    return InfluenceBalancing(name, options.loss_every)
