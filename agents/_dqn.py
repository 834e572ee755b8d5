"""DQN of rejax as a `Learner`: its training iteration, with a replay buffer of the suite's."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.algos.dqn import DQN

from rl_es.agents._rejax import RejaxLearner
from rl_es.agents._rejax_values import EpsilonGreedy, Replay, make_q_network
from rl_es.config import Config
from rl_es.interfaces import Environment, Learner, Policy

_Untyped: Any = DQN  # its annotations allow its own environments and networks only


class SuiteDQN(EpsilonGreedy, Replay, _Untyped):
    """rejax's algorithm with the suite's environments, networks and observation statistics."""

    exploration_steps: Any = 50_000.0
    trained, target = "q_ts", "q_target_params"

    @register_init
    def initialize_network_params(self, rng: Array) -> Mapping[str, Any]:
        params = self.agent.init(rng)
        return {"q_ts": self.train_state(params), "q_target_params": params}

    def collect_transitions(self, ts: Any, epsilon: Array, uniform: Array) -> Any:
        """Takes a step in each environment; while the buffer fills, by random actions.

        rejax draws these among all actions, also the forbidden ones.
        """
        if ts.last_obs.action_mask is None:
            return super().collect_transitions(ts, epsilon, uniform)
        return super().collect_transitions(ts, jnp.where(uniform, 1.0, epsilon), uniform=False)


def make_dqn(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns DQN as a learner with these settings.

    Raises:
      UserError: the policy is not a network without state, or its head is not deterministic.
    """
    networks = {"agent": make_q_network(env, policy, "dqn")}
    steps = config.model_dump()["num_steps"]
    return RejaxLearner(SuiteDQN, config, env, policy, networks, normalise_observations, steps)
