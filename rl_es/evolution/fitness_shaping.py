"""From returns to weights: raw, z-score, centred ranks, and a lagged scale for persistent segments.

Returns are finite here, as `rl_es.evolution.fitness_shaping` makes them.

Each is a frozen object with a state of its own (most carry none): `weigh` uses only what was known
before, `observe` is told the segment afterwards.

From the returns of a generation to what its members are judged by: finite numbers, always.

A return that is not finite, because a simulation broke down or a reward overflowed, has no place in
a mean, a rank or a running scale. That member counts as the worst of its generation, as bad as the
worst of the others and not worse: how bad it is nobody knows, and a made-up number far below them
would decide every z-score.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.interfaces import Segment


class Shaping(Protocol):
    """From returns to weights, with a state of its own."""

    def init(self, pairs: int) -> Any: ...

    def weigh(self, state: Any, returns: Array) -> Array:
        """[P] returns -> [P] weights."""
        ...

    def observe(self, state: Any, segment: Segment) -> Any: ...

    def ready(self, state: Any) -> Array | bool:
        """Whether its weights may be used for an update."""
        ...


def raw(returns: Array) -> Array:
    """Returns as they are."""
    return returns


def z_score(returns: Array) -> Array:
    """(f - mean f) / sqrt(var f + 1e-5) over the population (EGGROLL, arXiv 2511.16652)."""
    centred = returns - returns.mean()
    return centred / jnp.sqrt(jnp.mean(jnp.square(centred)) + 1e-5)


def centred_ranks(returns: Array) -> Array:
    """Ranks spread over [-0.5, 0.5] (Salimans et al. 2017, arXiv 1703.03864).

    Equal returns get equal ranks, their mean: an order among them would push a pair whose members
    tie in the direction of its minus member.
    """
    ordered = jnp.sort(returns)
    below = jnp.searchsorted(ordered, returns, side="left")
    up_to = jnp.searchsorted(ordered, returns, side="right")
    rank = (below + up_to - 1).astype(returns.dtype) / 2
    return rank / (returns.shape[0] - 1) - 0.5


@dataclass(frozen=True)
class StatelessShaping:
    """A shaping that looks at one segment only."""

    function: Callable[[Array], Array]

    def init(self, pairs: int) -> tuple[()]:
        return ()

    def weigh(self, state: tuple[()], returns: Array) -> Array:
        return self.function(returns)

    def observe(self, state: tuple[()], segment: Segment) -> tuple[()]:
        return state

    def ready(self, state: tuple[()]) -> bool:
        return True


@struct.dataclass
class ReturnScale:
    """The state of a `LaggedScale`."""

    mean_square: Array  # [] running mean over windows of (L+ - L-)^2 / 2
    windows: Array  # [] int32, windows seen
    ended: Array  # [H] bool, pairs that have had an end of an episode


@dataclass(frozen=True)
class LaggedScale:
    """Returns over the root of a running mean of (L+ - L-)^2 / 2 from earlier windows only.

    A scale that looked at its own window would correlate with the noise it divides, and reverse the
    estimate where phases are in step. The mean runs over about ten cycles of `cycle` windows; it is
    filled during the first, in which no update is made: until every pair has come to the end of an
    episode, or `cycle` windows are over.
    """

    cycle: int

    def init(self, pairs: int) -> ReturnScale:
        return ReturnScale(jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((pairs,), bool))

    def weigh(self, state: ReturnScale, returns: Array) -> Array:
        return returns / jnp.sqrt(state.mean_square + 1e-8)

    def observe(self, state: ReturnScale, segment: Segment) -> ReturnScale:
        pairs = segment.returns.reshape(-1, 2)
        square = jnp.mean(jnp.square(pairs[:, 0] - pairs[:, 1])) / 2
        windows = state.windows + 1
        rate = jnp.maximum(1 / windows.astype(jnp.float32), 1 / (10 * self.cycle))
        mean_square = state.mean_square + rate * (square - state.mean_square)
        return ReturnScale(mean_square, windows, state.ended | segment.ended)

    def ready(self, state: ReturnScale) -> Array:
        return (state.windows >= self.cycle) | state.ended.all()


STATELESS_SHAPINGS = {
    "raw": StatelessShaping(raw),
    "z_score": StatelessShaping(z_score),
    "centred_ranks": StatelessShaping(centred_ranks),
}


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


def finite_fitness(returns: Array) -> Fitness:
    """What the members of a generation are judged by, from their returns [P]."""
    known = jnp.isfinite(returns)
    worst = jnp.where(known, returns, jnp.inf).min()
    worst = jnp.where(known.any(), worst, 0.0)
    return Fitness(jnp.where(known, returns, worst), known)
