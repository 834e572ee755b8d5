"""A policy that is its action: what is evolved are the parameters of the environment's own unroll.

For unrolled problems (`envs/unrolled`), where each step of the environment is one step of an inner
computation, and the action says with which parameters.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Box, EnvSpec, Observation, ParameterSpec, Params, PolicyState

THETA = "theta"


@dataclass(frozen=True, eq=False)
class ActionItself:
    """The action is the parameter vector, whatever is observed."""

    space: Box
    start: tuple[float, ...]

    @property
    def parameters(self) -> ParameterSpec:
        """What is evolved: {"theta": [A]}, within the action's bounds where it has any."""
        shapes = {THETA: jax.ShapeDtypeStruct(self.space.shape, jnp.float32)}
        low, high = self.space.low, self.space.high
        known = bool(np.isfinite(low).all() and np.isfinite(high).all())
        bounds = ({THETA: low}, {THETA: high}) if known else None
        return ParameterSpec(shapes, bounds=bounds)

    def init(self, key: Array) -> Params:
        return {THETA: jnp.asarray(self.start, jnp.float32)}

    def initial_state(self) -> PolicyState:
        return ()

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        return state, params[THETA]


def action_itself(spec: EnvSpec) -> ActionItself:
    """The policy for an environment.

    Raises:
      UserError: its actions are not real numbers, or it does not say where they start.
    """
    if not isinstance(spec.action_space, Box) or spec.initial_action is None:
        raise UserError(
            f"network: parameters is for unrolled problems, whose action is what is evolved; "
            f"{spec.name} is none, choose another network, such as mlp"
        )
    return ActionItself(spec.action_space, spec.initial_action)
