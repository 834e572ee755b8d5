"""Actors of real actions and critics of actions, for rejax's algorithms with a replay buffer.

An actor is a policy of the suite over a batch; a critic is a network of the same shape with one
output, which reads observation and action as one vector.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from rl_es.agents._rejax import PolicyNetwork, with_one_output
from rl_es.errors import UserError, short_reason
from rl_es.interfaces import Box, Environment, Observation, Params
from rl_es.rollout.policy import ModulePolicy


@dataclass(frozen=True)
class BatchActor(PolicyNetwork):
    """A policy of real actions without state."""

    def __call__(self, params: Params, observation: Observation) -> Array:
        """Returns the actions [N, *shape] of a deterministic head."""
        key = jax.random.key(0)  # not used
        return self._vmap(
            lambda output, mask: self.policy.head.act({}, output, mask, key), params, observation
        )

    def act(self, params: Params, observation: Observation, key: Array) -> Array:
        """Samples actions [N, *shape]. Consumes `key`."""
        return self.action_log_prob(params, observation, key)[0]

    def action_log_prob(
        self, params: Params, observation: Observation, key: Array
    ) -> tuple[Array, Array]:
        """Samples actions [N, *shape]; returns their log-densities [N], too. Consumes `key`."""
        head: Any = self.policy.head
        outputs = self._vmap(lambda output, mask: output, params, observation)
        noise = jax.random.normal(key, (len(outputs), head.outputs // 2))
        return jax.vmap(head.squash_noise)(outputs, noise)

    def _vmap(self, function: Callable[..., Any], params: Params, observation: Observation) -> Any:
        """Vmaps `function(network's output, mask)` over [N]."""

        def call(observation: Observation) -> Any:
            _, output = self.policy.apply(params["network"], (), observation.values)
            return function(jnp.asarray(output).reshape(-1), observation.action_mask)

        return jax.vmap(call)(observation)


@dataclass(frozen=True)
class ActionCritic:
    """A network with one output, the value of an action after an observation.

    Attributes:
      module: The network.
      inputs: Number of elements of an observation and an action together.
    """

    module: nn.Module
    inputs: int

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        return nn.meta.unbox(self.module.init(key, jnp.zeros(self.inputs))["params"])

    def apply(
        self, params: Params, observation: Observation, actions: Array, method: str = "__call__"
    ) -> Array:
        """Returns the values [N] of actions [N, *shape] after observations [N, ...]."""
        rows = [values.reshape(len(actions), -1) for values in (observation.values, actions)]
        apply = jax.vmap(lambda row: self.module.apply({"params": params}, row))
        return jnp.asarray(apply(jnp.concatenate(rows, axis=1))).reshape(-1)


def make_action_critic(env: Environment, policy: ModulePolicy, agent: str) -> ActionCritic:
    """Returns a critic of a policy's shape.

    Raises:
      UserError: the network cannot read an observation and an action as one vector.
    """
    module, spec = with_one_output(policy.module, agent), env.spec
    assert isinstance(spec.action_space, Box)
    inputs = math.prod(spec.observation_shape) + math.prod(spec.action_space.shape)
    reason = ""
    try:
        value, _ = jax.eval_shape(
            lambda: module.init_with_output(jax.random.key(0), jnp.zeros(inputs))
        )
        reason = "" if value.size == 1 else f"it gives {value.size} numbers"
    except Exception as error:  # a module may raise anything
        reason = short_reason(error)
    if reason:
        raise UserError(
            f"{agent}: network {type(module).__name__} cannot read an observation and an action as "
            f"one vector, as the critic does ({reason}); choose one that can, such as mlp"
        )
    return ActionCritic(module, inputs)
