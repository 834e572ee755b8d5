"""PQN by `rejax`: gradients of Q-learning by lambda returns, without replay; no evolution strategy.

Gallici et al., "Simplifying Deep Temporal Difference Learning", 2024,
https://arxiv.org/abs/2407.04811; Lu et al., rejax, https://github.com/keraJLi/rejax. Needs the
extra `rejax`.

The outputs of the sweep's own network are values of the actions. It starts from the parameters that
an evolution strategy of the same seed starts from, and is evaluated on the same episodes: the
action of the largest value is taken (`head: deterministic`). In training an action is random with
probability epsilon. An iteration is reported as a generation: num_envs x num_steps environment
steps. There is no target network: what keeps it stable is the layer norm of its network, so that
`activation: pqn` belongs to it; rejax's own network has one with parameters.

Three things are put right, by name `calculate_targets` and `collect_trajectories`. rejax mixes into
a lambda return the value of the state one step too late, across ends of episodes; it values next
observations before they are normalised; and an episode whose time is over counts as terminal. Here
it is continued by the value of the observation that it led to. As in rejax, gradients are clipped
element by element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.agents._rejax_settings import GreedyConfig, MinibatchConfig
from rl_es.config import Style, static, traced
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1
STYLE = Style("#B2507C", "dashed", "d", order=13)
ACTIONS = "discrete"
CHECK_POLICY = {"head": "deterministic"}
EVALUATED = "the action of the largest value"
USE = "discrete actions, many environments side by side; little memory"


class Hyperparameters(MinibatchConfig, GreedyConfig):
    """Settings of PQN, by the names that rejax gives them."""

    num_envs: int = static(16, "environments that are stepped side by side", ge=1)
    num_epochs: int = static(4, "passes over an iteration's steps", ge=1)
    lr: float = traced(1e-3, "learning rate of adam, of every network", gt=0)
    td_lambda: float = traced(0.9, "decay of the mixture of lambda returns", ge=0, le=1)


def check() -> None:
    require("rejax", "rejax", "pqn")


def make_learner(
    config: Hyperparameters, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    from rl_es.agents._pqn import make_pqn

    return make_pqn(config, env, policy, normalise_observations)
