"""Truncated backpropagation through time: a window's own gradient; no evolution strategy.

Werbos, "Backpropagation through time: what it does and how to do it", 1990,
https://doi.org/10.1109/5.58337; what the truncation does: Tallec and Ollivier, "Unbiasing Truncated
Backpropagation Through Time", 2017, https://arxiv.org/abs/1705.08209. It is the baseline of PES
(Vicol et al. 2021, https://arxiv.org/abs/2112.13835).

Rewards are differentiated through the policy and through the environment's steps, and so both have
to be differentiable. Particles live on between windows, as those of persistent strategies do; no
gradient passes from one window to an earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import INDIGO, Style, static, traced
from rl_es.evolution.config import OptimiserConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style(INDIGO, "dashed", "<", order=9)
USE = "policies and environments that are differentiable"


class Hyperparameters(OptimiserConfig):
    """Settings of truncated backpropagation."""

    particles: int = static(16, "environments that are stepped side by side", ge=1)
    window: int = static(
        50, "steps of a window (K), one per generation; whole episodes if these are shorter", ge=1
    )
    clip_norm: float = traced(
        0.0, "norm to which a longer gradient is shortened; 0: none is shortened", ge=0
    )


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._bptt import make_bptt

    return make_bptt(config, env, policy, normalise_observations)
