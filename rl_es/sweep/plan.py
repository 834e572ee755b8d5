"""The plan of a sweep: what it will run, without running it.

Counts of cells, groups, compiled programs and environment steps follow from the file alone. Time
and memory are measured: the program of each group is compiled (it stays in the cache, so the work
is not lost) and trains one run for a moment, whose result is dropped. Or the time follows from a
stated speed, such as that of another device.

A sweep is planned as well where a library that it needs is not installed. What follows from the
library's environments and agents is unknown then.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rl_es import registry
from rl_es.config import split_traced
from rl_es.interfaces import Limit
from rl_es.sweep.cells import Group, expand_cells, group_cells
from rl_es.sweep.parallelism import Parallelism, choose_parallelism
from rl_es.sweep.queue import PlacedGroup, compile_group, make_placed_group
from rl_es.sweep.runs import MAX_STEPS
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import RunProgress
from rl_es.sweep.surfaces import SurfaceRequest, requested_surfaces
from rl_es.training.program import Compiler, Program
from rl_es.training.resources import Resources

PROBE_SECONDS = 1.5
# Seconds of a start with all of a group in the cache, as a multiple of those of the tracing that no
# cache saves.
CACHED_COMPILE_FACTOR = 2.0


@dataclass(frozen=True)
class GroupCounts:
    """What follows from a group's settings.

    Attributes:
      programs: programs compiled for the group: init, advance and, unless an earlier group shares
        them, initial parameters and evaluate; None where a library is missing.
      parameters: number of parameters that are evolved; None where a library is missing.
      generation_steps: most environment steps of a generation of one run; None where a library is
        missing.
      env_steps: environment steps of all runs; None if the budget does not determine them.
      generations: fewest generations of one run; None if the budget does not determine them.
    """

    programs: int | None
    parameters: int | None
    generation_steps: int | None
    env_steps: int | None
    generations: int | None


@dataclass(frozen=True)
class GroupEstimate:
    """The cost of a group, estimated from a probe or from a stated speed.

    Attributes:
      compile: seconds of compilation, with what the cache held before the probe.
      warm_compile: seconds of compilation with all programs in the cache.
      run: seconds of training and evaluation of all runs.
      memory: bytes of the largest program, by XLA's own account; 0 where it was not compiled.
    """

    compile: float
    warm_compile: float
    run: float
    memory: int


@dataclass(frozen=True)
class GroupPlan:
    """A group of a plan.

    Attributes:
      group: its cells.
      work: what it trains, as it is placed; None where a library is missing.
      counts: what follows from its settings.
      missing_extra: the extra of this package that has the library; None where all are installed.
    """

    group: Group
    work: PlacedGroup | None
    counts: GroupCounts
    missing_extra: str | None


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep will run.

    Attributes:
      sweep: the sweep.
      groups: in the order in which they run.
      surfaces: surfaces that are evaluated besides.
      estimates: the cost of each group, None where it cannot be told; empty if none was asked for.
      parallelism: how `run` uses the cores of a CPU; None where nothing is chosen.
    """

    sweep: Sweep
    groups: tuple[GroupPlan, ...]
    surfaces: tuple[SurfaceRequest, ...]
    estimates: tuple[GroupEstimate | None, ...]
    parallelism: Parallelism | None = None

    @property
    def cells(self) -> int:
        """Number of cells."""
        return sum(len(group_plan.group.cells) for group_plan in self.groups)

    @property
    def seconds(self) -> float | None:
        """Seconds of the groups whose cost is known, with programs in the cache; None if none."""
        estimates = [estimate for estimate in self.estimates if estimate is not None]
        return estimate_seconds(estimates, from_cache=True) if estimates else None

    @property
    def env_steps(self) -> int | None:
        """Environment steps of the groups whose budget determines them; None if none does."""
        steps = [group_plan.counts.env_steps for group_plan in self.groups]
        return sum(filter(None, steps)) if any(steps) else None


Estimator = Callable[[GroupPlan], GroupEstimate | None]


def make_plan(
    sweep: Sweep,
    resources: Resources,
    estimator: Estimator | None = None,
    report: Callable[[str], None] = lambda text: None,
    is_open: bool = False,
) -> SweepPlan:
    """Plans a sweep.

    Args:
      sweep: validated.
      resources: as for a run.
      estimator: estimates the cost of a group, such as `probe`; None: no cost is estimated.
      report: is called with what happens, one line at a time.
      is_open: whether it is left to `run` how the cores of a CPU are used.
    """
    groups = group_cells(expand_cells(sweep))
    extras = [missing_extra(group) for group in groups]
    works = [
        make_placed_group(group, resources) if extra is None else None
        for group, extra in zip(groups, extras, strict=True)
    ]
    parallelism = None
    if is_open and not any(extras):
        shares_left = {cell.run_id: 1.0 for group in groups for cell in group.cells}
        parallelism = choose_parallelism([*filter(None, works)], shares_left, resources)
    if parallelism is not None and parallelism.devices > 1:
        resources = replace(resources, devices=parallelism.devices)
        works = [make_placed_group(group, resources) for group in groups]
    counts = count_groups(groups, works)
    group_plans = tuple(map(GroupPlan, groups, works, counts, extras))
    surfaces = () if any(extras) else requested_surfaces(sweep)
    estimates = []
    for i, group_plan in enumerate(group_plans if estimator else ()):
        report(f"measuring {group_plan.group.label} ({i + 1} of {len(groups)})")
        estimates.append(estimator(group_plan) if estimator else None)
    return SweepPlan(sweep, group_plans, surfaces, tuple(estimates), parallelism)


def missing_extra(group: Group) -> str | None:
    """Returns the extra that a group needs and that is not installed; None if there is none."""
    cell = group.cells[0]
    suite = registry.environment_suite(cell.env_name)
    agent = registry.agents.load(cell.agent)
    return registry.missing_extra(suite) or registry.missing_extra(agent)


def count_groups(groups: Sequence[Group], works: Sequence[PlacedGroup | None]) -> list[GroupCounts]:
    """Returns the counts of each group, in order."""
    shared: set[Any] = set()
    return [_count(group, work, shared) for group, work in zip(groups, works, strict=True)]


def _count(group: Group, work: PlacedGroup | None, shared: set[Any]) -> GroupCounts:
    """Returns the counts of a group, and adds its shared programs to those of earlier groups."""
    budget, runs = group.cells[0].budget, len(group.cells)
    env_steps = None if budget.env_steps is None else runs * budget.env_steps
    if work is None:
        return GroupCounts(None, None, None, env_steps, budget.generations)
    placement, steps = work.place.placement, work.training.generation_steps
    key = (group.cells[0].evaluator, work.lanes, placement.runs, placement.shards)
    shareable = {("evaluate", key)}
    if hasattr(work.training.learner, "initial_params"):
        shareable.add(("params", key))
    programs = 2 + len(shareable - shared)
    shared |= shareable
    generations = budget.generations
    if budget.env_steps is not None:
        generations = math.ceil(budget.env_steps / steps)
    elif generations is not None:
        env_steps = runs * generations * steps
    return GroupCounts(programs, work.training.parameters, steps, env_steps, generations)


def probe() -> Estimator:
    """Returns an estimator that compiles the program of a group, and trains a run for a moment."""
    return partial(_probe, Compiler())


def _probe(compiler: Compiler, group_plan: GroupPlan) -> GroupEstimate | None:
    work = group_plan.work
    return None if work is None else measure_group(work, compile_group(compiler, work))


def stated_speed(steps_per_second: float) -> Estimator:
    """Returns an estimator for a device that trains so many environment steps per second.

    Compilation and evaluation are left out. A budget in seconds takes these seconds.
    """

    def estimate(group_plan: GroupPlan) -> GroupEstimate | None:
        seconds = group_plan.group.cells[0].budget.seconds
        if seconds is not None:
            return GroupEstimate(0.0, 0.0, len(group_plan.group.cells) * seconds, 0)
        if group_plan.counts.env_steps is None:
            return None
        return GroupEstimate(0.0, 0.0, group_plan.counts.env_steps / steps_per_second, 0)

    return estimate


def measure_group(work: PlacedGroup, program: Program) -> GroupEstimate:
    """Trains the group's first run for a moment, and estimates the cost of the whole group."""
    cell, runs = work.group.cells[0], len(work.group.cells)
    seeds = np.arange(program.lanes, dtype=np.uint32)
    traced = split_traced(cell.config)[1].items()
    hyper = {name: np.full(program.lanes, value, np.float32) for name, value in traced}
    state = program.init(seeds, hyper)
    lane_ones = np.ones(program.lanes, np.int32)
    progress = RunProgress()
    marks = [(0.0, 0.0)]  # seconds from the start, and share of the budget
    start, generations = time.perf_counter(), 1
    while progress.wall_seconds < PROBE_SECONDS and progress.share(cell) < 1:
        state, rows = program.advance(state, Limit(generations * lane_ones, MAX_STEPS * lane_ones))
        progress.env_steps += round(np.asarray(rows.env_steps).mean())
        progress.generation += int(np.asarray(rows.generations)[0])
        progress.wall_seconds = time.perf_counter() - start
        marks.append((progress.wall_seconds, float(progress.share(cell))))
        generations = min(2 * generations, 64)
    training_seconds = cell.budget.seconds or _extrapolate(marks)
    start = time.perf_counter()
    np.asarray(program.evaluate(seeds, program.snapshot(state)))
    evaluation_seconds = (cell.evaluation.points + 1) * (time.perf_counter() - start)
    batches = math.ceil(runs / program.lanes)
    return GroupEstimate(
        program.compile_seconds,
        min(program.compile_seconds, CACHED_COMPILE_FACTOR * program.trace_seconds),
        batches * (training_seconds + evaluation_seconds),
        program.memory_bytes,
    )


def _extrapolate(marks: Sequence[tuple[float, float]]) -> float:
    """Returns the seconds to the budget's end, at the pace of the probe's second half.

    Args:
      marks: (seconds, share of the budget) after each call, from the start.
    """
    end, share = marks[-1]
    middle, middle_share = max(mark for mark in marks if mark[0] <= end / 2)
    pace = (end - middle) / max(share - middle_share, 1e-12)
    return end + max(0.0, 1 - share) * pace


def estimate_seconds(estimates: Sequence[GroupEstimate], from_cache: bool) -> float:
    """Returns the seconds of the whole sweep; the next group compiles while one runs.

    Args:
      estimates: of each group, in order.
      from_cache: whether all programs are in the cache.
    """
    compiles = [estimate.warm_compile if from_cache else estimate.compile for estimate in estimates]
    total = compiles[0] if compiles else 0.0
    for i, estimate in enumerate(estimates):
        total += max([estimate.run, *compiles[i + 1 : i + 2]])
    return total
