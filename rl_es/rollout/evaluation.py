"""Evaluation of the unperturbed policy on episodes and keys of its own.

What is reported of an episode is its return, unless the environment names an evaluation of its own:
then so many steps are taken from a fresh start, and the score of the last state is reported.

Evaluation in another simulator: physics on the host, the policy in one compiled call a step.

One episode of a policy, step by step, for replays and for looking at.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.interfaces import Environment, EnvState, Native, Observation, Policy, Scored, Snapshot
from rl_es.rollout.config import WrapperConfig
from rl_es.rollout.normalisation import normalise
from rl_es.rollout.unroll import (
    Particle,
    act_and_step,
    single_step,
    start_particle,
    time_limit,
    unroll_episodes,
    unroll_window,
)


def make_evaluator(
    env: Environment, policy: Policy, count: int, lanes: str | None = None
) -> Callable[[Array, Snapshot], Array]:
    """A function (key, snapshot) -> [E] what is reported of `count` episodes. Consumes the key.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    own = env.spec.evaluation_steps
    limit = time_limit(env) if own is None else own

    def evaluate(key: Array, snapshot: Snapshot) -> Array:
        reset_key, step_key = jax.random.split(key)
        particles = jax.vmap(lambda k: start_particle(env, policy, k))(
            jax.random.split(reset_key, count)
        )
        step = single_step(env, policy, snapshot.params, snapshot.statistics)
        keys = jax.random.split(step_key, count)
        if own is None:
            return unroll_episodes(step, particles, keys, limit, lanes=lanes).returns
        last = unroll_window(step, particles, keys, limit).particles
        return jax.vmap(cast(Scored, env).score)(last.env)

    return evaluate


# (snapshot, what the policy carries [E, ...], observations [E, D], keys [E], step) -> carried on
# [E, ...], actions [E, A]
Act = Callable[..., tuple[Any, Array]]


def make_batch_act(policy: Policy) -> Act:
    """The policy on a batch of episodes, compiled. Keys are those of whole episodes."""

    def act(snapshot: Snapshot, carried: Any, values: Array, keys: Array, step: Array) -> Any:
        def one(carried: Any, values: Array, key: Array) -> tuple[Any, Array]:
            seen = normalise(snapshot.statistics, Observation(values))
            return policy.act(snapshot.params, carried, seen, jax.random.fold_in(key, step))

        return jax.vmap(one)(carried, values, keys)

    return jax.jit(act)


def make_native_evaluator(
    native: Native, policy: Policy, wrappers: WrapperConfig
) -> Callable[[Array, Sequence[int], Snapshot], np.ndarray]:
    """A function (key, seeds [E], snapshot) -> [E] float64 returns of whole episodes.

    The key is of the policy and consumed, the seeds are of the episodes' starts. Repeated actions
    and the time limit are as in the environment; rewards are not scaled. A return is not a number
    where the simulation broke down.
    """
    act = make_batch_act(policy)
    repeats = wrappers.action_repeat
    length = wrappers.episode_length
    limit = native.episode_length if length is None else length * repeats

    def evaluate(key: Array, seeds: Sequence[int], snapshot: Snapshot) -> np.ndarray:
        episodes = len(seeds)
        keys = jax.random.split(key, episodes)
        carried = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (episodes, *leaf.shape)), policy.initial_state()
        )
        state, seen = native.reset(seeds)
        actions = np.zeros(0)
        returns = np.zeros(episodes)
        alive = np.arange(episodes)
        for t in range(limit):
            if t % repeats == 0:
                values, step = seen.astype(np.float32), np.uint32(t // repeats)
                carried, chosen = act(snapshot, carried, values, keys, step)
                actions = np.asarray(chosen)
            after = native.step(state[alive], actions[alive])
            state[alive], seen[alive] = after.state, after.observations
            returns[alive] += after.rewards
            alive = alive[~after.terminated]
            if not alive.size:
                break
        return returns

    return evaluate


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


def make_recorder(
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
    limit = time_limit(env) if own is None else own

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
        end, each = jax.lax.scan(step, start_particle(env, policy, reset_key), keys)
        return each, (end.env if states else (), end.observation.values)

    return record


def read_trajectory(recorded: Any) -> Trajectory:
    """The episode that a recorder's function gave, up to its end."""
    (*shown, terminated, alive), end = jax.device_get(recorded)
    length = int(alive.sum())
    if length < len(alive):  # what follows the end begins with what the last step led to
        end = jax.tree.map(lambda leaf: leaf[length], tuple(shown[:2]))
    states, observations, actions, rewards = jax.tree.map(lambda leaf: leaf[:length], shown)
    return Trajectory(states, observations, actions, rewards, bool(terminated[length - 1]), end)
