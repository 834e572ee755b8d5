"""The plan of a sweep: what it will run, without running it.

Counts of cells, groups, compiled programs and environment steps follow from the file alone. Time
and memory are measured: the program of each group is compiled (it stays in the cache, so the work
is not lost) and trains one run for a moment, whose result is dropped.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from rl_es.config import split_traced
from rl_es.interfaces import Limit
from rl_es.results import manifest
from rl_es.sweep.cells import Group, expand_cells, group_cells
from rl_es.sweep.progress import format_duration
from rl_es.sweep.queue import PlacedGroup, compile_group, evaluation_key, make_placed_group
from rl_es.sweep.runs import MAX_STEPS
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import RunProgress
from rl_es.sweep.surfaces import requested_surfaces
from rl_es.training.compilation import Compiler, Program, prepare_jax
from rl_es.training.resources import DEFAULT_RESOURCES, Resources

PROBE_SECONDS = 1.5
# Seconds to trace a program and to load it from the cache, as a multiple of those to trace it.
CACHED_COMPILE_FACTOR = 1.3


@dataclass(frozen=True)
class GroupCounts:
    """What follows from a group's settings.

    Attributes:
      programs: programs compiled for the group: init, advance and, unless an earlier group shares
        it, evaluate.
      parameters: number of parameters that are evolved.
      generation_steps: most environment steps of a generation of one run.
      env_steps: environment steps of all runs; None if the budget does not determine them.
      generations: fewest generations of one run; None if the budget does not determine them.
    """

    programs: int
    parameters: int
    generation_steps: int
    env_steps: int | None
    generations: int | None


@dataclass(frozen=True)
class GroupEstimate:
    """The cost of a group, estimated from a probe.

    Attributes:
      compile: seconds of compilation, with what the cache held before the probe.
      warm_compile: seconds of compilation with all programs in the cache.
      run: seconds of training and evaluation of all runs.
      memory: bytes of the largest program, by XLA's own account.
    """

    compile: float
    warm_compile: float
    run: float
    memory: int


def show_plan(sweep: Sweep, probe: bool = True, resources: Resources = DEFAULT_RESOURCES) -> None:
    """Prints the plan of a sweep.

    Args:
      sweep: validated.
      probe: whether each program is compiled and measured, for time and memory.
      resources: as for a run.
    """
    prepare_jax(resources.devices)
    groups = group_cells(expand_cells(sweep))
    surfaces = requested_surfaces(sweep)
    works = [make_placed_group(group, resources) for group in groups]
    counts = count_groups(works)
    console = Console(width=None if Console().is_terminal else 120)
    compiler, estimates = Compiler(), []
    if probe:
        with console.status("compiling and measuring") as status:
            for i, work in enumerate(works):
                status.update(f"measuring {work.group.label} ({i + 1} of {len(works)})")
                estimates.append(measure_group(work, compile_group(compiler, work)))
    console.print(_table(sweep, groups, counts, estimates))
    console.print(_totals(groups, counts))
    for surface in surfaces:
        console.print(f"With a {surface.display_name}.")
    for line in describe_placements(works):
        console.print(line)
    if estimates:
        seconds = estimate_seconds(estimates, from_cache=True)
        compile_seconds = sum(estimate.compile for estimate in estimates)
        console.print(
            f"Estimated on {manifest.device_name()}: {format_duration(seconds)} for the whole "
            "sweep, now that its programs are in the cache (compiling them took "
            f"{format_duration(compile_seconds)}); "
            f"peak memory of the process {manifest.peak_memory() / 2**30:.1f} GiB."
        )


def _table(
    sweep: Sweep,
    groups: Sequence[Group],
    counts: Sequence[GroupCounts],
    estimates: Sequence[GroupEstimate],
) -> Table:
    table = Table(title=f"Plan of sweep {sweep.name}", title_justify="left")
    table.add_column("group")
    for name in ("cells", "programs", "parameters", "env steps a run", "generations"):
        table.add_column(name, justify="right")
    for name in ("compile", "run", "memory") if estimates else ():
        table.add_column(name, justify="right")
    for i, (group, count) in enumerate(zip(groups, counts, strict=True)):
        runs = len(group.cells)
        steps = "-" if count.env_steps is None else f"{count.env_steps // runs:,}"
        is_exact = group.cells[0].budget.generations is not None
        fewest = "-" if count.generations is None else f"{count.generations:,}"
        generations = fewest if is_exact or fewest == "-" else f">= {fewest}"
        row = [group.label, runs, count.programs, f"{count.parameters:,}", steps, generations]
        if estimates:
            row += [format_duration(estimates[i].compile), format_duration(estimates[i].run)]
            row += [f"{estimates[i].memory / 2**20:,.1f} MiB"]
        table.add_row(*map(str, row))
    return table


def _totals(groups: Sequence[Group], counts: Sequence[GroupCounts]) -> str:
    runs = sum(len(group.cells) for group in groups)
    env_steps = [count.env_steps for count in counts if count.env_steps is not None]
    steps = f", {sum(env_steps):,} environment steps" if env_steps else ""
    return (
        f"{runs} cells in {len(groups)} groups, "
        f"{sum(count.programs for count in counts)} compiled programs{steps}."
    )


def count_groups(works: Sequence[PlacedGroup]) -> list[GroupCounts]:
    """Returns the counts of each group, in order."""
    evaluations: set[Any] = set()
    counts = []
    for work in works:
        cell, steps = work.group.cells[0], work.training.generation_steps
        placement = work.place.placement
        evaluation = (evaluation_key(cell), work.lanes, placement.runs, placement.shards)
        programs = 2 if evaluation in evaluations else 3
        evaluations.add(evaluation)
        budget, runs = cell.budget, len(work.group.cells)
        if budget.env_steps is not None:
            env_steps, generations = runs * budget.env_steps, math.ceil(budget.env_steps / steps)
        elif budget.generations is not None:
            env_steps, generations = runs * budget.generations * steps, budget.generations
        else:
            env_steps, generations = None, None
        counts.append(
            GroupCounts(programs, work.training.parameters, steps, env_steps, generations)
        )
    return counts


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
        progress.env_steps += round(float(rows.env_steps.mean()))
        progress.generation += int(rows.generations[0])
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


def describe_placements(works: Sequence[PlacedGroup]) -> Iterator[str]:
    """Yields sentences on devices, shared calls, chunks and memory that differ from the usual."""
    if not works:
        return
    if max(work.lanes for work in works) > 1:
        lanes = _describe_groups(works, lambda work: str(work.lanes))
        yield f"Runs that share a call of their program: {lanes}."
    elif jax.default_backend() == "cpu":
        yield (
            "Runs of a group are called in turn: on CPU, sharing a call was measured to be no "
            "faster (--lanes changes it)."
        )
    if max(work.place.placement.devices for work in works) > 1:
        yield f"Devices: {_describe_groups(works, _describe_devices)}."
    for work in works:
        place = work.place
        if place.placement.chunks > 1:
            yield f"{work.group.label}: {_describe_chunks(work)}."
        if place.needed_bytes > place.budget_bytes:
            yield (
                f"{work.group.label}: it needs about {_format_bytes(place.needed_bytes)} where "
                f"{_format_bytes(place.budget_bytes)} may be used (--memory), and cannot be cut "
                "further."
            )


def _describe_groups(works: Sequence[PlacedGroup], describe: Callable[[PlacedGroup], str]) -> str:
    """Returns the description of all groups, or one for each group if they differ."""
    descriptions = [(work.group.label, describe(work)) for work in works]
    if len({text for _, text in descriptions}) == 1:
        return descriptions[0][1]
    return "; ".join(f"{label}: {text}" for label, text in descriptions)


def _describe_devices(work: PlacedGroup) -> str:
    placement = work.place.placement
    parts = []
    if placement.shards > 1:
        parts.append(f"{placement.shards} share each population")
    if placement.runs > 1:
        parts.append(f"{placement.runs} share the runs")
    return " and ".join(parts) or "1 (more cannot share its population or its runs)"


def _describe_chunks(work: PlacedGroup) -> str:
    place, members = work.place, 2 * (work.training.learner.pairs or 0)
    shards, chunks = place.placement.shards, place.placement.chunks
    text = (
        f"its population is evaluated in {chunks} chunks of {members // shards // chunks:,} members"
    )
    if place.chunks_requested:
        return f"{text}, as asked for"
    return (
        f"{text}: all at once would need about {_format_bytes(place.unchunked_bytes)}, and "
        f"{_format_bytes(place.budget_bytes)} may be used (--memory, --population-chunk)"
    )


def _format_bytes(size: int) -> str:
    return f"{size / 2**30:,.2g} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"
