"""Policies without a network: every allowed action is as likely as any other."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import (
    Discrete,
    EnvSpec,
    Observation,
    ParameterSpec,
    Params,
    PolicyState,
)
from rl_es.rollout.heads import Categorical


class NoNetwork:
    """A policy without parameters; what is derived from it chooses actions."""

    parameters = ParameterSpec({})

    def init(self, key: Array) -> Params:
        return {}

    def initial_state(self) -> PolicyState:
        return ()


class UniformActions(NoNetwork):
    """Uniform over the allowed discrete actions, or over the box.

    Raises:
      UserError: the box has no bounds.
    """

    def __init__(self, spec: EnvSpec):
        space = spec.action_space
        if not isinstance(space, Discrete) and not np.isfinite([space.low, space.high]).all():
            raise UserError(f"{spec.name}: its actions have no bounds, so none are uniform")
        self._space = space

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        space = self._space
        if not isinstance(space, Discrete):
            low, high = jnp.asarray(space.low), jnp.asarray(space.high)
            return (), jax.random.uniform(key, space.shape, minval=low, maxval=high)
        head = Categorical(space.n)
        return (), head.act({}, jnp.zeros(space.n), observation.action_mask, key)
