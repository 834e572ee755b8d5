"""A task that any agent learns: to choose an action near a target."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Box, EnvSpec, Observation, Policy, Snapshot, Transition
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import make_policy

TARGET = np.array([2.0, -1.0], np.float32)
OBSERVATION = np.array([1.0, -1.0, 0.5], np.float32)


@dataclass(frozen=True)
class Target:
    """An environment of one observation; a step's reward is minus the action's squared distance.

    Attributes:
      length: steps of an episode.
      scale: factor on rewards; with -1 the best action is the farthest.
      shift: added to each reward.
    """

    length: int = 1
    scale: float = 1.0
    shift: float = 0.0

    @property
    def spec(self) -> EnvSpec:
        bound = np.full(2, np.inf, np.float32)
        return EnvSpec("target", OBSERVATION.shape, Box(-bound, bound), self.length)

    def reset(self, key: Array) -> tuple[Array, Observation]:
        return jnp.zeros((), jnp.int32), Observation(jnp.asarray(OBSERVATION))

    def step(self, key: Array, state: Array, action: Array) -> Transition:
        reward = -self.scale * jnp.square(action - TARGET).sum() + self.shift
        over, never = state + 1 >= self.length, jnp.zeros((), bool)
        return Transition(state + 1, Observation(jnp.asarray(OBSERVATION)), reward, never, over)


def policy(env: Target) -> Policy:
    """A linear, deterministic policy for the task."""
    return make_policy(PolicyConfig(network="linear", head="deterministic"), env.spec)


def distance(policy: Policy, snapshot: Snapshot) -> Array:
    """[] between the unperturbed action and the target."""
    observation = Observation(jnp.asarray(OBSERVATION))
    _, action = policy.act(snapshot.params, (), observation, jax.random.key(0))
    return jnp.sqrt(jnp.square(action - TARGET).sum())
