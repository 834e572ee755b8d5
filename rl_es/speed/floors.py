"""The floors of a generation: the same rollout, with nothing done to the policy.

`Unperturbed` is an agent that draws no noise and learns nothing, so that its generation is the
suite's own rollout of the unperturbed policy, shared by all members: pure batch inference. With
`FixedAction` as the policy it is the bare environment.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array

from rl_es.interfaces import (
    Discrete,
    EnvSpec,
    Episode,
    Hyper,
    Members,
    Memory,
    Noise,
    Observation,
    Params,
    PolicyState,
    Segment,
    Update,
)
from rl_es.rollout.uniform import NoNetwork


@dataclass(frozen=True)
class Unperturbed:
    """An agent all of whose members are the initial policy. Its state is that policy."""

    population: int
    segment: Episode

    def init(self, params: Params, hyper: Hyper) -> Params:
        return params

    def remember(self, pairs: int) -> Memory:
        return ()

    def ask(self, keys: Array, state: Params, memory: Memory, fresh: Array) -> tuple[Noise, Memory]:
        return (), memory

    def members(self, state: Params, noise: Noise) -> Members:
        return Members(shared=state, direct={}, products={})

    def shape(self, state: Params, segment: Segment) -> Array:
        return segment.returns

    def contract(self, state: Params, noise: Noise, memory: Memory, weights: Array) -> Update:
        return ()

    def tell(self, state: Params, update: Update, segment: Segment) -> tuple[Params, Array]:
        return state, jnp.zeros(())

    def center(self, state: Params) -> Params:
        return state


class FixedAction(NoNetwork):
    """A policy without a network: the first discrete action, or the middle of the box."""

    def __init__(self, spec: EnvSpec):
        self._space = spec.action_space

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        return state, self._action()

    def _action(self) -> Any:
        space = self._space
        if isinstance(space, Discrete):
            return jnp.zeros((), jnp.int32)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        bounded = jnp.isfinite(low) & jnp.isfinite(high)
        return jnp.where(bounded, (low + high) / 2, 0.0)
