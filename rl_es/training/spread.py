"""How a population is spread: over the devices of a mesh axis, and in chunks on each device.

Neither changes what is computed: keys belong to blocks of 64 pairs, wherever a block is evaluated,
so that results differ by rounding only. A device, and a chunk, holds whole blocks of pairs.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.evolution.keys import PAIRS_PER_KEY, block_keys


@dataclass(frozen=True)
class Spread:
    """Shards of a population and the chunks of each; by default all of it at once.

    Attributes:
      shards: devices that hold a part of the population.
      chunks: parts of a shard that are evaluated one after the other. The noise is then drawn
        twice a generation, for the rollout and for the update, and held for one chunk only.
      axis: name of the mesh axis over the shards; None where there is one.
    """

    shards: int = 1
    chunks: int = 1
    axis: str | None = None

    def local(self, pairs: int) -> int:
        """How many of H pairs a device holds."""
        return pairs // self.shards

    def keys(self, key: Array, pairs: int) -> Array:
        """[blocks] keys of this device's blocks of all H `pairs`. Consumes `key`."""
        local = self.local(pairs)
        first = jax.lax.axis_index(self.axis) * (local // PAIRS_PER_KEY) if self.axis else 0
        return block_keys(key, local, first)

    def cut(self, tree: Any) -> Any:
        """Leaves [n, ...] as [chunks, n / chunks, ...]."""

        def parts(leaf: Array) -> Array:  # sizes written out: -1 cannot be told of an empty leaf
            return leaf.reshape(self.chunks, leaf.shape[0] // self.chunks, *leaf.shape[1:])

        return jax.tree.map(parts, tree)

    def join(self, tree: Any) -> Any:
        """The inverse of `cut`."""
        return jax.tree.map(
            lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]), tree
        )

    def gather(self, tree: Any) -> Any:
        """Leaves [n, ...] of this device as those of all devices, in order."""
        if self.axis is None:
            return tree
        return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, self.axis, tiled=True), tree)

    def own(self, gathered: Array) -> Array:
        """This device's part [n, ...] of what was gathered."""
        if self.axis is None:
            return gathered
        size = gathered.shape[0] // self.shards
        first = jax.lax.axis_index(self.axis) * size
        return jax.lax.dynamic_slice_in_dim(gathered, first, size)

    def total(self, tree: Any) -> Any:
        """Sums over devices."""
        return tree if self.axis is None else jax.lax.psum(tree, self.axis)


ALL_AT_ONCE = Spread()


def fewest_chunks(pairs: int, most: int) -> int:
    """The fewest equal chunks of H pairs that hold at most `most` pairs each, or one block."""
    if pairs % PAIRS_PER_KEY:
        return 1
    blocks = pairs // PAIRS_PER_KEY
    return next(n for n in range(1, blocks + 1) if blocks % n == 0
                and (pairs // n <= most or n == blocks))  # fmt: skip


def sum_chunks(tree: Any) -> Any:
    """Sums of leaves [chunks, ...] over chunks, each in its own type."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0, dtype=leaf.dtype), tree)
