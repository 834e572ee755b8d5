"""From the returns of a generation to what its members are judged by: finite numbers, always.

A return that is not finite, because a simulation broke down or a reward overflowed, has no place in
a mean, a rank or a running scale. That member counts as the worst of its generation, as bad as the
worst of the others and not worse: how bad it is nobody knows, and a made-up number far below them
would decide every z-score.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class Fitness(NamedTuple):
    """What members are judged by.

    Attributes:
      values: [P] finite; their returns, or the worst finite one. All 0 where none is finite.
      known: [P] bool, members whose return is finite.
    """

    values: Array
    known: Array

    @property
    def mean(self) -> Array:
        """[] of the returns that are finite; not a number where none is."""
        return jnp.where(self.known, self.values, 0.0).sum() / self.known.sum(dtype=jnp.float32)

    @property
    def best(self) -> Array:
        """[] the highest return that is finite; -inf where none is."""
        return jnp.where(self.known, self.values, -jnp.inf).max()

    @property
    def lost(self) -> Array:
        """[] int32, members whose return is not finite."""
        return jnp.sum(~self.known, dtype=jnp.int32)


def fitness(returns: Array) -> Fitness:
    """What the members of a generation are judged by, from their returns [P]."""
    known = jnp.isfinite(returns)
    worst = jnp.where(known, returns, jnp.inf).min()
    worst = jnp.where(known.any(), worst, 0.0)
    return Fitness(jnp.where(known, returns, worst), known)
