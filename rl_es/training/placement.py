"""Where a group's runs lie: its lanes over one mesh axis of devices, populations over the other.

Runs share nothing, so that devices of the first axis never talk to each other. Devices of the
second hold whole blocks of antithetic pairs each: returns are gathered and updates summed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rl_es.training.spread import Spread

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
    def spread(self) -> Spread:
        """What a learner is told of it."""
        return Spread(self.shards, self.chunks, POPULATION if self.shards > 1 else None)

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


def on_host(tree: Any) -> Any:
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


def kinds(function: Callable[..., Any], *shapes: Any) -> Any:
    """What a shard's function gives, as shapes with a leading axis of one shard.

    Outside a mesh a function that asks which shard it is cannot be traced: one shard stands for it.
    """
    shard = jax.vmap(function, in_axes=None, axis_name=POPULATION, axis_size=1)
    return jax.eval_shape(shard, *shapes)
