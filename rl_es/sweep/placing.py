"""Which devices a group's runs take, how many share a call, and in how many chunks they are run.

Nothing here changes a result by more than rounding, so none of it is part of a run's identity.
"""

import math
from dataclasses import dataclass

import jax

from rl_es.errors import UserError
from rl_es.evolution.keys import PAIRS_PER_KEY
from rl_es.training import together
from rl_es.training.footprint import PairBytes, device_memory
from rl_es.training.placement import Placement
from rl_es.training.spread import fewest_chunks

MOST_DEVICES = 4096
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Resources:
    """What a command may use; None: as much as the platform likes.

    Attributes:
      devices: how many of each process; by default one on CPU, all elsewhere and where processes
        are joined.
      lanes: runs of a group that share a call of its program, over all devices; at least one a
        device where devices share the runs.
      population_chunk: most members that a device evaluates at once, of each run.
      memory: bytes that a device may fill; by default half of what it has.
      checkpoint_seconds: after which what runs is saved once more.
    """

    devices: int | None = None
    lanes: int | None = None
    population_chunk: int | None = None
    memory: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        least = {"devices": 1, "lanes": 1, "population_chunk": 2 * PAIRS_PER_KEY}
        if self.devices is not None and self.devices > MOST_DEVICES:
            raise UserError(f"--devices: must be at most {MOST_DEVICES}; is {self.devices}")
        if not self.checkpoint_seconds > 0:
            raise UserError(
                f"--checkpoint: must be above 0 seconds; is {self.checkpoint_seconds:g}"
            )
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                option = name.replace("_", "-")
                why = ", the members that share a random key" if low > 1 else ""
                raise UserError(f"--{option}: must be at least {low}{why}; is {value}")


ANY_RESOURCES = Resources()


@dataclass(frozen=True)
class Place:
    """How a group is run.

    Attributes:
      lanes: runs that share a call, over all devices.
      placement: devices and chunks.
      whole: estimate of what a device would need if it evaluated its pairs at once, in bytes.
      needed: what it needs as it is placed.
      budget: bytes that a device may fill.
      asked: whether the chunks were asked for, rather than chosen to fit.
    """

    lanes: int
    placement: Placement
    whole: int
    needed: int
    budget: int
    asked: bool


def place(pairs: int | None, runs: int, pair_bytes: PairBytes, resources: Resources) -> Place:
    """Chooses for a group.

    Devices go to the population, as far as whole blocks of pairs divide among them, and to the
    runs, so that most of them are used, equally many of each process. On CPU a device calls its
    runs in turn: vmapping them was measured to be no faster (`sweeps/speed/lanes.yaml`). Elsewhere
    as many share a call as fit in memory.

    Args:
      pairs: of the population (H); None where there is nothing to share.
      runs: of the group.
      pair_bytes: of `rl_es.training.footprint`.
      resources: what may be used.

    Raises:
      UserError: there are not so many devices, or not a part for each process, or a population
        that has to be cut cannot be.
    """
    asked = pairs is not None and resources.population_chunk is not None
    pairs = pairs or 1
    if asked and pairs % PAIRS_PER_KEY:
        raise UserError(
            f"--population-chunk: a population of {2 * pairs} cannot be cut; it must be a multiple "
            f"of {2 * PAIRS_PER_KEY}, the members that share a random key"
        )
    processes, there = jax.process_count(), jax.local_device_count()
    several = jax.default_backend() != "cpu" or processes > 1
    own = resources.devices or (there if several else 1)
    if own > there:
        raise UserError(f"--devices: must be at most {there}, those that jax finds; is {own}")
    devices = own * processes
    over_runs, shards = share(pairs, runs, devices, processes)
    budget = resources.memory or int(together.gather([device_memory(devices)]).min())
    own_pairs = pairs // shards
    most_lanes = math.ceil(runs / over_runs)
    if resources.lanes is not None:
        lanes = min(math.ceil(resources.lanes / over_runs), most_lanes)
    elif jax.default_backend() == "cpu":
        lanes = 1
    else:
        lanes = min(most_lanes, max(1, budget // (own_pairs * sum(pair_bytes))))
    held = lanes * own_pairs * pair_bytes.held
    most_pairs = max(1, (budget - held) // (lanes * pair_bytes.evaluated))
    if asked:
        most_pairs = (resources.population_chunk or 2) // 2
    chunks = fewest_chunks(own_pairs, most_pairs)
    evaluated = lanes * own_pairs * pair_bytes.evaluated
    return Place(
        lanes * over_runs,
        Placement(over_runs, shards, chunks),
        whole=held + evaluated,
        needed=held + evaluated // chunks,
        budget=budget,
        asked=asked,
    )


def share(pairs: int, runs: int, devices: int, processes: int) -> tuple[int, int]:
    """(devices over the runs, devices over each population): most in all, then most over pairs.

    Raises:
      UserError: no way has a part for each process.
    """
    ways = [
        (over_runs * shards, shards)
        for shards in range(1, devices + 1)
        if shards == 1 or pairs % (shards * PAIRS_PER_KEY) == 0
        for over_runs in range(1, min(devices // shards, runs) + 1)
        if over_runs * shards % processes == 0
    ]
    if not ways:
        raise UserError(
            f"{processes} processes cannot share {_population(pairs)}{runs} "
            f"{'run' if runs == 1 else 'runs'} of a group: take "
            f"{_larger(pairs, processes)}{processes} or more seeds"
        )
    used, shards = max(ways)
    return used // shards, shards


def _population(pairs: int) -> str:
    return f"a population of {2 * pairs} in " if pairs > 1 else ""


def _larger(pairs: int, processes: int) -> str:
    """What would do instead of more seeds, where there are pairs."""
    several = f"a population that is a multiple of {2 * PAIRS_PER_KEY * processes}, or "
    return several if pairs > 1 else ""
