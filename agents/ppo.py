"""PPO by `rejax`: gradients through the policy, for comparison; no evolution strategy.

Schulman et al., "Proximal Policy Optimization Algorithms", 2017, https://arxiv.org/abs/1707.06347;
Lu et al., rejax, https://github.com/keraJLi/rejax. Needs the extra `ppo`.

It trains the sweep's own network, from the parameters that an evolution strategy of the same seed
starts from, and is evaluated on the same episodes. A critic of the same shape is added. It always
samples its actions in training; whether it does in evaluation is the policy's `head`. An iteration
is reported as a generation: num_envs x num_steps environment steps.

Two things are as in rejax: the end of an episode counts as terminal also where only its time is
over, and beyond a change of `clip_eps` an iteration a value gets no further gradient. With returns
of hundreds and few iterations values do not get there: scale the rewards (`normalise_rewards`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from rl_es.config import BLACK, Config, Style, static, traced
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style(BLACK, "dashdot", "X", order=7)
REFERENCE = "scores"
USE = "what gradients reach with the same network and steps"


class Hyperparameters(Config):
    """Settings of PPO, by the names that rejax gives them."""

    num_envs: int = static(64, "environments that are stepped side by side", ge=1)
    num_steps: int = static(64, "steps of each environment an iteration", ge=1)
    num_epochs: int = static(8, "passes over an iteration's steps", ge=1)
    num_minibatches: int = static(16, "parts of a pass, one gradient step each", ge=1)
    normalise_rewards: bool = static(
        False, "divide rewards by the running standard deviation of their sums, discounted by 0.99"
    )
    lr: float = traced(3e-4, "learning rate of adam, actor and critic", gt=0)
    gamma: float = traced(0.99, "discount", ge=0, le=1)
    gae_lambda: float = traced(0.95, "decay of the generalised advantage estimate", ge=0, le=1)
    clip_eps: float = traced(
        0.2, "change of probability ratio and value beyond which there is no gradient", gt=0
    )
    ent_coef: float = traced(0.01, "weight of the entropy bonus", ge=0)
    vf_coef: float = traced(0.5, "weight of the value loss", ge=0)
    max_grad_norm: float = traced(0.5, "gradients are clipped to it, element by element", gt=0)

    @model_validator(mode="after")
    def _check_minibatches(self) -> Self:
        steps = self.num_envs * self.num_steps
        if steps % self.num_minibatches or steps == self.num_minibatches:
            raise ValueError(
                f"num_minibatches: {self.num_minibatches} cannot be made of an iteration of "
                f"{self.num_envs} x {self.num_steps} steps; choose a smaller divisor of {steps:,}"
            )
        return self


def check() -> None:
    require("rejax", "ppo", "ppo")


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._ppo import make_ppo

    return make_ppo(config, env, policy, normalise_observations)
