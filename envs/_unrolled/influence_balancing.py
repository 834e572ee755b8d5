"""Influence balancing: a linear system in which a parameter helps soon and harms later.

Metz's problem after Tallec and Ollivier (UORO, 2018, arXiv 1702.05043, section 5.1), as PES uses it
(Vicol et al. 2021, arXiv 2112.13835, section 5.1). Its horizon is endless; what is reported is
minus the loss after a fresh unroll of 500 steps.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import blank_observation, box
from rl_es.interfaces import Environment, EnvSpec, Observation, Transition

SIZE, POSITIVE = 23, 10
STEPS = 500  # of the unroll that is reported
_SIGNS = np.where(np.arange(SIZE) < POSITIVE, 1, -1).astype(np.float32)


class SystemState(NamedTuple):
    """The state of the system."""

    x: Array  # [23]
    t: Array  # [] int32


class InfluenceBalancing:
    """x' = A x + theta s, where A has 1/2 on its diagonal and on the one above it.

    The loss is (x_0 - 1)^2 / 2; in the long run theta = -1/6 makes it vanish. The reward is minus
    the loss on every `loss_every`-th step, and 0 between.
    """

    def __init__(self, name: str, loss_every: int):
        self.loss_every = loss_every
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(-np.inf, np.inf, (1,)),
            episode_length=None,
            initial_action=(0.5,),
            evaluation_steps=STEPS,
        )

    def reset(self, key: Array) -> tuple[SystemState, Observation]:
        return SystemState(jnp.ones(SIZE), jnp.zeros((), jnp.int32)), blank_observation()

    def step(self, key: Array, state: SystemState, action: Array) -> Transition:
        next_one = jnp.concatenate([state.x[1:], jnp.zeros(1)])
        x, t = 0.5 * (state.x + next_one) + action[0] * _SIGNS, state.t + 1
        state = SystemState(x, t)
        never = jnp.zeros((), bool)
        reward = jnp.where(t % self.loss_every == 0, self.score(state), 0.0)
        return Transition(state, blank_observation(), reward, never, never)

    def score(self, state: SystemState) -> Array:
        return -0.5 * jnp.square(state.x[0] - 1)


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task."""
    return InfluenceBalancing(name, options.loss_every)
