"""A policy of the suite as rejax's actor, and its network with one output as the critic."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from rl_es.interfaces import Observation, Params
from rl_es.rollout.heads import Stochastic
from rl_es.rollout.policy import ModulePolicy


@dataclass(frozen=True)
class Actor:
    """A policy without state, whose head samples. Observations and actions have a leading [N]."""

    policy: ModulePolicy
    head: Stochastic

    def init(self, key: Array) -> Params:
        """Initial parameters. Consumes `key`."""
        return self.policy.init(key)

    def apply(self, params: Params, observation: Observation, *args: Any, method: str) -> Any:
        """Calls a method by name, as a Flax module does."""
        return getattr(self, method)(params, observation, *args)

    def action_log_prob(
        self, params: Params, observation: Observation, key: Array
    ) -> tuple[Array, Array]:
        """Sampled actions [N, ...] and their log-probabilities [N]. Consumes `key`."""

        def sampled(own: Any, output: Array, mask: Array | None, key: Array) -> Any:
            action = self.head.act(own, output, mask, key)
            return action, self.head.log_prob(own, output, mask, action)

        keys = jax.random.split(key, len(observation.values))
        return self._mapped(sampled, params, observation, keys)

    def log_prob_entropy(
        self, params: Params, observation: Observation, actions: Array
    ) -> tuple[Array, Array]:
        """Log-probabilities [N] of actions [N, ...], and the distributions' entropies [N]."""

        def told(own: Any, output: Array, mask: Array | None, action: Array) -> Any:
            found = self.head.log_prob(own, output, mask, action)
            return found, self.head.entropy(own, output, mask)

        return self._mapped(told, params, observation, actions)

    def _mapped(
        self, function: Callable[..., Any], params: Params, observation: Observation, others: Array
    ) -> Any:
        """`function(head's parameters, network's output, mask, other)`, vmapped over [N]."""
        network, own = {"params": params["network"]}, params.get("head", {})

        def one(observation: Observation, other: Array) -> Any:
            output = self.policy.module.apply(network, observation.values)
            return function(own, jnp.asarray(output).reshape(-1), observation.action_mask, other)

        return jax.vmap(one)(observation, others)


@dataclass(frozen=True)
class Critic:
    """A network of one output: the value of an observation."""

    module: nn.Module
    observation_shape: tuple[int, ...]

    def init(self, key: Array) -> Params:
        """Initial parameters. Consumes `key`."""
        return nn.meta.unbox(self.module.init(key, jnp.zeros(self.observation_shape))["params"])

    def values(self) -> int:
        """How many numbers it gives of one observation."""
        one = Observation(jnp.zeros((1, *self.observation_shape)))
        return jax.eval_shape(lambda: self.apply(self.init(jax.random.key(0)), one)).size

    def apply(self, params: Params, observation: Observation) -> Array:
        """Values [N] of observations [N, ...]."""
        apply = jax.vmap(lambda values: self.module.apply({"params": params}, values))
        return jnp.asarray(apply(observation.values)).reshape(-1)
