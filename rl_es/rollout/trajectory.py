"""One episode of a policy, step by step, for replays and for looking at."""

from collections.abc import Callable
from typing import Any, NamedTuple

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
      states: the environment's states before each step, leaves [T, ...]; () where none were kept.
      observations: [T, *observation_shape] float32, as the environment gives them.
      actions: [T, ...].
      rewards: [T] float32.
      terminated: whether the task ended; otherwise the time was over.
      end: state and observation after the last step.
    """

    states: EnvState
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    end: tuple[EnvState, np.ndarray]


def recorder(
    env: Environment, policy: Policy, states: bool = True
) -> Callable[[Array, Snapshot], Any]:
    """A function (key, snapshot) -> what `trajectory` reads. Consumes the key. To be compiled once.

    Args:
      env: the environment.
      policy: acts in it.
      states: whether states are kept, which may be large.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    own = env.spec.evaluation_steps
    limit = horizon(env) if own is None else own

    def record(key: Array, snapshot: Snapshot) -> Any:
        reset_key, step_key = jax.random.split(key)

        def step(particle: Particle, key: Array) -> tuple[Particle, tuple]:
            moved, action, after = act_and_step(
                env, policy, snapshot.params, snapshot.statistics, particle, key
            )
            kept = particle.env if states else ()
            shown = (kept, particle.observation.values, action, after.reward)
            return moved, (*shown, after.terminated, ~particle.done)

        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            step_key, jnp.arange(limit, dtype=jnp.uint32)
        )
        end, each = jax.lax.scan(step, start(env, policy, reset_key), keys)
        return each, (end.env if states else (), end.observation.values)

    return record


def trajectory(recorded: Any) -> Trajectory:
    """The episode that a recorder's function gave, up to its end."""
    (*shown, terminated, alive), end = jax.device_get(recorded)
    length = int(alive.sum())
    if length < len(alive):  # what follows the end begins with what the last step led to
        end = jax.tree.map(lambda leaf: leaf[length], tuple(shown[:2]))
    states, observations, actions, rewards = jax.tree.map(lambda leaf: leaf[:length], shown)
    return Trajectory(states, observations, actions, rewards, bool(terminated[length - 1]), end)
