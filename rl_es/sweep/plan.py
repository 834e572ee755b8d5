"""What a sweep will run, without running it: cells, groups, compiled programs, steps, memory, time.

Counts follow from the file alone. Time and memory are measured: each group's program is compiled
(it stays in the cache, so the work is not lost) and trains one run for a moment, in vain.

What a plan says of devices, shared calls and chunks, in sentences.
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
from rl_es.sweep import surfaces
from rl_es.sweep.cells import Cell, Group, expand_cells, group_cells
from rl_es.sweep.progress import format_duration
from rl_es.sweep.queue import PlacedGroup, compile_group, evaluation_key, make_placed_group
from rl_es.sweep.runs import MAX_STEPS
from rl_es.sweep.schema import Sweep
from rl_es.training.compilation import Compiler, Program, prepare_jax
from rl_es.training.resources import DEFAULT_RESOURCES, Resources


def describe_placements(works: Sequence[PlacedGroup]) -> Iterator[str]:
    """One line for each thing that people should know of where groups run."""
    if not works:
        return
    if max(work.lanes for work in works) > 1:
        yield f"Runs that share a call of their program: {_each(works, _shared)}."
    elif jax.default_backend() == "cpu":
        yield (
            "Runs of a group are called in turn: on CPU, sharing a call was measured to be no "
            "faster (--lanes changes it)."
        )
    if max(work.place.placement.devices for work in works) > 1:
        yield f"Devices: {_each(works, _devices)}."
    for work in works:
        if work.place.placement.chunks > 1:
            yield f"{work.group.label}: {_chunks(work)}."
        if work.place.needed > work.place.budget:
            yield (
                f"{work.group.label}: it needs about {_gib(work.place.needed)} where "
                f"{_gib(work.place.budget)} may be used (--memory), and cannot be cut further."
            )


def _each(works: Sequence[PlacedGroup], what: Callable[[PlacedGroup], str]) -> str:
    """What is said of all groups, or of each where they differ."""
    said = [(work.group.label, what(work)) for work in works]
    if len({text for _, text in said}) == 1:
        return said[0][1]
    return "; ".join(f"{label}: {text}" for label, text in said)


def _shared(work: PlacedGroup) -> str:
    return str(work.lanes)


def _devices(work: PlacedGroup) -> str:
    where = work.place.placement
    parts = []
    if where.shards > 1:
        parts.append(f"{where.shards} share each population")
    if where.runs > 1:
        parts.append(f"{where.runs} share the runs")
    return " and ".join(parts) or "1 (more cannot share its population or its runs)"


def _chunks(work: PlacedGroup) -> str:
    place, members = work.place, 2 * (work.training.learner.pairs or 0)
    where = place.placement
    said = (
        f"its population is evaluated in {where.chunks} chunks of "
        f"{members // where.shards // where.chunks:,} members"
    )
    if place.asked:
        return f"{said}, as asked for"
    return (
        f"{said}: all at once would need about {_gib(place.whole)}, and {_gib(place.budget)} may "
        "be used (--memory, --population-chunk)"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:,.2g} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"


PROBE_SECONDS = 1.5


@dataclass(frozen=True)
class GroupCounts:
    """What follows from a group's settings.

    Attributes:
      programs: compiled for it: init, advance and, unless an earlier group has it, evaluate.
      parameters: scalars evolved.
      generation_steps: most environment steps of a generation of one run.
      env_steps: of all its runs; None where the budget does not say.
      generations: fewest of one run; None where the budget does not say.
    """

    programs: int
    parameters: int
    generation_steps: int
    env_steps: int | None
    generations: int | None


@dataclass(frozen=True)
class GroupEstimate:
    """What a probe of a group says, in seconds of one run unless said otherwise."""

    compile: float  # of the group, from nothing or from what the cache had
    cached: float  # of the group, with all its programs in the cache
    run: float  # training and evaluation of all the group's runs
    memory: int  # bytes of its largest program, by XLA's own account


def count_groups(works: Sequence[PlacedGroup]) -> list[GroupCounts]:
    """The counts of each group, in order."""
    seen: set[Any] = set()
    found = []
    for work in works:
        cell, steps = work.group.cells[0], work.training.generation_steps
        where = work.place.placement
        key = (evaluation_key(cell), work.lanes, where.runs, where.shards)
        programs = 2 if key in seen else 3
        seen.add(key)
        budget, runs = cell.budget, len(work.group.cells)
        if budget.env_steps is not None:
            env_steps, generations = runs * budget.env_steps, math.ceil(budget.env_steps / steps)
        elif budget.generations is not None:
            env_steps, generations = runs * budget.generations * steps, budget.generations
        else:
            env_steps, generations = None, None
        found.append(GroupCounts(programs, work.training.parameters, steps, env_steps, generations))
    return found


def measure_group(work: PlacedGroup, program: Program) -> GroupEstimate:
    """Trains the group's first run for a moment, and says what the whole group would take."""
    cell, runs = work.group.cells[0], len(work.group.cells)
    lanes = np.arange(program.lanes, dtype=np.uint32)
    names = split_traced(cell.config)[1].items()
    hyper = {name: np.full(program.lanes, value, np.float32) for name, value in names}
    state = program.init(lanes, hyper)
    once = np.ones(program.lanes, np.int32)
    # seconds, environment steps of a lane, generations
    marks: list[tuple[float, float, int]] = [(0.0, 0.0, 0)]
    began, generations = time.perf_counter(), 1
    while marks[-1][0] < PROBE_SECONDS and _share(cell, *marks[-1]) < 1:
        state, rows = program.advance(state, Limit(generations * once, MAX_STEPS * once))
        steps, done = float(rows.env_steps.mean()), int(rows.generations[0])
        elapsed = time.perf_counter() - began
        marks.append((elapsed, marks[-1][1] + steps, marks[-1][2] + done))
        generations = min(2 * generations, 64)
    training_seconds = _extrapolate(cell, marks)
    began = time.perf_counter()
    np.asarray(program.evaluate(lanes, program.snapshot(state)))
    evaluations = (cell.evaluation.points + 1) * (time.perf_counter() - began)
    batches = math.ceil(runs / program.lanes)
    return GroupEstimate(
        program.compile_seconds,
        min(program.compile_seconds, 1.3 * program.trace_seconds),
        batches * (training_seconds + evaluations),
        program.memory_bytes,
    )


def _share(cell: Cell, seconds: float, steps: float, generations: int) -> float:
    budget = cell.budget
    if budget.env_steps is not None:
        return steps / budget.env_steps
    if budget.generations is not None:
        return generations / budget.generations
    return seconds / (budget.seconds or 1.0)


def _extrapolate(cell: Cell, marks: Sequence[tuple[float, float, int]]) -> float:
    """Seconds to the budget's end, at the pace of the probe's second half."""
    if cell.budget.seconds is not None:
        return cell.budget.seconds
    end, share = marks[-1][0], _share(cell, *marks[-1])
    middle = max(mark for mark in marks if mark[0] <= max(end / 2, marks[0][0]))
    pace = (end - middle[0]) / max(share - _share(cell, *middle), 1e-12)
    return end + max(0.0, 1 - share) * pace


def estimate_seconds(measured: Sequence[GroupEstimate], cached: bool) -> float:
    """Seconds of the whole sweep: the next group compiles while one runs."""
    compiles = [m.cached if cached else m.compile for m in measured]
    total = compiles[0] if compiles else 0.0
    for i, m in enumerate(measured):
        total += max([m.run, *compiles[i + 1 : i + 2]])
    return total


def show_plan(sweep: Sweep, probe: bool = True, resources: Resources = DEFAULT_RESOURCES) -> None:
    """Prints the plan.

    Args:
      sweep: validated.
      probe: compile each program and measure it, for time and memory.
      resources: as for a run.
    """
    prepare_jax(resources.devices)
    every = group_cells(expand_cells(sweep))
    asked = surfaces.requested_surfaces(sweep)
    works = [make_placed_group(group, resources) for group in every]
    counts = count_groups(works)
    console = Console(width=None if Console().is_terminal else 120)
    compiler, measured = Compiler(), []
    if probe:
        with console.status("compiling and measuring") as status:
            for i, work in enumerate(works):
                status.update(f"measuring {work.group.label} ({i + 1} of {len(works)})")
                measured.append(measure_group(work, compile_group(compiler, work)))
    console.print(_table(sweep, every, counts, measured))
    console.print(_totals(every, counts))
    for one in asked:
        console.print(f"With a {one.display_name}.")
    for line in describe_placements(works):
        console.print(line)
    if measured:
        seconds = estimate_seconds(measured, cached=True)
        cold = sum(m.compile for m in measured)
        console.print(
            f"Estimated on {manifest.device_name()}: {format_duration(seconds)} for the whole "
            "sweep, now that its programs are in the cache (compiling them took "
            f"{format_duration(cold)}); "
            f"peak memory of the process {manifest.peak_memory() / 2**30:.1f} GiB."
        )


def _table(
    sweep: Sweep,
    every: Sequence[Group],
    counts: Sequence[GroupCounts],
    measured: Sequence[GroupEstimate],
) -> Table:
    table = Table(title=f"Plan of sweep {sweep.name}", title_justify="left")
    table.add_column("group")
    for name in ("cells", "programs", "parameters", "env steps a run", "generations"):
        table.add_column(name, justify="right")
    if measured:
        table.add_column("compile", justify="right")
        table.add_column("run", justify="right")
        table.add_column("memory", justify="right")
    for i, (group, found) in enumerate(zip(every, counts, strict=True)):
        runs = len(group.cells)
        steps = "-" if found.env_steps is None else f"{found.env_steps // runs:,}"
        exact = group.cells[0].budget.generations is not None
        fewest = "-" if found.generations is None else f"{found.generations:,}"
        generations = fewest if exact or fewest == "-" else f">= {fewest}"
        row = [group.label, runs, found.programs, f"{found.parameters:,}", steps, generations]
        if measured:
            row += [format_duration(measured[i].compile), format_duration(measured[i].run)]
            row += [f"{measured[i].memory / 2**20:,.1f} MiB"]
        table.add_row(*map(str, row))
    return table


def _totals(every: Sequence[Group], counts: Sequence[GroupCounts]) -> str:
    runs = sum(len(group.cells) for group in every)
    known = [found.env_steps for found in counts if found.env_steps is not None]
    steps = f", {sum(known):,} environment steps" if known else ""
    return (
        f"{runs} cells in {len(every)} groups, "
        f"{sum(found.programs for found in counts)} compiled programs{steps}."
    )
