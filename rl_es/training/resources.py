"""What a run needs in memory, from shapes alone: nothing is compiled, so that chunks can be chosen.

A rough estimate that XLA mostly stays below: noise twice, what is perturbed directly for both
members as well, particles three times (before, after, between), every array that a policy computes.
What a physics engine needs within a step is not known from outside.

Which devices a group's runs take, how many share a call, and in how many chunks they are run.

Nothing here changes a result by more than rounding, so none of it is part of a run's identity.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_es.errors import UserError
from rl_es.evolution.perturbation import PAIRS_PER_KEY
from rl_es.interfaces import Episode, Learner
from rl_es.rollout.unroll import start_particle
from rl_es.training import multihost
from rl_es.training.compilation import scalar_leaves
from rl_es.training.learner import Evolution
from rl_es.training.sharding import Placement, fewest_chunks

_FLOAT = 4


def tree_bytes(shapes: Any) -> int:
    """Bytes of a pytree of arrays or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


class PairBytes(NamedTuple):
    """Bytes of one antithetic pair.

    Attributes:
      held: between generations, of every pair: what is remembered of it and its particles, both as
        they were and as they become.
      evaluated: while it is evaluated, of the pairs of a chunk.
    """

    held: int
    evaluated: int


def pair_bytes(learner: Learner, settings: Mapping[str, float]) -> PairBytes:
    """What a pair needs, or the whole learner where it has none; `settings`: the traced ones."""
    if not isinstance(learner, Evolution):
        return PairBytes(2 * tree_bytes(_state(learner, settings)), 3 * _seen(learner))
    agent, env, policy = learner.agent, learner.env, learner.policy

    def drawn() -> Any:
        key = jax.random.key(0)
        state = agent.init(policy.init(key), scalar_leaves(settings))
        fresh = jnp.ones((PAIRS_PER_KEY,), bool)
        return agent.ask(key[None], state, agent.remember(PAIRS_PER_KEY), fresh)

    noise, memory = jax.eval_shape(drawn)
    persistent = jax.eval_shape(lambda: learner.unfolding.particles(jnp.arange(PAIRS_PER_KEY)))
    episodes = agent.segment.episodes if isinstance(agent.segment, Episode) else 1
    particle = tree_bytes(jax.eval_shape(lambda: start_particle(env, policy, jax.random.key(0))))
    spec = policy.parameters
    products = sum(matrix.inputs * matrix.outputs for matrix in spec.matrices.values())
    direct = 2 * _FLOAT * (spec.size - products)
    rollout = direct + 2 * episodes * (3 * particle + _activations(learner))
    return PairBytes(
        held=2 * tree_bytes((memory, persistent)) // PAIRS_PER_KEY,
        evaluated=2 * tree_bytes(noise) // PAIRS_PER_KEY + rollout,
    )


def _state(learner: Learner, settings: Mapping[str, float]) -> Any:
    return jax.eval_shape(lambda: learner.init(jax.random.key(0), scalar_leaves(settings)))


def _seen(learner: Learner) -> int:
    """Bytes of all observations of a generation."""
    observation = jax.eval_shape(lambda: learner.env.reset(jax.random.key(0))[1])
    return learner.generation_steps * tree_bytes(observation)


def _activations(learner: Evolution) -> int:
    """Bytes of all arrays that a policy computes on its way to one action."""
    env, policy = learner.env, learner.policy

    def example() -> Any:
        key = jax.random.key(0)
        return policy.init(key), policy.initial_state(), env.reset(key)[1], key

    traced = jax.make_jaxpr(policy.act)(*jax.eval_shape(example)).jaxpr
    return sum(tree_bytes(variable.aval) for one in traced.eqns for variable in one.outvars)


def device_memory(devices: int) -> int:
    """Bytes that a device may fill: half of this machine's share, or of an accelerator's own."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if limit := stats.get("bytes_limit"):
        return limit // 2
    return _machine_memory() // 2 // devices


def _machine_memory() -> int:
    """Bytes that this process may use: the machine's, or what its container allows."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # there is no container, or it sets no limit
        return physical


MAX_DEVICES = 4096
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
        if self.devices is not None and self.devices > MAX_DEVICES:
            raise UserError(f"--devices: must be at most {MAX_DEVICES}; is {self.devices}")
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


DEFAULT_RESOURCES = Resources()


@dataclass(frozen=True)
class GroupPlacement:
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


def place_group(
    pairs: int | None, runs: int, pair_bytes: PairBytes, resources: Resources
) -> GroupPlacement:
    """Chooses for a group.

    Devices go to the population, as far as whole blocks of pairs divide among them, and to the
    runs, so that most of them are used, equally many of each process. On CPU a device calls its
    runs in turn: vmapping them was measured to be no faster (`sweeps/speed/lanes.yaml`). Elsewhere
    as many share a call as fit in memory.

    Args:
      pairs: of the population (H); None where there is nothing to share.
      runs: of the group.
      pair_bytes: of `rl_es.training.resources`.
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
    over_runs, shards = divide_devices(pairs, runs, devices, processes)
    budget = resources.memory or int(multihost.gather([device_memory(devices)]).min())
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
    return GroupPlacement(
        lanes * over_runs,
        Placement(over_runs, shards, chunks),
        whole=held + evaluated,
        needed=held + evaluated // chunks,
        budget=budget,
        asked=asked,
    )


def divide_devices(pairs: int, runs: int, devices: int, processes: int) -> tuple[int, int]:
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
