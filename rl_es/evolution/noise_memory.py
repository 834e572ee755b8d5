"""The noise that antithetic pairs are perturbed with, and what of it a pair's memory keeps.

Each return is weighted by the score of the noise that led to it. Strategies differ in that noise:

`FreshNoise`: noise is drawn for every segment, and none is kept (episodic and truncated ES).
`EpisodeNoise`: noise is drawn at the start of an episode and kept to its end (NRES).
All others: noise is drawn for every window, and a return is weighted by the sum of the scores of
its episode's windows up to its own (PES; Vicol et al. 2021, arXiv 2112.13835, section 4). The score
of a window is E_t / sigma_t, so that the sum stays exact while sigma decays.

Three forms of that sum are exact, and agree up to rounding:

`DenseAccumulator`: the sum itself. M N numbers a matrix, read and written every window.
`NoiseHistory`: the noises of the last W windows. W R (M + N) numbers a matrix, contracted as a
noise of rank W R.
`NoiseKeys`: their keys alone. Every update draws all W noises again.

`HeldB` is an ablation and not exact: an episode keeps its factors B, and the sum of its factors A
is of rank R.
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
      unit: Unit noise of the plus members, leaves [H, ...].
      sigma: [H] scale of each pair's noise.
    """

    unit: Noise
    sigma: Array


class PairMemory(Protocol):
    """Pure functions over the memory of pairs, a pytree of leaves [H, ...]."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        """Returns the memory before the first segment, in which every pair is fresh."""
        ...

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        """Returns the noise of a segment, and the memory with that noise in it.

        Args:
          perturbation: Draws the noise.
          keys: [blocks], one per block of 64 pairs. Consumed.
          memory: The memory after the last segment.
          fresh: [H] bool, pairs whose episode starts now; their memory is cleared first.
          sigma: [] scale of the noise that is drawn now.
        """
        ...

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        noise: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        """Returns the sum over pairs of weight times sigma times the score of the pair's noise.

        Args:
          perturbation: Contracts the noise.
          memory: The memory that `ask` returned.
          noise: The noise that `ask` returned.
          weights: [H].
          sigma: [] the scale of this generation.
        """
        ...


def draw_pair_noise(
    perturbation: Perturbation, keys: Array, fresh: Array, sigma: Array
) -> PairNoise:
    """Draws noise for every pair. Consumes `keys` [blocks]."""
    return PairNoise(perturbation.draw(keys, fresh.shape[0]), jnp.full(fresh.shape, sigma))


def zero_noise(perturbation: Perturbation, pairs: int) -> Noise:
    """Returns zeros, shaped like unit noise of H pairs."""
    keys = block_keys(jax.random.key(0), pairs)
    shapes = jax.eval_shape(lambda: perturbation.draw(keys, pairs))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


class FreshNoise:
    """Noise of one segment: returns are weighted by that segment's noise alone."""

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
        noise: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return perturbation.contract(noise.unit, weights)


class EpisodeNoise:
    """Noise of one episode, drawn when the pair's episode starts and kept to its end.

    NRES (Li et al. 2023, arXiv 2304.12180). The memory is the noise itself: of rank R that is
    R (M + N) numbers a matrix, of full rank as much as PES accumulates. No noise is drawn in a
    segment in which no episode starts. A pair keeps the sigma of its draw, too, so that the
    estimate stays exact while sigma decays.
    """

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return PairNoise(zero_noise(perturbation, pairs), jnp.ones((pairs,)))

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        noise = jax.lax.cond(
            fresh.any(),
            lambda: select_fresh(fresh, draw_pair_noise(perturbation, keys, fresh, sigma), memory),
            lambda: memory,
        )
        return noise, noise

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        noise: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return perturbation.contract(noise.unit, weights * sigma / noise.sigma)


class DenseAccumulator:
    """The sum of an episode's scores, leaves [H, ...] shaped like the parameters."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        shapes = perturbation.parameters.shapes
        return jax.tree.map(lambda leaf: jnp.zeros((pairs, *leaf.shape), leaf.dtype), shapes)

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        noise = draw_pair_noise(perturbation, keys, fresh, sigma)
        return noise, _add_score(memory, perturbation.dense(noise.unit), fresh, sigma)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        noise: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return jax.tree.map(lambda leaf: sigma * leaf, weighted_sum(weights, memory))


class WindowHistory(NamedTuple):
    """The last W windows of each pair, in a ring: a new one takes the place of the oldest.

    Attributes:
      noise: Unit noise, leaves [H, W, ...], or the keys of its blocks [H, W].
      inverse_sigma: [H, W]; 0 for windows before the start of the pair's episode.
      newest: [H] int32, the place of the newest window, which is the same for all pairs.
    """

    noise: Any
    inverse_sigma: Array
    newest: Array

    def push(self, noise: Any, fresh: Array, sigma: Array) -> "WindowHistory":
        """Returns the history with one more window, whose noise has leaves [H, ...]."""
        newest = (self.newest + 1) % self.inverse_sigma.shape[1]

        def write(history: Array, window: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(history, window[:, None], newest[0], 1)

        earlier = jnp.where(fresh[:, None], 0.0, self.inverse_sigma)
        inverse_sigma = write(earlier, jnp.full(fresh.shape, 1 / sigma))
        return WindowHistory(jax.tree.map(write, self.noise, noise), inverse_sigma, newest)

    def newest_first(self) -> tuple[Any, Array]:
        """Returns the noise and the inverse sigmas by window, leaves [W, H, ...]."""
        windows = self.inverse_sigma.shape[1]
        places = (self.newest[0] - jnp.arange(windows)) % windows
        return jax.tree.map(
            lambda leaf: jnp.moveaxis(leaf[:, places], 1, 0), (self.noise, self.inverse_sigma)
        )


@dataclass(frozen=True)
class NoiseHistory:
    """The noises of an episode's windows, at most W of them: exact for episodes of W windows."""

    windows: int

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        lead = (pairs, self.windows)
        noise = jax.tree.map(
            lambda leaf: jnp.zeros((*lead, *leaf.shape[1:]), leaf.dtype),
            zero_noise(perturbation, pairs),
        )
        return WindowHistory(noise, jnp.zeros(lead), jnp.zeros((pairs,), jnp.int32))

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        noise = draw_pair_noise(perturbation, keys, fresh, sigma)
        return noise, memory.push(noise.unit, fresh, sigma)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        noise: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        window_weights = (weights[:, None] * memory.inverse_sigma * sigma).reshape(-1)  # [H W]
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), memory.noise)
        return perturbation.contract(flat, window_weights)


@dataclass(frozen=True)
class NoiseKeys:
    """The keys of the noises of an episode's windows, at most W of them.

    A key belongs to a block of 64 pairs. Every pair keeps its block's key, since a memory is cut
    into chunks and shards by pairs. At the same position in the history, all pairs of a block have
    the same key.
    """

    windows: int

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        lead = (pairs, self.windows)
        keys = jax.random.split(jax.random.key(0), lead)
        return WindowHistory(keys, jnp.zeros(lead), jnp.zeros((pairs,), jnp.int32))

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        block_key = jnp.repeat(keys, PAIRS_PER_KEY)[: fresh.shape[0]]  # [H]
        noise = draw_pair_noise(perturbation, keys, fresh, sigma)
        return noise, memory.push(block_key, fresh, sigma)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        noise: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        def add(total: Update, window: tuple[Array, Array]) -> tuple[Update, None]:
            keys, inverse_sigma = window
            unit = perturbation.draw(keys[::PAIRS_PER_KEY], weights.shape[0])
            term = perturbation.contract(unit, weights * inverse_sigma * sigma)
            return jax.tree.map(jnp.add, total, term), None

        windows = memory.newest_first()
        newest = perturbation.contract(noise.unit, weights * windows[1][0] * sigma)
        earlier = jax.tree.map(lambda leaf: leaf[1:], windows)
        return jax.lax.scan(add, newest, earlier)[0]


class HeldB:
    """The factors of an episode's low-rank noise: B is held, the drawn A are summed.

    An ablation. The sum stays of rank R, but given B the noises of an episode's windows are not
    independent, so that the estimate is exact for linear and quadratic returns only.
    """

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return zero_noise(perturbation, pairs)

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[PairNoise, Memory]:
        def hold_b(unit: Any, memory: Any) -> Any:
            if not isinstance(unit, Factors):
                return unit
            return Factors(unit.a, select_fresh(fresh, unit.b, memory.b))

        def accumulate(memory: Any, unit: Any) -> Any:
            if not isinstance(unit, Factors):
                return _add_score(memory, unit, fresh, sigma)
            return Factors(_add_score(memory.a, unit.a, fresh, sigma), unit.b)

        unit, scale = draw_pair_noise(perturbation, keys, fresh, sigma)
        unit = jax.tree.map(hold_b, unit, memory, is_leaf=_is_factors)
        return PairNoise(unit, scale), jax.tree.map(accumulate, memory, unit, is_leaf=_is_factors)

    def contract(
        self,
        perturbation: Perturbation,
        memory: Memory,
        noise: PairNoise,
        weights: Array,
        sigma: Array,
    ) -> Update:
        return perturbation.contract(memory, weights * sigma)


def _is_factors(leaf: Any) -> bool:
    """Returns True for low-rank noise, which is a leaf here."""
    return isinstance(leaf, Factors)


def _add_score(total: Any, unit: Any, fresh: Array, sigma: Array) -> Any:
    """Adds unit / sigma to leaves [H, ...], which start at zero where `fresh` [H]."""
    start = select_fresh(fresh, jax.tree.map(jnp.zeros_like, total), total)
    return jax.tree.map(lambda a, b: a + b / sigma, start, unit)


# Ranks W R at which contracting a history takes as long as reading and writing the sum, measured on
# CPU by `python -m benchmarks.accumulators`: 65 for 64 x 64 matrices, 100 for 256 x 256.
_BREAK_EVEN_RANK = 80


def cheapest_accumulator(perturbation: Perturbation, windows: int | None) -> Accumulator:
    """Returns the exact form that takes the least time a window.

    A history of few ranks is the cheapest. Full-rank noise is as large as its sum, and episodes
    without a known number of windows have no bounded history: both are accumulated densely. Keys
    take the least memory, but are never the fastest; a sweep file can ask for them.
    """
    if windows is None or not isinstance(perturbation, LowRank):
        return "dense"
    return "list" if windows * perturbation.rank <= _BREAK_EVEN_RANK else "dense"


def make_accumulator(
    form: Accumulator, perturbation: Perturbation, windows: int | None
) -> PairMemory:
    """Returns the memory that accumulates an episode's noise.

    Args:
      form: The form that a sweep file states.
      perturbation: Draws the noise.
      windows: Most windows of an episode (W); None where episodes never end.

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
