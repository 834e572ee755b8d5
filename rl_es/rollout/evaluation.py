"""Evaluation of the unperturbed policy on episodes and keys of its own.

What is reported of an episode is its return, unless the environment names an evaluation of its own:
then so many steps are taken from a fresh start, and the score of the last state is reported.
"""

from collections.abc import Callable
from typing import cast

import jax
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Environment, Policy, Scored, Snapshot
from rl_es.rollout.unroll import episodes, single_step, start, window


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
    """A function (key, snapshot) -> [E] what is reported of `count` episodes. Consumes the key.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    own = env.spec.evaluation_steps
    limit = horizon(env) if own is None else own

    def evaluate(key: Array, snapshot: Snapshot) -> Array:
        reset_key, step_key = jax.random.split(key)
        particles = jax.vmap(lambda k: start(env, policy, k))(jax.random.split(reset_key, count))
        step = single_step(env, policy, snapshot.params, snapshot.statistics)
        keys = jax.random.split(step_key, count)
        if own is None:
            return episodes(step, particles, keys, limit, lanes=lanes).returns
        last = window(step, particles, keys, limit).particles
        return jax.vmap(cast(Scored, env).score)(last.env)

    return evaluate
