"""PPO by `rejax`: gradients through the policy, for comparison; no evolution strategy.

Schulman et al., "Proximal Policy Optimization Algorithms", 2017, https://arxiv.org/abs/1707.06347;
Lu et al., rejax, https://github.com/keraJLi/rejax. Needs the extra `rejax`.

It trains the sweep's own network, from the parameters that an evolution strategy of the same seed
starts from, and is evaluated on the same episodes. A critic of the same shape is added. It always
samples its actions in training; whether it does in evaluation is the policy's `head`. An iteration
is reported as a generation: num_envs x num_steps environment steps.

Two things are as in rejax: the end of an episode counts as terminal also where only its time is
over, and beyond a change of `clip_eps` an iteration a value gets no further gradient. With returns
of hundreds and few iterations values do not get there: scale the rewards (`normalise_rewards`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.agents._rejax_settings import MinibatchConfig
from rl_es.config import BLACK, Style, traced
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style(BLACK, "dashdot", "X", order=7)
REFERENCE = "scores"
USE = "what gradients reach with the same network and steps"


class Hyperparameters(MinibatchConfig):
    """Settings of PPO, by the names that rejax gives them."""

    gae_lambda: float = traced(0.95, "decay of the generalised advantage estimate", ge=0, le=1)
    clip_eps: float = traced(
        0.2, "change of probability ratio and value beyond which there is no gradient", gt=0
    )
    ent_coef: float = traced(0.01, "weight of the entropy bonus", ge=0)
    vf_coef: float = traced(0.5, "weight of the value loss", ge=0)
    max_grad_norm: float = traced(0.5, "gradients are clipped to it, element by element", gt=0)


def check() -> None:
    require("rejax", "rejax", "ppo")


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._ppo import make_ppo

    return make_ppo(config, env, policy, normalise_observations)
