"""Evaluation of an unperturbed policy: in its environment, in another simulator, step by step.

`make_evaluator` reports the return of whole episodes, or, if the environment has an evaluation of
its own, the score of the state after `evaluation_steps` steps.

`make_native_evaluator` does the same in another simulator: the physics runs on the host, and the
policy in one compiled call a step.

`make_recorder` and `read_trajectory` give one episode, step by step, for replays.
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
    """Returns a function that evaluates a policy on `count` episodes.

    Its arguments are a key, which it consumes, and a snapshot; it returns the results [E]. `lanes`
    names a vmapped axis around it, if any.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    evaluation_steps = env.spec.evaluation_steps
    limit = time_limit(env) if evaluation_steps is None else evaluation_steps

    def evaluate(key: Array, snapshot: Snapshot) -> Array:
        reset_key, step_key = jax.random.split(key)
        particles = jax.vmap(lambda k: start_particle(env, policy, k))(
            jax.random.split(reset_key, count)
        )
        step = single_step(env, policy, snapshot.params, snapshot.statistics)
        keys = jax.random.split(step_key, count)
        if evaluation_steps is None:
            return unroll_episodes(step, particles, keys, limit, lanes=lanes).returns
        last = unroll_window(step, particles, keys, limit).particles
        return jax.vmap(cast(Scored, env).score)(last.env)

    return evaluate


# (snapshot, policy states [E, ...], observations [E, D], keys [E], step) -> policy states [E, ...],
# actions [E, A]
BatchAct = Callable[..., tuple[Any, Array]]


def make_batch_act(policy: Policy) -> BatchAct:
    """Returns the compiled policy of a batch of episodes, each with one key for all its steps."""

    def act(snapshot: Snapshot, states: Any, values: Array, keys: Array, step: Array) -> Any:
        def act_in_episode(state: Any, values: Array, key: Array) -> tuple[Any, Array]:
            observation = normalise(snapshot.statistics, Observation(values))
            return policy.act(snapshot.params, state, observation, jax.random.fold_in(key, step))

        return jax.vmap(act_in_episode)(states, values, keys)

    return jax.jit(act)


def make_native_evaluator(
    native: Native, policy: Policy, wrappers: WrapperConfig
) -> Callable[[Array, Sequence[int], Snapshot], np.ndarray]:
    """Returns a function that evaluates a policy on whole episodes in another simulator.

    Its arguments are a key for the policy, which it consumes, the seeds of the episodes' starts
    [E], and a snapshot; it returns float64 returns [E], nan where the simulation broke down.
    Repeated actions and the time limit are as in the environment; rewards are not scaled.
    """
    act = make_batch_act(policy)
    repeats = wrappers.action_repeat
    length = wrappers.episode_length
    limit = native.episode_length if length is None else length * repeats

    def evaluate(key: Array, seeds: Sequence[int], snapshot: Snapshot) -> np.ndarray:
        episodes = len(seeds)
        keys = jax.random.split(key, episodes)
        states = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (episodes, *leaf.shape)), policy.initial_state()
        )
        simulator, observations = native.reset(seeds)
        actions = np.zeros(0)
        returns = np.zeros(episodes)
        alive = np.arange(episodes)
        for t in range(limit):
            if t % repeats == 0:
                values, step = observations.astype(np.float32), np.uint32(t // repeats)
                states, action_batch = act(snapshot, states, values, keys, step)
                actions = np.asarray(action_batch)
            outcome = native.step(simulator[alive], actions[alive])
            simulator[alive], observations[alive] = outcome.state, outcome.observations
            returns[alive] += outcome.rewards
            alive = alive[~outcome.terminated]
            if not alive.size:
                break
        return returns

    return evaluate


class Trajectory(NamedTuple):
    """One episode of T steps.

    Attributes:
      states: The environment's states before each step, leaves [T, ...]; () if none were recorded.
      observations: [T, *observation_shape] float32, not normalised.
      actions: [T, ...].
      rewards: [T] float32.
      terminated: True if the task ended, False if only the time limit was reached.
      end: State and observation after the last step.
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
    """Returns a function that records one episode, for `read_trajectory`. Compile it once.

    Its arguments are a key, which it consumes, and a snapshot.

    Args:
      env: The environment.
      policy: The policy that acts in it.
      states: Record the environment's states, which may be large.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    evaluation_steps = env.spec.evaluation_steps
    limit = time_limit(env) if evaluation_steps is None else evaluation_steps

    def record(key: Array, snapshot: Snapshot) -> Any:
        reset_key, step_key = jax.random.split(key)

        def step(particle: Particle, key: Array) -> tuple[Particle, tuple]:
            next_particle, action, transition = act_and_step(
                env, policy, snapshot.params, snapshot.statistics, particle, key
            )
            state = particle.env if states else ()
            before = (state, particle.observation.values, action, transition.reward)
            return next_particle, (*before, transition.terminated, ~particle.done)

        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            step_key, jnp.arange(limit, dtype=jnp.uint32)
        )
        end, steps = jax.lax.scan(step, start_particle(env, policy, reset_key), keys)
        return steps, (end.env if states else (), end.observation.values)

    return record


def read_trajectory(record: Any) -> Trajectory:
    """Returns the episode that a recorder's function recorded, up to its end."""
    (*steps, terminated, alive), end = jax.device_get(record)
    length = int(alive.sum())
    if length < len(alive):  # the first step after the end starts from the final state
        end = jax.tree.map(lambda leaf: leaf[length], tuple(steps[:2]))
    states, observations, actions, rewards = jax.tree.map(lambda leaf: leaf[:length], steps)
    return Trajectory(states, observations, actions, rewards, bool(terminated[length - 1]), end)
