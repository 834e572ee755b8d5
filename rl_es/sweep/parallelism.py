"""Chooses how `run` uses the cores of a CPU where nobody has chosen: workers, devices, or neither.

One process keeps several cores busy in a part of the time only: XLA divides large products among
them, and the next program compiles while one runs. Groups share nothing, so that worker processes
take them first. The quickstart takes 0.6 of the time with two of them (`docs/cluster.md`), and
its results are equal to rounding: with fewer threads XLA may sum in another order. Where one group
is left, devices share its runs or its population: two take 0.47 to 0.75 of the time of one
(`results/reference/speed/devices`).

A worker has to start, and takes memory. It pays unless little is left to run, and there are no more
of them than the machine's memory holds without cutting populations into more chunks.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax

from rl_es.errors import UserError
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.queue import PlacedGroup, make_placed_group
from rl_es.sweep.schema import Sweep
from rl_es.training.resources import Resources, device_capacity, usable_cores

# What a group takes with its programs in the cache, and environment steps per second where steps
# are slow (`results/reference/speed/environments`). A sweep that is shorter than this estimate
# starts its workers in vain, for some seconds; a longer one would lose much more without them.
GROUP_SECONDS, STEPS_PER_SECOND = 2.0, 1e5
LEAST_SECONDS = 15.0  # below which workers, which start for about five seconds, do not pay
WORKER_BYTES = 2**31  # of a worker with its programs, beside what runs hold: 1.1 GiB was measured
ALONE = "--workers 1: this process alone"


@dataclass(frozen=True)
class Parallelism:
    """How a run uses the cores.

    Attributes:
      workers: number of worker processes that share the groups; 1: this process runs them.
      devices: number of devices that share the runs and populations of each group.
      reason: what is done and why, for people: a sentence without its full stop.
    """

    workers: int
    devices: int
    reason: str


def is_chosen_in_environment(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether a variable says how many devices a CPU counts as."""
    flags = environment.get("XLA_FLAGS", "")
    return "xla_force_host_platform_device_count" in flags or "JAX_NUM_CPU_DEVICES" in environment


def devices_to_prepare(*sweeps: Sweep) -> int | None:
    """Returns the number of devices that a CPU has to be split into, before jax starts.

    Devices are chosen for a sweep of one group only; None leaves the CPU whole.
    """
    has_one_group = (len(group_cells(expand_cells(sweep))) == 1 for sweep in sweeps)
    return usable_cores() if any(has_one_group) else None


def choose_parallelism(
    works: Sequence[PlacedGroup], shares_left: Mapping[str, float], resources: Resources
) -> Parallelism | None:
    """Chooses workers or devices for the groups that are left.

    Args:
      works: these groups, as one process places them on one device.
      shares_left: share of its budget that is left of each cell to run, by run_id.
      resources: resources with which they were placed.

    Returns:
      The choice; None where the backend is no CPU, whose devices are all used anyhow.
    """
    if jax.default_backend() != "cpu" or jax.process_count() > 1 or not works:
        return None
    cores, devices = usable_cores(), 1
    if len(works) == 1 and cores > 1:
        devices = _count_sharing_devices(works[0], min(cores, jax.local_device_count()), resources)
    most = max(work.place.unchunked_bytes for work in works)
    return divide_work(
        groups=len(works),
        seconds=rough_seconds(works, shares_left),
        cores=cores,
        devices=devices,
        worker_bytes=WORKER_BYTES + 2 * most,  # of a device runs fill half
        memory=device_capacity(1),
    )


def _count_sharing_devices(work: PlacedGroup, devices: int, resources: Resources) -> int:
    """Returns how many of these devices a group can use without more chunks than on one device."""
    try:
        placed = make_placed_group(work.group, replace(resources, devices=devices))
    except UserError:  # its state does not fit in a device's part of the memory
        return 1
    placement = placed.place.placement
    return placement.devices if placement.chunks <= work.place.placement.chunks else 1


def divide_work(
    groups: int, seconds: float, cores: int, devices: int, worker_bytes: int, memory: int
) -> Parallelism:
    """Chooses workers for several groups, devices for one group.

    Args:
      groups: number of groups that are left.
      seconds: rough estimate of the time that one process takes.
      cores: number of cores that may be kept busy.
      devices: number of devices that can share the runs and populations of the one group.
      worker_bytes: memory that a worker may need.
      memory: bytes of the machine.
    """
    if cores == 1:
        return Parallelism(1, 1, "one process runs the sweep: it may use one core")
    if seconds < LEAST_SECONDS:
        return Parallelism(1, 1, "one process runs the sweep: too little is left to divide it")
    if groups == 1:
        if devices == 1:
            why = "one group is left, and devices cannot share its population or its runs"
            return Parallelism(1, 1, f"one process runs the sweep: {why}")
        cause = "one for each core" if devices == cores else "as many as can share it equally"
        return Parallelism(1, devices, f"{devices} devices share one group, {cause} ({ALONE})")
    fitting = memory // worker_bytes
    workers = min(cores, groups, fitting)
    size = f"{worker_bytes / 2**30:,.1f} GiB"
    if workers < 2:
        why = f"memory does not suffice for two workers of {size} each"
        return Parallelism(1, 1, f"one process runs the sweep: {why}")
    causes = {
        fitting: f"as many as fit in memory, at {size} each",
        groups: "one for each group",
        cores: "one for each core",
    }
    return Parallelism(
        workers,
        1,
        f"{workers} worker processes share {groups} groups, {causes[workers]} ({ALONE})",
    )


def rough_seconds(works: Sequence[PlacedGroup], shares_left: Mapping[str, float]) -> float:
    """Estimates roughly, from budgets alone, how long one process takes.

    Args:
      works: the groups.
      shares_left: share of its budget that is left of each cell to run, by run_id.
    """
    seconds = 0.0
    for work in works:
        budget = work.group.cells[0].budget
        steps = budget.env_steps or (budget.generations or 0) * work.training.generation_steps
        runs = sum(shares_left.get(cell.run_id, 0.0) for cell in work.group.cells)
        seconds += GROUP_SECONDS + runs * (budget.seconds or steps / STEPS_PER_SECOND)
    return seconds
