"""Evaluation of the unperturbed policy on episodes and keys of its own."""

from collections.abc import Callable

import jax
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Environment, Policy, Snapshot
from rl_es.rollout.unroll import episodes, single_step, start


def horizon(env: Environment) -> int:
    """The environment's time limit.

    Raises:
      UserError: it has none, so that whole episodes cannot be run.
    """
    length = env.spec.episode_length
    if length is None:
        raise UserError(f"environment {env.spec.name}: it never ends; give it an episode_length")
    return length


def evaluator(
    env: Environment, policy: Policy, count: int, lanes: str | None = None
) -> Callable[[Array, Snapshot], Array]:
    """A function (key, snapshot) -> returns [E] of `count` whole episodes. It consumes the key."""
    limit = horizon(env)

    def evaluate(key: Array, snapshot: Snapshot) -> Array:
        reset_key, step_key = jax.random.split(key)
        particles = jax.vmap(lambda k: start(env, policy, k))(jax.random.split(reset_key, count))
        step = single_step(env, policy, snapshot.params, snapshot.statistics)
        return episodes(
            step, particles, jax.random.split(step_key, count), limit, lanes=lanes
        ).returns

    return evaluate
