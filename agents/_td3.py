"""TD3 of rejax as a `Learner`: its training iteration, with a replay buffer of the suite's."""

from collections.abc import Mapping
from typing import Any

import jax
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.algos.td3 import TD3
from rejax.buffers import Minibatch

from rl_es.agents._rejax import RejaxLearner, check_actions, check_stateless
from rl_es.agents._rejax_actors import BatchActor, make_action_critic
from rl_es.agents._rejax_values import Replay
from rl_es.config import Config
from rl_es.errors import UserError
from rl_es.interfaces import Environment, Learner, Policy
from rl_es.rollout.heads import Tanh
from rl_es.rollout.policy import ModulePolicy, trainable_network

_Untyped: Any = TD3  # its annotations allow its own environments and networks only


class SuiteTD3(Replay, _Untyped):
    """rejax's algorithm with the suite's environments, networks and observation statistics."""

    trained, target = "actor_ts", "actor_target_params"

    @property
    def policy(self) -> ModulePolicy:
        return self.actor.policy

    @register_init
    def initialize_network_params(self, rng: Array) -> Mapping[str, Any]:
        _, actor_key, critic_key = jax.random.split(rng, 3)
        actor = self.actor.init(actor_key)
        critics = jax.vmap(self.critic.init)(jax.random.split(critic_key, self.num_critics))
        return {
            "actor_ts": self.train_state(actor),
            "actor_target_params": actor,
            "critic_ts": self.train_state(critics),
            "critic_target_params": critics,
        }

    def update_critic(self, ts: Any, minibatch: Minibatch) -> Any:
        """Moves the critics; rejax draws their noise with the key that it splits afterwards."""
        key, noise_key = jax.random.split(ts.rng)
        return super().update_critic(ts.replace(rng=noise_key), minibatch).replace(rng=key)

    def train_policy(self, ts: Any, minibatches: Minibatch, old_global_step: Array) -> Any:
        """Moves the actor, once critics were; rejax starts a step early, on a batch of zeros."""
        late = self.replace(fill_buffer=self.fill_buffer + self.num_envs)
        return super(SuiteTD3, late).train_policy(ts, minibatches, old_global_step)


def make_td3(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns TD3 as a learner with these settings.

    Raises:
      UserError: actions are not real, or the policy is not a network without state whose head is
        tanh.
    """
    check_actions(env, "real", "td3", "sac, dqn or ppo")
    network = trainable_network(policy, "td3")
    check_stateless(policy, "td3")
    if not isinstance(network.head, Tanh):
        raise UserError("td3: its actions are squashed into their bounds; write head: tanh")
    networks = {
        "actor": BatchActor(network),
        "critic": make_action_critic(env, network, "td3"),
    }
    settings = config.model_dump()
    iterations = settings["num_steps"] // settings["policy_delay"]
    return RejaxLearner(SuiteTD3, config, env, policy, networks, normalise_observations, iterations)
