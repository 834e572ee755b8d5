"""One episode of a policy, step by step, for replays and for looking at."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Environment, EnvState, Policy, Snapshot
from rl_es.rollout.evaluation import horizon
from rl_es.rollout.unroll import Particle, act_and_step, start


class Trajectory(NamedTuple):
    """One episode of T steps.

    Attributes:
      states: the environment's states before each step, leaves [T, ...].
      observations: [T, *observation_shape] float32, as the environment gives them.
      actions: [T, ...].
      rewards: [T] float32.
      terminated: whether the task ended; otherwise the time was over.
    """

    states: EnvState
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool


def trajectory(env: Environment, policy: Policy, key: Array, snapshot: Snapshot) -> Trajectory:
    """Runs one whole episode. Consumes `key`."""
    reset_key, step_key = jax.random.split(key)

    def step(particle: Particle, key: Array) -> tuple[Particle, tuple]:
        moved, action, after = act_and_step(
            env, policy, snapshot.params, snapshot.statistics, particle, key
        )
        shown = (particle.env, particle.observation.values, action, after.reward)
        return moved, (*shown, after.terminated, ~particle.done)

    @jax.jit
    def run(reset_key: Array, step_key: Array) -> tuple:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            step_key, jnp.arange(horizon(env), dtype=jnp.uint32)
        )
        return jax.lax.scan(step, start(env, policy, reset_key), keys)[1]

    *shown, terminated, alive = jax.device_get(run(reset_key, step_key))
    length = int(alive.sum())
    states, observations, actions, rewards = jax.tree.map(lambda leaf: leaf[:length], shown)
    return Trajectory(states, observations, actions, rewards, bool(terminated[length - 1]))
