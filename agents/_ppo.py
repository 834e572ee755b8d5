"""PPO of rejax as a `Learner`.

`Actor` is a policy of the suite; the critic is its network with one output. `SuitePPO` is rejax's
algorithm with these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax.training.train_state import TrainState
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.algos.ppo import PPO

from rl_es.agents._rejax import (
    Critic,
    PolicyNetwork,
    RejaxLearner,
    SuiteAlgorithm,
    check_stateless,
    with_one_output,
)
from rl_es.config import Config
from rl_es.errors import UserError
from rl_es.interfaces import Environment, Learner, Observation, Params, Policy
from rl_es.rollout.heads import Stochastic, stochastic
from rl_es.rollout.networks import Team
from rl_es.rollout.policy import ModulePolicy, sampling_network


@dataclass(frozen=True)
class Actor(PolicyNetwork):
    """A policy without state whose head samples.

    Attributes:
      head: The sampling form of the policy's head.
    """

    head: Stochastic

    def action_log_prob(
        self, params: Params, observation: Observation, key: Array
    ) -> tuple[Array, Array]:
        """Samples actions [N, ...]; returns their log-probabilities [N], too. Consumes `key`."""

        def sample(head: Any, output: Array, mask: Array | None, key: Array) -> Any:
            action = self.head.act(head, output, mask, key)
            return action, self.head.log_prob(head, output, mask, action)

        keys = jax.random.split(key, len(observation.values))
        return self._vmap(sample, params, observation, keys)

    def log_prob_entropy(
        self, params: Params, observation: Observation, actions: Array
    ) -> tuple[Array, Array]:
        """Returns log-probabilities [N] of actions [N, ...], and the entropies [N]."""

        def evaluate(head: Any, output: Array, mask: Array | None, action: Array) -> Any:
            log_prob = self.head.log_prob(head, output, mask, action)
            return log_prob, self.head.entropy(head, output, mask)

        return self._vmap(evaluate, params, observation, actions)

    def _vmap(
        self, function: Callable[..., Any], params: Params, observation: Observation, extra: Array
    ) -> Any:
        """Vmaps `function(head's parameters, network's output, mask, extra)` over [N]."""
        network, head = params["network"], params.get("head", {})

        def call(observation: Observation, extra: Array) -> Any:
            _, output = self.policy.apply(network, (), observation.values)
            return function(head, jnp.asarray(output).reshape(-1), observation.action_mask, extra)

        return jax.vmap(call)(observation, extra)


_Untyped: Any = PPO  # its annotations allow its own environments and networks only


class SuitePPO(SuiteAlgorithm, _Untyped):
    """rejax's algorithm with the suite's environments, networks and observation statistics."""

    trained = "actor_ts"

    @property
    def policy(self) -> ModulePolicy:
        return self.actor.policy

    @register_init
    def initialize_network_params(self, rng: Array) -> Mapping[str, TrainState]:
        keys = zip(("actor", "critic"), jax.random.split(rng), strict=True)
        return {f"{name}_ts": self.train_state(getattr(self, name).init(key)) for name, key in keys}


def make_ppo(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns PPO as a learner with these settings.

    Raises:
      UserError: the policy is not a network without state.
    """
    trained = sampling_network(policy, "ppo")
    check_stateless(policy, "ppo")
    team = trained.module if isinstance(trained.module, Team) else None
    module = with_one_output(team.module if team else trained.module, "ppo")
    critic = Critic(module, trained.observation_shape, joins_agents=team is not None)
    if (size := critic.output_size()) != 1:
        name, reason = type(module).__name__, f"of one output it gives {size}"
        raise UserError(f"ppo: network {name} cannot give one value: {reason}")
    networks = {"actor": Actor(trained, stochastic(trained.head)), "critic": critic}
    return RejaxLearner(SuitePPO, config, env, policy, networks, normalise_observations)
