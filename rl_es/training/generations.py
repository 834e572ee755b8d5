"""Generation after generation inside one compiled call."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.interfaces import Limit, Rows


class Done(NamedTuple):
    """What is counted and reported of one generation."""

    env_steps: Array  # [] int32
    episodes: Array  # [] int32, finished
    population_mean: Array  # [] float32
    population_best: Array  # [] float32
    update_norm: Array  # [] float32, of the change of the policy's parameters
    nonfinite_members: Array  # [] int32, whose return is not finite


def until(
    limit: Limit, generation: Callable[[Any], tuple[Any, Done]], state: Any
) -> tuple[Any, Rows]:
    """Generations until either limit is reached (none if it already is), or one diverges.

    Args:
      limit: of this call.
      generation: state -> the next state, and what is reported of it.
      state: any pytree of arrays.
    """
    none, unknown = jnp.zeros((), jnp.int32), jnp.full((), jnp.nan)
    rows = Rows(none, none, none, unknown, unknown, unknown, none)

    def unfinished(carry: tuple[Any, Rows]) -> Array:
        _, rows = carry
        within = (rows.generations < limit.generations) & (rows.env_steps < limit.env_steps)
        return within & ((rows.generations == 0) | jnp.isfinite(rows.update_norm))

    def one(carry: tuple[Any, Rows]) -> tuple[Any, Rows]:
        state, rows = carry
        state, done = generation(state)
        return state, Rows(
            generations=rows.generations + 1,
            env_steps=rows.env_steps + done.env_steps,
            episodes=rows.episodes + done.episodes,
            population_mean=done.population_mean,
            population_best=done.population_best,
            update_norm=done.update_norm,
            nonfinite_members=rows.nonfinite_members + done.nonfinite_members,  # pyright: ignore
        )

    return jax.lax.while_loop(unfinished, one, (state, rows))
