"""Places runs and populations on devices, and cuts populations into chunks.

A group of runs lies on a mesh of two axes. Its lanes (runs that share a call) are spread over the
axis `runs`; runs share nothing, so that devices of this axis never communicate. Each population is
spread over the axis `population`: a device holds whole blocks of antithetic pairs, returns are
gathered and updates are summed over devices. Each device evaluates its pairs in one or more chunks.

`Placement` describes the mesh and moves whole programs onto it. `PopulationSharding` is what a
learner sees of it from within one device.

Neither changes what is computed, except for the order of sums: random keys belong to blocks of 64
pairs, wherever a block is evaluated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rl_es.evolution.perturbation import PAIRS_PER_KEY, block_keys

RUNS, POPULATION = "runs", "population"  # the axes of the mesh

Prefix = Any  # a pytree prefix with bool leaves: True for arrays that lead with the pair axis


@dataclass(frozen=True)
class PopulationSharding:
    """The shards of a population and the chunks of each shard; by default one of each.

    Attributes:
      shards: number of devices that share the population.
      chunks: number of parts of a shard that are evaluated one after the other. Noise is then drawn
        twice a generation, for the rollout and for the update, and held for one chunk at a time.
      axis: name of the mesh axis over the shards; None with one shard.
    """

    shards: int = 1
    chunks: int = 1
    axis: str | None = None

    def local_pairs(self, pairs: int) -> int:
        """Returns how many of H `pairs` a device holds."""
        return pairs // self.shards

    def local_keys(self, key: Array, pairs: int) -> Array:
        """Returns the keys [blocks] of this device's blocks of all H `pairs`. Consumes `key`."""
        local = self.local_pairs(pairs)
        first = jax.lax.axis_index(self.axis) * (local // PAIRS_PER_KEY) if self.axis else 0
        return block_keys(key, local, first)

    def local_slice(self, array: Array) -> Array:
        """Returns this device's part [n, ...] of an array [shards n, ...]."""
        if self.axis is None:
            return array
        size = array.shape[0] // self.shards
        first = jax.lax.axis_index(self.axis) * size
        return jax.lax.dynamic_slice_in_dim(array, first, size)

    def gather(self, tree: Any) -> Any:
        """Concatenates leaves [n, ...] of all devices, in order: [shards n, ...]."""
        if self.axis is None:
            return tree
        return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, self.axis, tiled=True), tree)

    def sum_shards(self, tree: Any) -> Any:
        """Sums leaves over devices."""
        return tree if self.axis is None else jax.lax.psum(tree, self.axis)

    def split_chunks(self, tree: Any) -> Any:
        """Reshapes leaves [n, ...] to [chunks, n / chunks, ...]."""

        def split(leaf: Array) -> Array:
            # Sizes are written out: a size of -1 cannot be inferred for an empty leaf.
            return leaf.reshape(self.chunks, leaf.shape[0] // self.chunks, *leaf.shape[1:])

        return jax.tree.map(split, tree)

    def join_chunks(self, tree: Any) -> Any:
        """Reshapes leaves [chunks, n / chunks, ...] to [n, ...]."""
        return jax.tree.map(
            lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]), tree
        )


UNSHARDED = PopulationSharding()


def sum_chunks(tree: Any) -> Any:
    """Sums leaves [chunks, ...] over chunks, each in its own dtype."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0, dtype=leaf.dtype), tree)


def fewest_chunks(pairs: int, most: int) -> int:
    """Returns the fewest equal chunks of H pairs of at most `most` pairs, or of one block, each."""
    if pairs % PAIRS_PER_KEY:
        return 1
    blocks = pairs // PAIRS_PER_KEY
    return next(n for n in range(1, blocks + 1) if blocks % n == 0
                and (pairs // n <= most or n == blocks))  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """The mesh of a group's devices, [runs, shards], and the chunks of each shard.

    Attributes:
      runs: number of devices that share the group's lanes.
      shards: number of devices that share each population.
      chunks: number of parts of a shard that are evaluated one after the other.
    """

    runs: int = 1
    shards: int = 1
    chunks: int = 1

    @property
    def devices(self) -> int:
        """Number of devices of the mesh."""
        return self.runs * self.shards

    @property
    def population(self) -> PopulationSharding:
        """The sharding of each population, for the learner."""
        return PopulationSharding(self.shards, self.chunks, POPULATION if self.shards > 1 else None)

    @cached_property
    def mesh(self) -> Mesh:
        """The first devices, equally many of each process, [runs, shards]."""
        by_process: dict[int, list[Any]] = {}
        for device in jax.devices():
            by_process.setdefault(device.process_index, []).append(device)
        count = max(1, self.devices // len(by_process))
        devices = [
            device for process in sorted(by_process) for device in by_process[process][:count]
        ]
        array = np.asarray(devices[: self.devices]).reshape(self.runs, self.shards)
        return Mesh(array, (RUNS, POPULATION), axis_types=(AxisType.Auto, AxisType.Auto))

    def partition_specs(self, pairwise: Prefix) -> Any:
        """Returns the specs of arrays that lead with the lane axis, then perhaps the pair axis."""
        return jax.tree.map(
            lambda pairs: PartitionSpec(RUNS, POPULATION) if pairs else PartitionSpec(RUNS),
            pairwise,
        )

    def shard_map(
        self, function: Callable[..., Any], inputs: Any, outputs: Any
    ) -> Callable[..., Any]:
        """Maps a function of one device's lanes and pairs over the mesh.

        Args:
          function: of arrays with a leading lane axis.
          inputs: one `Prefix` per argument.
          outputs: the `Prefix` of the result.
        """
        if self.devices == 1:
            return function
        # What is gathered or summed is equal on all devices, which the check cannot see.
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=self.partition_specs(inputs),
            out_specs=self.partition_specs(outputs),
            check_vma=False,
        )

    def with_shardings(self, shapes: Any, pairwise: Prefix) -> Any:
        """Adds to shapes of arrays where on the mesh each array lies, for compilation."""
        if self.devices == 1:
            return shapes

        def add(pairs: bool, part: Any) -> Any:
            sharding = NamedSharding(self.mesh, self.partition_specs(pairs))
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), part
            )

        return jax.tree.map(add, pairwise, shapes)

    def accept_host_arrays(self, program: Callable[..., Any], *shapes: Any) -> Callable[..., Any]:
        """Lets a compiled program take host arrays, also on a mesh of several processes.

        Args:
          program: compiled for arguments of these shapes.
          shapes: one pytree per argument, from `with_shardings`.
        """
        if self.devices == 1 or len({d.process_index for d in self.mesh.devices.flat}) == 1:
            return program

        def put(leaf: Any, shape: Any) -> jax.Array:
            if isinstance(leaf, jax.Array):
                return leaf
            array = np.asarray(leaf)
            return jax.make_array_from_callback(
                array.shape, shape.sharding, lambda index: array[index]
            )

        return lambda *args: program(*jax.tree.map(put, args, shapes))


ONE_DEVICE = Placement()


def to_host(tree: Any) -> Any:
    """Copies arrays to NumPy arrays, also those of which other processes hold parts.

    All processes must call it: each sends its parts to all. The copies from an accelerator are
    started together, so that they wait for it once and not array by array.
    """
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
            leaf.copy_to_host_async()

    def fetch(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            if not leaf.is_fully_replicated:
                return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
            return np.asarray(leaf.addressable_data(0))
        return np.asarray(leaf)

    return jax.tree.map(fetch, tree)


def shard_shapes(function: Callable[..., Any], *shapes: Any) -> Any:
    """Returns the shapes of what a shard's function returns, with a leading axis of one shard.

    A function that reads the index of its shard can only be traced within a mapped axis: here an
    axis of one shard.
    """
    shard = jax.vmap(function, in_axes=None, axis_name=POPULATION, axis_size=1)
    return jax.eval_shape(shard, *shapes)
