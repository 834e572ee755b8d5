"""DQN by `rejax`: gradients of Q-learning from a replay buffer; no evolution strategy.

Mnih et al., "Human-level control through deep reinforcement learning", 2015,
https://doi.org/10.1038/nature14236; van Hasselt et al., "Deep Reinforcement Learning with Double
Q-learning", 2016, https://arxiv.org/abs/1509.06461; Lu et al., rejax,
https://github.com/keraJLi/rejax. Needs the extra `rejax`.

The outputs of the sweep's own network are values of the actions. It starts from the parameters that
an evolution strategy of the same seed starts from, and is evaluated on the same episodes: the
action of the largest value is taken (`head: deterministic`). In training an action is random with
probability epsilon; until `fill_buffer` steps were taken, every one is. An iteration is reported as
a generation: `num_steps` iterations of rejax, num_envs x num_steps environment steps.

Three things are put right. An episode whose time is over is continued in the targets, by the
observation that it led to; in rejax it counts as terminal. Random actions and targets are of
allowed actions only. Steps are drawn from the buffer with replacement: rejax draws without, in a
time that grows with the buffer, and before it holds `batch_size` steps draws zeros.
Two are as in rejax: gradients are clipped element by element, and there is no dueling network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.agents._rejax_settings import GreedyConfig, ReplayConfig
from rl_es.config import Style, static, traced
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style("#0F7173", "long", "*", order=12)
ACTIONS = "discrete"
CHECK_POLICY = {"head": "deterministic"}
EVALUATED = "the action of the largest value"
USE = "discrete actions and few environment steps"


class Hyperparameters(ReplayConfig, GreedyConfig):
    """Settings of DQN, by the names that rejax gives them."""

    num_epochs: int = static(1, "gradient steps for one step of all environments", ge=1)
    buffer_size: int = static(16_384, "steps that the replay buffer holds", ge=1)
    target_update_freq: int = static(500, "steps between two updates of target networks", ge=1)
    lr: float = traced(5e-4, "learning rate of adam, of every network", gt=0)
    polyak: float = traced(0.0, "share of a target network that an update keeps", ge=0, le=1)
    ddqn: bool = static(True, "choose the next action by the network, value it by the target's")


def check() -> None:
    require("rejax", "rejax", "dqn")


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._dqn import make_dqn

    return make_dqn(config, env, policy, normalise_observations)
