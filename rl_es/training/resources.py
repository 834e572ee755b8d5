"""Estimates the memory of runs, and places a group of runs on devices.

`pair_bytes` estimates what an antithetic pair needs from shapes alone: nothing is compiled, so that
chunks can be chosen before. XLA mostly stays below the estimate: noise twice, what is perturbed
directly for both members as well, particles three times (before, after, between), and every array
that a policy computes of a member's observation. What a physics engine needs within a step is not
known from outside.

`place_group` chooses the devices of a group's runs, the number of runs that share a call, and the
number of chunks of a population. A placement changes results by rounding at most, so that it is no
part of a run's identity.
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
from rl_es.interfaces import Episode, Learner, Persistent
from rl_es.rollout.unroll import start_particle
from rl_es.training import multihost
from rl_es.training.compilation import scalar_leaves, suppress_loader_messages
from rl_es.training.jaxprs import dependent_variables, largest_array
from rl_es.training.learner import Evolution
from rl_es.training.population import PopulationLearner
from rl_es.training.sharding import Placement, fewest_chunks

MAX_DEVICES = 4096
CHECKPOINT_SECONDS = 60.0
_FLOAT_BYTES = 4


def tree_bytes(shapes: Any) -> int:
    """Returns the bytes of a pytree of arrays or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


class PairBytes(NamedTuple):
    """Bytes that one antithetic pair needs.

    Attributes:
      state: for every pair, also between generations: what is remembered of it and its particles,
        both before and after a generation.
      rollout: for every pair of the chunk that is evaluated.
      fixed: for all pairs together on each device that holds some, whatever is cut into chunks: the
        population and the state of a strategy that writes its population out, or the state of a
        learner without pairs, with its replay buffer if it has one.
    """

    state: int
    rollout: int
    fixed: int = 0


def pair_bytes(learner: Learner, settings: Mapping[str, float]) -> PairBytes:
    """Estimates what a pair needs, or what a learner without pairs needs in all.

    Args:
      learner: of one run.
      settings: its traced settings.
    """
    if isinstance(learner, PopulationLearner):
        fixed = _strategy_bytes(learner, settings)
        return _rollout_bytes(learner, learner.strategy.segment)._replace(fixed=fixed)
    if not isinstance(learner, Evolution):
        state = jax.eval_shape(lambda: learner.init(jax.random.key(0), scalar_leaves(settings)))
        return PairBytes(0, 3 * _observation_bytes(learner), fixed=2 * tree_bytes(state))
    agent, policy = learner.agent, learner.policy

    def ask() -> Any:
        key = jax.random.key(0)
        state = agent.init(policy.init(key), scalar_leaves(settings))
        fresh = jnp.ones((PAIRS_PER_KEY,), bool)
        return agent.ask(key[None], state, agent.remember(PAIRS_PER_KEY), fresh)

    noise, memory = jax.eval_shape(ask)
    rest = _rollout_bytes(learner, agent.segment)
    return PairBytes(
        state=2 * tree_bytes(memory) // PAIRS_PER_KEY + rest.state,
        rollout=2 * tree_bytes(noise) // PAIRS_PER_KEY + rest.rollout,
    )


def _rollout_bytes(
    learner: Evolution | PopulationLearner, segment: Episode | Persistent
) -> PairBytes:
    """Estimates what a pair needs beside its noise: particles, activations, parameters."""
    env, policy = learner.env, learner.policy
    particles = jax.eval_shape(lambda: learner.unroller.particles(jnp.arange(PAIRS_PER_KEY)))
    episodes = segment.episodes if isinstance(segment, Episode) else 1
    particle = tree_bytes(jax.eval_shape(lambda: start_particle(env, policy, jax.random.key(0))))
    spec = policy.parameters
    products = sum(matrix.inputs * matrix.outputs for matrix in spec.matrices.values())
    direct = spec.size if isinstance(learner, PopulationLearner) else spec.size - products
    return PairBytes(
        state=2 * tree_bytes(particles) // PAIRS_PER_KEY,
        rollout=2 * _FLOAT_BYTES * direct
        + 2 * episodes * (3 * particle + _activation_bytes(learner)),
    )


@suppress_loader_messages()  # keys and numbers are made by small programs
def _strategy_bytes(learner: PopulationLearner, settings: Mapping[str, float]) -> int:
    """Estimates what a strategy needs beside the rollout.

    These are its state before and after a generation, its population four times (noise, members,
    members pair by pair, differences), and the largest array that it holds twice more.
    """
    strategy, key = learner.strategy, jax.random.key(0)
    hyper = scalar_leaves(settings)
    state = jax.eval_shape(lambda: strategy.init(key, learner.policy.init(key), hyper))
    population, _ = jax.eval_shape(lambda state: strategy.ask(key, state), state)

    def generation(state: Any, returns: Any) -> Any:
        population, asked_state = strategy.ask(key, state)
        return strategy.tell(key, asked_state, population, returns)

    returns = jax.ShapeDtypeStruct((strategy.population,), jnp.float32)
    program = jax.make_jaxpr(generation)(state, returns)
    return 2 * (tree_bytes(state) + 2 * tree_bytes(population) + largest_array(program.jaxpr))


def _observation_bytes(learner: Learner) -> int:
    """Returns the bytes of all observations of a generation."""
    observation = jax.eval_shape(lambda: learner.env.reset(jax.random.key(0))[1])
    return learner.generation_steps * tree_bytes(observation)


def _activation_bytes(learner: Evolution | PopulationLearner) -> int:
    """Returns the bytes of all arrays that a policy computes for one action.

    What it computes of its parameters alone, such as their rounding, is shared by all members.
    """
    env, policy = learner.env, learner.policy

    def example() -> Any:
        key = jax.random.key(0)
        return policy.init(key), policy.initial_state(), env.reset(key)[1], key

    params, *inputs = jax.eval_shape(example)
    jaxpr = jax.make_jaxpr(policy.act)(params, *inputs).jaxpr
    of_member = dependent_variables(jaxpr, jaxpr.invars[len(jax.tree.leaves(params)) :])
    outputs = (variable for equation in jaxpr.eqns for variable in equation.outvars)
    return sum(tree_bytes(variable.aval) for variable in outputs if variable in of_member)


def device_memory(devices: int) -> int:
    """Returns the bytes that a device may fill: half of its own, or of its share of the machine."""
    return device_capacity(devices) // 2


def device_capacity(devices: int) -> int:
    """Returns the bytes that a device has: its own, or its share of the machine."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit") or _machine_memory() // devices


def _machine_memory() -> int:
    """Returns the bytes that this process may use: the machine's, or its container's limit."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # there is no container, or it sets no limit
        return physical


def available_cores() -> tuple[int, ...]:
    """Returns the cores that this process may run on, ascending."""
    affinity = getattr(os, "sched_getaffinity", lambda process: range(os.cpu_count() or 1))
    return tuple(sorted(affinity(0)))


def usable_cores() -> int:
    """Returns how many cores this process may keep busy: its own, or its container's limit."""
    cores = len(available_cores())
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # there is no container, or it sets no limit ("max")
        return cores


@dataclass(frozen=True)
class Resources:
    """The resources that a command may use; None leaves the choice to `place_group`.

    Attributes:
      devices: number of devices of each process; by default one on CPU, all elsewhere and where
        processes are joined.
      lanes: number of runs of a group that share a call of its program, over all devices; at least
        one a device where devices share the runs.
      population_chunk: most members of each run that a device evaluates at once.
      memory: bytes that a device may fill; by default half of what it has.
      checkpoint_seconds: seconds between two checkpoints of what runs.
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


def describe_excess_devices(resources: Resources) -> str:
    """Returns a sentence on devices beyond the cores of a CPU; '' where there are none."""
    cores = len(available_cores())
    devices = resources.devices or 1
    if jax.default_backend() != "cpu" or devices <= cores:
        return ""
    return (
        f"{devices} devices on {cores} {'core' if cores == 1 else 'cores'}: devices beyond the "
        f"cores share them, and make a run no faster; {cores} use them all"
    )


@dataclass(frozen=True)
class GroupPlacement:
    """The devices, lanes and chunks of a group.

    Attributes:
      lanes: number of runs that share a call, over all devices.
      placement: devices and chunks.
      unchunked_bytes: estimate of what a device would need to evaluate all its pairs at once.
      needed_bytes: estimate of what a device needs with these chunks.
      budget_bytes: what a device may fill.
      chunks_requested: whether the chunks were requested rather than chosen to fit.
    """

    lanes: int
    placement: Placement
    unchunked_bytes: int
    needed_bytes: int
    budget_bytes: int
    chunks_requested: bool


def place_group(
    pairs: int | None, runs: int, pair_bytes: PairBytes, resources: Resources
) -> GroupPlacement:
    """Chooses the placement of a group.

    Devices go to the population, as far as whole blocks of pairs divide among them, and to the
    runs, so that most of them are used, equally many of each process. On CPU a device calls its
    runs in turn: vmapping them was measured to be no faster (`sweeps/speed/lanes.yaml`). Elsewhere
    as many runs share a call as fit in memory.

    Args:
      pairs: number of pairs of the population (H); None for a learner without pairs.
      runs: number of runs of the group.
      pair_bytes: memory of a pair, from `pair_bytes`.
      resources: what may be used.

    Raises:
      UserError: there are not so many devices, processes cannot have equal parts, the population
        cannot be cut as requested, or what cannot be cut does not fit.
    """
    no_pairs = pairs is None
    chunks_requested = pairs is not None and resources.population_chunk is not None
    pairs = pairs or 1
    if chunks_requested and pairs % PAIRS_PER_KEY:
        raise UserError(
            f"--population-chunk: a population of {2 * pairs} cannot be cut; it must be a multiple "
            f"of {2 * PAIRS_PER_KEY}, the members that share a random key"
        )
    processes = jax.process_count()
    devices = _local_devices(resources, processes) * processes
    over_runs, shards = divide_devices(pairs, runs, devices, processes)
    budget = resources.memory or int(multihost.gather([device_memory(devices)]).min())
    if pair_bytes.fixed > budget:
        what, part = ("population and state need", "population")
        if no_pairs:
            what, part = ("state needs", "replay buffer, if it has one,")
        raise UserError(
            f"the agent's {what} about {pair_bytes.fixed / 2**30:,.1f} GiB, and a device may fill "
            f"{budget / 2**30:,.1f} GiB (--memory): choose a smaller {part} or network, or an "
            "agent that needs less"
        )
    shard_pairs = pairs // shards
    most_lanes = math.ceil(runs / over_runs)
    if resources.lanes is not None:
        lanes = min(math.ceil(resources.lanes / over_runs), most_lanes)
    elif jax.default_backend() == "cpu":
        lanes = 1
    else:
        lane = shard_pairs * (pair_bytes.state + pair_bytes.rollout) + pair_bytes.fixed
        lanes = min(most_lanes, max(1, budget // lane))
    state = lanes * (shard_pairs * pair_bytes.state + pair_bytes.fixed)
    if chunks_requested:
        most_pairs = (resources.population_chunk or 2) // 2
    else:
        most_pairs = max(1, (budget - state) // (lanes * pair_bytes.rollout))
    chunks = fewest_chunks(shard_pairs, most_pairs)
    rollout = lanes * shard_pairs * pair_bytes.rollout
    return GroupPlacement(
        lanes * over_runs,
        Placement(over_runs, shards, chunks),
        unchunked_bytes=state + rollout,
        needed_bytes=state + rollout // chunks,
        budget_bytes=budget,
        chunks_requested=chunks_requested,
    )


def _local_devices(resources: Resources, processes: int) -> int:
    """Returns how many devices each process uses.

    Raises:
      UserError: there are not so many.
    """
    available = jax.local_device_count()
    use_all = jax.default_backend() != "cpu" or processes > 1
    devices = resources.devices or (available if use_all else 1)
    if devices > available:
        raise UserError(
            f"--devices: must be at most {available}, those that jax finds; is {devices}"
        )
    return devices


def divide_devices(pairs: int, runs: int, devices: int, processes: int) -> tuple[int, int]:
    """Divides devices between runs and populations: most devices first, then most over pairs.

    Returns:
      The number of devices over the runs, and over each population.

    Raises:
      UserError: no division has a part for each process.
    """
    divisions = [
        (over_runs * shards, shards)
        for shards in range(1, devices + 1)
        if shards == 1 or pairs % (shards * PAIRS_PER_KEY) == 0
        for over_runs in range(1, min(devices // shards, runs) + 1)
        if over_runs * shards % processes == 0
    ]
    if not divisions:
        population = f"a population of {2 * pairs} in " if pairs > 1 else ""
        multiple = 2 * PAIRS_PER_KEY * processes
        larger = f"a population that is a multiple of {multiple}, or " if pairs > 1 else ""
        raise UserError(
            f"{processes} processes cannot share {population}{runs} "
            f"{'run' if runs == 1 else 'runs'} of a group: take "
            f"{larger}{processes} or more seeds"
        )
    count, shards = max(divisions)
    return count // shards, shards
