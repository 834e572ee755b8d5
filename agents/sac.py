"""SAC by `rejax`: gradients of an entropy-regularised policy, by replay; no evolution strategy.

Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", 2018,
https://arxiv.org/abs/1812.05905; Christodoulou, "Soft Actor-Critic for Discrete Action Settings",
2019, https://arxiv.org/abs/1910.07207; Lu et al., rejax, https://github.com/keraJLi/rejax. Needs
the extra `rejax`.

The actor is the sweep's own network, from the parameters that an evolution strategy of the same
seed starts from, and is evaluated on the same episodes. Real actions are the tanh of a Gaussian
whose mean and deviation the network gives: `head: tanh_mean` evaluates the mean, `tanh_gaussian`
samples, as in rejax. Discrete actions are sampled from a softmax in training; the policy's `head`
says what is evaluated. The critics have its shape: with one output, and observation and action as
one vector, or with an output for each discrete action. The weight of the entropy is learned, from
1 on. An iteration is reported as a generation: `num_steps` iterations of rejax, num_envs x
num_steps environment steps.

Four things are put right. An episode whose time is over is continued in the targets, by the
observation that it led to; in rejax it counts as terminal. Steps are drawn from the buffer with
replacement. Probabilities of discrete actions are at least 1e-30, where rejax takes the logarithm
of 0; so actions can be forbidden. The entropy that is aimed at is a share of that of the allowed
actions.
Three are as in rejax: actions are the actor's also while the buffer fills; the target entropy of
real actions is minus their number, in units of half their range; and gradients are clipped element
by element. For discrete actions `target_entropy_ratio` is 0.5, not 0.98, by which two actions stay
close to even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.agents._rejax_settings import ReplayConfig
from rl_es.config import Style, static, traced
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style("#4C566A", "dotted", "H", order=15)
CHECK_POLICY = {"network": "mlp", "widths": [16], "head": "tanh_mean"}
EVALUATED = "the actor: its mean or a sample, as `head` says"
USE = "few environment steps; exploration that needs no schedule"


class Hyperparameters(ReplayConfig):
    """Settings of SAC, by the names that rejax gives them."""

    num_critics: int = static(2, "critics, of which the lowest value counts", ge=1)
    target_entropy_ratio: float = traced(
        0.5, "entropy that is aimed at, as a share of the highest; of discrete actions", ge=0, le=1
    )


def check() -> None:
    require("rejax", "rejax", "sac")


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._sac import make_sac

    return make_sac(config, env, policy, normalise_observations)
