"""How a population is spread: over the devices of a mesh axis, and in chunks on each device.

Neither changes what is computed: keys belong to blocks of 64 pairs, wherever a block is evaluated,
so that results differ by rounding only. A device, and a chunk, holds whole blocks of pairs.

Where a group's runs lie: its lanes over one mesh axis of devices, populations over the other.

Runs share nothing, so that devices of the first axis never talk to each other. Devices of the
second hold whole blocks of antithetic pairs each: returns are gathered and updates summed.
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


@dataclass(frozen=True)
class PopulationSharding:
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


UNSHARDED = PopulationSharding()


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


RUNS, POPULATION = "runs", "population"

Prefix = Any  # a pytree prefix with bool leaves: whether arrays lead with the pair axis


@dataclass(frozen=True)
class Placement:
    """How many devices share a group's runs, and how many share each population.

    Attributes:
      runs: devices over which the lanes are spread.
      shards: devices over which each population is spread.
      chunks: parts of a shard that are evaluated one after the other.
    """

    runs: int = 1
    shards: int = 1
    chunks: int = 1

    @property
    def devices(self) -> int:
        """How many devices are used."""
        return self.runs * self.shards

    @property
    def spread(self) -> PopulationSharding:
        """What a learner is told of it."""
        return PopulationSharding(self.shards, self.chunks, POPULATION if self.shards > 1 else None)

    @cached_property
    def mesh(self) -> Mesh:
        """The first devices, equally many of each process, [runs, shards]."""
        own: dict[int, list[Any]] = {}
        for device in jax.devices():
            own.setdefault(device.process_index, []).append(device)
        each = max(1, self.devices // len(own))
        chosen = [device for process in sorted(own) for device in own[process][:each]]
        devices = np.asarray(chosen[: self.devices]).reshape(self.runs, self.shards)
        return Mesh(devices, (RUNS, POPULATION), axis_types=(AxisType.Auto, AxisType.Auto))

    def specs(self, pairwise: Prefix) -> Any:
        """Specs of arrays with a leading lane axis."""
        return jax.tree.map(
            lambda pairs: PartitionSpec(RUNS, POPULATION) if pairs else PartitionSpec(RUNS),
            pairwise,
        )

    def over(self, function: Callable[..., Any], inputs: Any, outputs: Any) -> Callable[..., Any]:
        """A function of one device's lanes and pairs, as one of all.

        Args:
          function: of arrays with a leading lane axis.
          inputs: one prefix per argument.
          outputs: the prefix of what it returns.
        """
        if self.devices == 1:
            return function
        # What is gathered or summed is the same on all devices; that is not seen by the check.
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=self.specs(inputs),
            out_specs=self.specs(outputs),
            check_vma=False,
        )

    def placed(self, shapes: Any, pairwise: Prefix) -> Any:
        """Shapes of arrays with the place of each, for compilation."""
        if self.devices == 1:
            return shapes

        def place(pairs: bool, part: Any) -> Any:
            sharding = NamedSharding(self.mesh, self.specs(pairs))
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), part
            )

        return jax.tree.map(place, pairwise, shapes)

    def fed(self, compiled: Callable[..., Any], *shapes: Any) -> Callable[..., Any]:
        """A compiled function that takes host arrays also where processes hold parts of them.

        Args:
          compiled: of arrays that lie as `shapes` say.
          shapes: one pytree an argument, as `placed` made it.
        """
        if self.devices == 1 or len({d.process_index for d in self.mesh.devices.flat}) == 1:
            return compiled

        def place(leaf: Any, shape: Any) -> jax.Array:
            if isinstance(leaf, jax.Array):
                return leaf
            whole = np.asarray(leaf)
            return jax.make_array_from_callback(
                whole.shape, shape.sharding, lambda index: whole[index]
            )

        return lambda *args: compiled(*jax.tree.map(place, args, shapes))


ONE_DEVICE = Placement()


def to_host(tree: Any) -> Any:
    """The whole of each array as NumPy's, also where other processes hold parts of it.

    All processes must ask for it: each sends its parts to all.
    """

    def fetch(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            if not leaf.is_fully_replicated:
                return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
            return np.asarray(leaf.addressable_data(0))
        return np.asarray(leaf)

    return jax.tree.map(fetch, tree)


def shard_shapes(function: Callable[..., Any], *shapes: Any) -> Any:
    """What a shard's function gives, as shapes with a leading axis of one shard.

    Outside a mesh a function that asks which shard it is cannot be traced: one shard stands for it.
    """
    shard = jax.vmap(function, in_axes=None, axis_name=POPULATION, axis_size=1)
    return jax.eval_shape(shard, *shapes)
