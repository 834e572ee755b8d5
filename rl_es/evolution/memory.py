"""Which noise a pair is perturbed with, and what is remembered of it between segments.

`Forget`: fresh noise every segment, and nothing of it is kept.
`Hold`: one noise per episode (NRES), which is all that has to be kept.

What an episode's noises add up to (PES) is in `rl_es.evolution.accumulation`.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.evolution.keys import block_keys
from rl_es.evolution.tree import where_new
from rl_es.interfaces import Memory, Noise, Perturbation, Update


class Drawn(NamedTuple):
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
    ) -> tuple[Drawn, Memory]:
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
        self, perturbation: Perturbation, memory: Memory, drawn: Drawn, weights: Array, sigma: Array
    ) -> Update:
        """Sum over pairs of weights [H] times sigma times the score of the pair's noise."""
        ...


def draw(perturbation: Perturbation, keys: Array, fresh: Array, sigma: Array) -> Drawn:
    """Noise drawn now for every pair."""
    return Drawn(perturbation.draw(keys, fresh.shape[0]), jnp.full(fresh.shape, sigma))


def blank(perturbation: Perturbation, pairs: int) -> Noise:
    """Zeros, shaped like unit noise of H pairs."""
    keys = block_keys(jax.random.key(0), pairs)
    shapes = jax.eval_shape(lambda: perturbation.draw(keys, pairs))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


class Forget:
    """Returns are weighted by the segment's own noise."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return ()

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[Drawn, Memory]:
        return draw(perturbation, keys, fresh, sigma), ()

    def contract(
        self, perturbation: Perturbation, memory: Memory, drawn: Drawn, weights: Array, sigma: Array
    ) -> Update:
        return perturbation.contract(drawn.unit, weights)


class Hold:
    """One noise per episode: drawn when the pair's episode starts, and kept to its end.

    The noise itself is kept: of rank R that is R (M + N) numbers a matrix, and of full rank as much
    as PES accumulates. Nothing is drawn in a segment in which no episode starts. A pair keeps the
    sigma of its draw as well, so that the estimate stays exact while sigma decays.
    """

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return Drawn(blank(perturbation, pairs), jnp.ones((pairs,)))

    def ask(
        self, perturbation: Perturbation, keys: Array, memory: Memory, fresh: Array, sigma: Array
    ) -> tuple[Drawn, Memory]:
        held = jax.lax.cond(
            fresh.any(),
            lambda: where_new(fresh, draw(perturbation, keys, fresh, sigma), memory),
            lambda: memory,
        )
        return held, held

    def contract(
        self, perturbation: Perturbation, memory: Memory, drawn: Drawn, weights: Array, sigma: Array
    ) -> Update:
        return perturbation.contract(drawn.unit, weights * sigma / drawn.sigma)
