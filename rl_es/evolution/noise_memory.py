"""Which noise a pair is perturbed with, and what is remembered of it between segments.

`FreshNoise`: fresh noise every segment, and nothing of it is kept.
`EpisodeNoise`: one noise per episode (NRES), which is all that has to be kept.

What an episode's noises add up to (PES) is in `rl_es.evolution.noise_memory`.

The sum of an episode's noises, which PES weights returns by, in the forms that it may have.

Each window's return is weighted by the scores of its own episode up to its own window (Vicol et al.
2021, arXiv 2112.13835, section 4). A window's score is E_t / sigma_t, so that the sum stays exact
while sigma decays. Three exact forms:

`Dense`: the sum, written out; M N numbers a matrix, read and written every window.
`Listed`: the noises of the last W windows; W R (M + N) numbers, contracted as W R ranks.
`NoiseKeys`: their keys; nothing but these is kept, and W noises are drawn again for each update.

`HeldB` is not exact: each episode keeps its B, so that sum_t A_t B^T / sqrt(R) stays of rank R.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.errors import UserError
from rl_es.evolution.config import Accumulator
from rl_es.evolution.perturbation import (
    PAIRS_PER_KEY,
    Factors,
    LowRank,
    block_keys,
    select_fresh,
    weighted_sum,
)
from rl_es.interfaces import Memory, Noise, Perturbation, Update


class PairNoise(NamedTuple):
    """The noise that pairs are perturbed with.

    Attributes:
      unit: unit noise of the plus members, leaves [H, ...].
      sigma: [H] what it is multiplied by.
    """

    unit: Noise
    sigma: Array


class PairMemory(Protocol):
    """Pure functions over what is held of the pairs, leaves [H, ...]."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        """What is held before the first segment, in which every pair is fresh."""
        ...

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        """The noise of a segment, and what to keep.

        Args:
          perturbation: draws the noise.
          keys: [blocks], one per block of 64 pairs. Consumed.
          memory: as it was left.
          fresh: [H] bool, pairs whose episode starts now, and of which nothing is remembered.
          sigma: [] the scale of noise that is drawn now.
        """
        ...

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        drawn: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        """Sum over pairs of weights [H] times sigma times the score of the pair's noise."""
        ...


def draw_pair_noise(
    perturbation: Perturbation, keys: Array, fresh: Array, sigma: Array
) -> PairNoise:
    """Noise drawn now for every pair."""
    return PairNoise(perturbation.draw(keys, fresh.shape[0]), jnp.full(fresh.shape, sigma))


def zero_noise(perturbation: Perturbation, pairs: int) -> Noise:
    """Zeros, shaped like unit noise of H pairs."""
    keys = block_keys(jax.random.key(0), pairs)
    shapes = jax.eval_shape(lambda: perturbation.draw(keys, pairs))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


class FreshNoise:
    """Returns are weighted by the segment's own noise."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return ()

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        return draw_pair_noise(perturbation, keys, fresh, sigma), ()

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        drawn: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return perturbation.contract(drawn.unit, weights)


class EpisodeNoise:
    """One noise per episode: drawn when the pair's episode starts, and kept to its end.

    The noise itself is kept: of rank R that is R (M + N) numbers a matrix, and of full rank as much
    as PES accumulates. Nothing is drawn in a segment in which no episode starts. A pair keeps the
    sigma of its draw as well, so that the estimate stays exact while sigma decays.
    """

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return PairNoise(zero_noise(perturbation, pairs), jnp.ones((pairs,)))

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        held = jax.lax.cond(
            fresh.any(),
            lambda: select_fresh(fresh, draw_pair_noise(perturbation, keys, fresh, sigma), memory),
            lambda: memory,
        )
        return held, held

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        drawn: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return perturbation.contract(drawn.unit, weights * sigma / drawn.sigma)


class DenseAccumulator:
    """The sum itself."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        full = perturbation.parameters.shapes
        return jax.tree.map(lambda leaf: jnp.zeros((pairs, *leaf.shape), leaf.dtype), full)

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        drawn = draw_pair_noise(perturbation, keys, fresh, sigma)
        return drawn, _added(memory, perturbation.dense(drawn.unit), fresh, sigma)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        drawn: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return jax.tree.map(lambda held: sigma * held, weighted_sum(weights, memory))


class WindowHistory(NamedTuple):
    """What is kept of the last W windows, newest first.

    Attributes:
      noise: leaves [H, W, ...], or the noise's keys [H, W].
      inverse_sigma: [H, W]; 0 for windows before the start of the pair's episode.
    """

    noise: Any
    inverse_sigma: Array

    def followed(self, new: Any, fresh: Array, sigma: Array) -> "WindowHistory":
        """The windows after one more."""

        def shift(held: Array, new: Array) -> Array:
            return jnp.concatenate([new[:, None], held[:, :-1]], axis=1)

        earlier = jnp.where(fresh[:, None], 0.0, self.inverse_sigma)
        inverse = shift(earlier, jnp.full(fresh.shape, 1 / sigma))
        return WindowHistory(jax.tree.map(shift, self.noise, new), inverse)


@dataclass(frozen=True)
class NoiseHistory:
    """The noises of an episode's windows, at most W of them."""

    windows: int

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        lead = (pairs, self.windows)
        one = zero_noise(perturbation, pairs)
        noise = jax.tree.map(lambda leaf: jnp.zeros((*lead, *leaf.shape[1:]), leaf.dtype), one)
        return WindowHistory(noise, jnp.zeros(lead))

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        drawn = draw_pair_noise(perturbation, keys, fresh, sigma)
        return drawn, memory.followed(drawn.unit, fresh, sigma)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        drawn: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        each = (weights[:, None] * memory.inverse_sigma * sigma).reshape(-1)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), memory.noise)
        return perturbation.contract(flat, each)


@dataclass(frozen=True)
class NoiseKeys:
    """The keys of an episode's windows, at most W of them.

    A key is of a block of 64 pairs; each pair keeps its block's, since what is remembered is cut by
    pairs. Counted from the newest, the windows of a block's pairs were drawn together.
    """

    windows: int

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        lead = (pairs, self.windows)
        return WindowHistory(jax.random.split(jax.random.key(0), lead), jnp.zeros(lead))

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        own = jnp.repeat(keys, PAIRS_PER_KEY)[: fresh.shape[0]]
        drawn = draw_pair_noise(perturbation, keys, fresh, sigma)
        return drawn, memory.followed(own, fresh, sigma)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        drawn: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        def add(total: Update, window: tuple[Array, Array]) -> tuple[Update, None]:
            keys, inverse_sigma = window
            unit = perturbation.draw(keys[::PAIRS_PER_KEY], weights.shape[0])
            term = perturbation.contract(unit, weights * inverse_sigma * sigma)
            return jax.tree.map(jnp.add, total, term), None

        newest = perturbation.contract(drawn.unit, weights * memory.inverse_sigma[:, 0] * sigma)
        earlier = memory.noise.T[1:], memory.inverse_sigma.T[1:]
        return jax.lax.scan(add, newest, earlier)[0]


class HeldB:
    """Each episode's factors B are held, and only its factors A are drawn anew and added up.

    An ablation: the sum stays of rank R, but the noises of an episode's windows are no longer
    independent given B, so that the estimate is exact only for linear and quadratic returns.
    """

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return zero_noise(perturbation, pairs)

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        def with_held(new: Any, held: Any) -> Any:
            if not isinstance(new, Factors):
                return new
            return Factors(new.a, select_fresh(fresh, new.b, held.b))

        def summed(held: Any, new: Any) -> Any:
            if not isinstance(new, Factors):
                return _added(held, new, fresh, sigma)
            return Factors(_added(held.a, new.a, fresh, sigma), new.b)

        drawn = draw_pair_noise(perturbation, keys, fresh, sigma)
        unit = jax.tree.map(with_held, drawn.unit, memory, is_leaf=_is_factors)
        return PairNoise(unit, drawn.sigma), jax.tree.map(summed, memory, unit, is_leaf=_is_factors)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        drawn: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return perturbation.contract(memory, weights * sigma)


def _is_factors(leaf: Any) -> bool:
    return isinstance(leaf, Factors)


def _added(held: Any, new: Any, fresh: Array, sigma: Array) -> Any:
    """What is held, or nothing where `fresh` [H], and new / sigma."""
    start = select_fresh(fresh, jax.tree.map(jnp.zeros_like, held), held)
    return jax.tree.map(lambda a, b: a + b / sigma, start, new)


# Ranks in the list that take as long as reading and writing the sum does, as measured on CPU by
# `python -m benchmarks.accumulators`: about 65 for 64 x 64 matrices, 100 for 256 x 256.
_BREAK_EVEN = 80


def cheapest_accumulator(perturbation: Perturbation, windows: int | None) -> Accumulator:
    """The exact form that takes the least time a window: a list of few ranks, else the sum.

    Full-rank noise is as large as its sum, and episodes without a known number of windows can be
    listed nowhere: both are accumulated densely. Keys are never the fastest (they draw each noise
    again for each window of its episode), but keep next to nothing; they are there to be asked for.
    """
    if windows is None or not isinstance(perturbation, LowRank):
        return "dense"
    return "list" if windows * perturbation.rank <= _BREAK_EVEN else "dense"


def make_accumulator(
    form: Accumulator, perturbation: Perturbation, windows: int | None
) -> PairMemory:
    """What keeps an episode's sum.

    Args:
      form: as a sweep file states it.
      perturbation: whose noises are summed.
      windows: most windows of an episode; None where it never ends.

    Raises:
      UserError: the form does not fit the noise or the episodes.
    """
    if form == "auto":
        form = cheapest_accumulator(perturbation, windows)
    if form == "dense":
        return DenseAccumulator()
    if form == "held-B":
        if not isinstance(perturbation, LowRank):
            raise UserError("accumulator: held-B holds factors of low-rank noise; give a rank")
        return HeldB()
    if windows is None:
        raise UserError(f"accumulator: {form} needs episodes that end; choose dense")
    return NoiseHistory(windows) if form == "list" else NoiseKeys(windows)
