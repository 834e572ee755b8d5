"""TD3 by `rejax`: gradients of a deterministic policy from a replay buffer; no evolution strategy.

Fujimoto et al., "Addressing Function Approximation Error in Actor-Critic Methods", 2018,
https://arxiv.org/abs/1802.09477; Lu et al., rejax, https://github.com/keraJLi/rejax. Needs the
extra `rejax`.

The actor is the sweep's own network with `head: tanh`, from the parameters that an evolution
strategy of the same seed starts from, and is evaluated on the same episodes, without noise. Two
critics have its shape, with one output; they read observation and action as one vector. Noise of
`exploration_noise` is added in training, in the actions' units; until `fill_buffer` steps were
taken, actions are uniform. An iteration is reported as a generation: num_steps / policy_delay
iterations of rejax, num_envs x num_steps environment steps.

Four things are put right. An episode whose time is over is continued in the targets, by the
observation that it led to; in rejax it counts as terminal. The actor's first step is of steps that
were taken; rejax makes it of zeros. The target's noise has a key of its own; rejax draws it with
the key that it splits afterwards. Steps are drawn from the buffer with replacement.
Three are as in rejax: the actor climbs the mean of both critics, where the paper has the first;
target networks move after each actor step, and also while the buffer fills; and gradients are
clipped element by element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from rl_es.agents._rejax_settings import ReplayConfig
from rl_es.config import Style, static, traced
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style("#8A8D0F", "dashdot", "8", order=14)
ACTIONS = "real"
CHECK_POLICY = {"network": "mlp", "widths": [16], "head": "tanh"}
EVALUATED = "the actor, without noise"
USE = "real actions and few environment steps"


class Hyperparameters(ReplayConfig):
    """Settings of TD3, by the names that rejax gives them."""

    policy_delay: int = static(2, "steps of all environments for one of the actor", ge=1)
    exploration_noise: float = traced(0.3, "standard deviation of the noise in training", ge=0)
    target_noise: float = traced(0.2, "standard deviation of the noise in targets", ge=0)
    target_noise_clip: float = traced(0.5, "bound of the noise in targets", ge=0)

    @model_validator(mode="after")
    def _check_delay(self) -> Self:
        if self.num_steps % self.policy_delay:
            raise ValueError(
                f"policy_delay: {self.policy_delay} does not divide num_steps: {self.num_steps}"
            )
        return self


def check() -> None:
    require("rejax", "rejax", "td3")


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._td3 import make_td3

    return make_td3(config, env, policy, normalise_observations)
