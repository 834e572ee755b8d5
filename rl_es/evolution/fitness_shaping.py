"""Fitness shaping: from the returns of a generation to the weights of its members.

First `finite_fitness` replaces returns that are not finite, because a simulation broke down or a
reward overflowed: they have no place in a mean, a rank or a running scale. Such a member gets the
worst finite return of its generation, and not a lower one: nobody knows how bad it is, and a number
far below all others would decide every z-score.

Then a `Shaping` computes the weights: raw, z-score, centred ranks, or a lagged scale for persistent
segments. It is a frozen object with a state, which is empty for most. `weigh` uses the state that
earlier segments left; `observe` adds a segment to the state afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.interfaces import Segment


class Fitness(NamedTuple):
    """The fitness of a population's members.

    Attributes:
      values: [P] returns; the worst finite one for members whose return is not finite, 0 for all if
        none is.
      finite: [P] bool, members whose return is finite.
    """

    values: Array
    finite: Array

    @property
    def mean(self) -> Array:
        """Mean of the finite returns []; nan if there is none."""
        return jnp.where(self.finite, self.values, 0.0).sum() / self.finite.sum(dtype=jnp.float32)

    @property
    def best(self) -> Array:
        """Highest finite return []; -inf if there is none."""
        return jnp.where(self.finite, self.values, -jnp.inf).max()

    @property
    def nonfinite(self) -> Array:
        """Number of members whose return is not finite [], int32."""
        return jnp.sum(~self.finite, dtype=jnp.int32)


def finite_fitness(returns: Array) -> Fitness:
    """Returns the fitness of members with returns [P]."""
    finite = jnp.isfinite(returns)
    worst = jnp.where(finite, returns, jnp.inf).min()
    worst = jnp.where(finite.any(), worst, 0.0)
    return Fitness(jnp.where(finite, returns, worst), finite)


class Shaping(Protocol):
    """A map from finite returns to weights, with a state."""

    def init(self, pairs: int) -> Any:
        """Returns the state before the first segment."""
        ...

    def weigh(self, state: Any, returns: Array) -> Array:
        """Returns the weights [P] of members with finite returns [P]."""
        ...

    def observe(self, state: Any, segment: Segment) -> Any:
        """Returns the state after a segment."""
        ...

    def ready(self, state: Any) -> Array | bool:
        """Returns whether the weights may be used for an update, [] bool."""
        ...


def raw(returns: Array) -> Array:
    """Returns the returns themselves."""
    return returns


def z_score(returns: Array) -> Array:
    """Computes (f - mean f) / sqrt(var f + 1e-5) over the population.

    As in EGGROLL (arXiv 2511.16652).
    """
    deviations = returns - returns.mean()
    return deviations / jnp.sqrt(jnp.mean(jnp.square(deviations)) + 1e-5)


def centred_ranks(returns: Array) -> Array:
    """Computes ranks, scaled to [-0.5, 0.5] (Salimans et al. 2017, arXiv 1703.03864).

    Equal returns get the mean of their ranks. Any order among them would push a pair whose members
    tie in the direction of its minus member.
    """
    sorted_returns = jnp.sort(returns)
    below = jnp.searchsorted(sorted_returns, returns, side="left")
    up_to = jnp.searchsorted(sorted_returns, returns, side="right")
    rank = (below + up_to - 1).astype(returns.dtype) / 2
    return rank / (returns.shape[0] - 1) - 0.5


@dataclass(frozen=True)
class StatelessShaping:
    """A shaping by a function of one segment's returns."""

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
    windows: Array  # [] int32, number of windows in it
    ended: Array  # [H] bool, pairs that have come to the end of an episode


@dataclass(frozen=True)
class LaggedScale:
    """A shaping that divides returns by the root of a running mean of (L+ - L-)^2 / 2.

    The mean is over earlier windows only. A scale that included its own window would correlate with
    the noise that it divides, and reverse the estimate where the phases of pairs are in step. The
    mean runs over about ten cycles of `cycle` windows. No update is made before every pair has come
    to the end of an episode, or `cycle` windows are over.
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
