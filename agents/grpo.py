"""GRPO: gradients of sampled episodes, held against others of the same start; no critic.

Shao et al., "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
2024, https://arxiv.org/abs/2402.03300, section 4.1. Each start of an episode (a prompt) is answered
`group` times, and the mean return of its group takes the place of a critic's value.

It trains the sweep's own network, recurrent ones too, from the parameters that an evolution
strategy of the same seed starts from, and is evaluated on the same episodes. It always samples its
actions in training; whether it does in evaluation is the policy's `head`. Episodes have to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from rl_es.config import OLIVE, Style, static, traced
from rl_es.evolution.config import OptimiserConfig

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style(OLIVE, "dashdot", "h", order=11)
USE = "policies that sample, and episodes that end, such as `reasoning/`"


class Hyperparameters(OptimiserConfig):
    """Settings of GRPO."""

    prompts: int = static(16, "starts of episodes an iteration, each of a group (Q)", ge=1)
    group: int = static(16, "episodes that are sampled of each start (G)", ge=2)
    epochs: int = static(1, "passes over an iteration's episodes", ge=1)
    minibatches: int = static(4, "parts of a pass, one gradient step each", ge=1)
    scale: Literal["group", "global", "none"] = static(
        "group",
        "what a return's distance from its group's mean is divided by: the standard deviation of "
        "the group's returns; that of all returns; nothing",
    )
    average: Literal["steps", "horizon"] = static(
        "steps",
        "weight of a step: 1 / the episode's own steps, or 1 / the steps that an episode can have, "
        "which does not favour short episodes",
    )
    recompute: bool = static(
        False,
        "compute what a step of an episode needs for its gradient again, instead of keeping it of "
        "all steps: less memory, more time",
        implied=False,
    )
    kl_coef: float = static(
        0.0, "weight of the divergence from the start policy, which is kept if above 0", ge=0
    )
    lr: float = traced(1e-3, "learning rate", gt=0)
    clip_eps: float = traced(
        0.2, "change of the probability ratio beyond which there is no gradient", gt=0
    )
    temperature: float = traced(
        1.0, "of sampling: probabilities to the power of its inverse; in training only", gt=0
    )

    @model_validator(mode="after")
    def _check_minibatches(self) -> Self:
        episodes = self.prompts * self.group
        if episodes % self.minibatches:
            raise ValueError(
                f"minibatches: {self.minibatches} cannot be made of {self.prompts} x {self.group} "
                f"episodes; choose a divisor of {episodes:,}"
            )
        return self


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._grpo import make_grpo

    return make_grpo(config, env, policy, normalise_observations)
