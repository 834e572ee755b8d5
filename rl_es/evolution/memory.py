"""What is remembered of each pair between segments, and what its returns are weighted by.

`Forget`: nothing; returns are weighted by the segment's own noise.
`Accumulate`: the sum of an episode's noises (PES, Vicol et al. 2021, arXiv 2112.13835, section 4):
each window's return is weighted by the noises of its own episode up to its own window.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.interfaces import Memory, Noise, Perturbation, Update


class PairMemory(Protocol):
    """Pure functions over what is held of the pairs, leaves [H, ...]."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory: ...

    def update(
        self, perturbation: Perturbation, memory: Memory, noise: Noise, fresh: Array, sigma: Array
    ) -> Memory:
        """Takes in a segment's unit noise; pairs that are `fresh` [H] start from nothing."""
        ...

    def contract(
        self, perturbation: Perturbation, memory: Memory, noise: Noise, weights: Array, sigma: Array
    ) -> Update:
        """Sum over pairs of weights [H] times what returns are weighted by, in units of noise."""
        ...


class Forget:
    """Returns are weighted by the segment's own noise."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        return ()

    def update(
        self, perturbation: Perturbation, memory: Memory, noise: Noise, fresh: Array, sigma: Array
    ) -> Memory:
        return ()

    def contract(
        self, perturbation: Perturbation, memory: Memory, noise: Noise, weights: Array, sigma: Array
    ) -> Update:
        return perturbation.contract(noise, weights)


class Accumulate:
    """A dense sum of an episode's scores E_t / sigma_t, which stays exact while sigma decays."""

    def init(self, perturbation: Perturbation, pairs: int) -> Memory:
        shapes = perturbation.parameters.shapes
        return jax.tree.map(lambda leaf: jnp.zeros((pairs, *leaf.shape), leaf.dtype), shapes)

    def update(
        self, perturbation: Perturbation, memory: Memory, noise: Noise, fresh: Array, sigma: Array
    ) -> Memory:
        def add(held: Array, unit: Array) -> Array:
            new = fresh.reshape(-1, *(1,) * (held.ndim - 1))
            return jnp.where(new, 0.0, held) + unit / sigma

        return jax.tree.map(add, memory, perturbation.dense(noise))

    def contract(
        self, perturbation: Perturbation, memory: Memory, noise: Noise, weights: Array, sigma: Array
    ) -> Update:
        return jax.tree.map(lambda held: sigma * jnp.tensordot(weights, held, axes=1), memory)
