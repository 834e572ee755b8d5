"""Lorenz: two parameters of a chaotic system, from how well its trajectory follows a known one.

The system of Lorenz (1963) with r = 28, a = 10, b = 8/3 is followed by one whose r and a are
learned; the problem is that of Li et al. (NRES, 2023, arXiv 2304.12180, section 5.1). The action
holds their logarithms.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.envs._adapter import blank_observation, box, valid_action
from rl_es.interfaces import Environment, EnvSpec, Observation, Transition

DT, B = 0.005, 8 / 3
TARGET = (float(np.log(28)), float(np.log(10)))
# Euler's method stays finite within these: log r from 1 to 148, log a the same.
LOW, HIGH = 0.0, 5.0


class SystemPair(NamedTuple):
    """The state of both systems; its field names are in checkpoints.

    Attributes:
      own: [3] the system whose parameters are learned.
      known: [3] the system that it follows.
      t: [] int32, number of steps.
    """

    own: Array
    known: Array
    t: Array


def _euler_step(x: Array, action: Array) -> Array:
    """Returns a system [3] after one Euler step, with log r and log a as the action says."""
    r, a = jnp.exp(action)
    change = jnp.stack(
        [a * (x[1] - x[0]), x[0] * (r - x[2]) - x[1], x[0] * x[1] - np.float32(B) * x[2]]
    )
    return jnp.clip(x + np.float32(DT) * change, -1e3, 1e3)


class Lorenz:
    """Both systems start at the same point; the reward is minus the squared distance of their z."""

    def __init__(self, name: str, steps: int):
        self.steps = steps
        self.spec = EnvSpec(
            name=name,
            observation_shape=(1,),
            action_space=box(LOW, HIGH, (2,)),
            episode_length=steps,
            initial_action=(3.1, 2.0),
        )

    def reset(self, key: Array) -> tuple[SystemPair, Observation]:
        start = jnp.asarray([1.2, 1.3, 1.6], jnp.float32)
        return SystemPair(start, start, jnp.zeros((), jnp.int32)), blank_observation()

    def step(self, key: Array, state: SystemPair, action: Array) -> Transition:
        follower = _euler_step(state.own, valid_action(self.spec.action_space, action))
        target = _euler_step(state.known, jnp.asarray(TARGET, jnp.float32))
        t = state.t + 1
        reward = -jnp.square(follower[2] - target[2])
        never, over = jnp.zeros((), bool), t >= self.steps
        return Transition(SystemPair(follower, target, t), blank_observation(), reward, never, over)


def make(name: str, options: Any) -> Environment:
    """Returns the environment of this name with `rl_es.envs.unrolled` options of this task."""
    return Lorenz(name, options.steps)
