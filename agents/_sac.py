"""SAC of rejax as a `Learner`: its training iteration, with a replay buffer of the suite's."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.algos.sac import SAC

from rl_es.agents._rejax import RejaxLearner, check_stateless, check_team
from rl_es.agents._rejax_actors import BatchActor, make_action_critic
from rl_es.agents._rejax_values import ActionValues, Replay
from rl_es.config import Config
from rl_es.errors import UserError
from rl_es.interfaces import Discrete, Environment, Learner, Observation, Params, Policy
from rl_es.rollout.heads import TanhGaussian, mask_logits, stochastic
from rl_es.rollout.policy import ModulePolicy, trainable_network

LEAST = 1e-30  # probability: that of a forbidden action is 0, and has no logarithm

_Untyped: Any = SAC  # its annotations allow its own environments and networks only


class Probabilities(NamedTuple):
    """The probabilities [N, A] of discrete actions, by rejax's name."""

    probs: Array


class DiscreteActor(BatchActor):
    """A policy of discrete actions whose outputs are logits."""

    def act(self, params: Params, observation: Observation, key: Array) -> Array:
        """Samples actions [N]. Consumes `key`."""
        logits = self._logits(params, observation)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    def _action_dist(self, params: Params, observation: Observation) -> Probabilities:
        probabilities = jax.nn.softmax(self._logits(params, observation))
        return Probabilities(jnp.maximum(probabilities, LEAST))

    def _logits(self, params: Params, observation: Observation) -> Array:
        return self._vmap(mask_logits, params, observation)


class SuiteSAC(Replay, _Untyped):
    """rejax's algorithm with the suite's environments, networks and observation statistics."""

    trained = "actor_ts"

    @property
    def policy(self) -> ModulePolicy:
        return self.actor.policy

    @register_init
    def initialize_network_params(self, rng: Array) -> Mapping[str, Any]:
        _, actor_key, critic_key = jax.random.split(rng, 3)
        critics = jax.vmap(self.critic.init)(jax.random.split(critic_key, self.num_critics))
        return {
            "actor_ts": self.train_state(self.actor.init(actor_key)),
            "critic_ts": self.train_state(critics),
            "critic_target_params": critics,
            "alpha_ts": self.train_state({"log_alpha": jnp.zeros(())}),
        }

    def update_alpha(self, ts: Any, logprob: Array) -> Any:
        """Moves the weight of the entropy by log-probabilities [N, A], or log-densities [N].

        The entropy of discrete actions that is aimed at is a share of that of the allowed ones;
        rejax takes all, whose entropy cannot be reached where some are forbidden.
        """
        if not self.discrete:
            return super().update_alpha(ts, logprob)
        entropy = -(jnp.exp(logprob) * logprob).sum(axis=1)
        allowed = (logprob > math.log(2 * LEAST)).sum(axis=1).astype(jnp.float32)
        surplus = (entropy - self.target_entropy_ratio * jnp.log(allowed)).mean()
        grads = jax.grad(lambda params: jnp.exp(params["log_alpha"]) * surplus)(ts.alpha_ts.params)
        return ts.replace(alpha_ts=ts.alpha_ts.apply_gradients(grads=grads))


def make_sac(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns SAC as a learner with these settings.

    Raises:
      UserError: there are several agents, the policy is not a network without state, or its head
        does not fit.
    """
    check_team(env, "sac")
    network = trainable_network(policy, "sac")
    check_stateless(policy, "sac")
    if isinstance(env.spec.action_space, Discrete):
        actor: BatchActor = DiscreteActor(replace(network, head=stochastic(network.head)))
        critic: Any = ActionValues(replace(network, start=None))
    elif isinstance(network.head, TanhGaussian):
        actor, critic = BatchActor(network), make_action_critic(env, network, "sac")
    else:
        raise UserError(
            "sac: its real actions are squashed samples; write head: tanh_mean, or tanh_gaussian "
            "to evaluate samples"
        )
    networks = {"actor": actor, "critic": critic}
    steps = config.model_dump()["num_steps"]
    return RejaxLearner(SuiteSAC, config, env, policy, networks, normalise_observations, steps)
