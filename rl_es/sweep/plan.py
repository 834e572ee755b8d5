"""What a sweep will run, without running it: cells, groups, compiled programs, steps, memory, time.

Counts follow from the file alone. Time and memory are measured: each group's program is compiled
(it stays in the cache, so the work is not lost) and trains one run for a moment, in vain.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from rl_es.config import split
from rl_es.interfaces import Limit
from rl_es.sweep import describing, provenance, surfaces
from rl_es.sweep.cells import Cell, Group, cells, groups
from rl_es.sweep.lane import MOST_STEPS
from rl_es.sweep.placing import ANY_RESOURCES, Resources
from rl_es.sweep.schema import Sweep
from rl_es.sweep.tally import duration
from rl_es.sweep.work import Work, compile_group, evaluation_key, work_of
from rl_es.training.platform import prepare
from rl_es.training.program import Compiler, Program

PROBE_SECONDS = 1.5


@dataclass(frozen=True)
class Counts:
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
class Measured:
    """What a probe of a group says, in seconds of one run unless said otherwise."""

    compile: float  # of the group, from nothing or from what the cache had
    cached: float  # of the group, with all its programs in the cache
    run: float  # training and evaluation of all the group's runs
    memory: int  # bytes of its largest program, by XLA's own account


def count(works: Sequence[Work]) -> list[Counts]:
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
        found.append(Counts(programs, work.training.parameters, steps, env_steps, generations))
    return found


def measure(work: Work, program: Program) -> Measured:
    """Trains the group's first run for a moment, and says what the whole group would take."""
    cell, runs = work.group.cells[0], len(work.group.cells)
    lanes = np.arange(program.lanes, dtype=np.uint32)
    names = split(cell.config)[1].items()
    hyper = {name: np.full(program.lanes, value, np.float32) for name, value in names}
    state = program.init(lanes, hyper)
    once = np.ones(program.lanes, np.int32)
    # seconds, environment steps of a lane, generations
    marks: list[tuple[float, float, int]] = [(0.0, 0.0, 0)]
    began, generations = time.perf_counter(), 1
    while marks[-1][0] < PROBE_SECONDS and _share(cell, *marks[-1]) < 1:
        state, rows = program.advance(state, Limit(generations * once, MOST_STEPS * once))
        steps, done = float(rows.env_steps.mean()), int(rows.generations[0])
        elapsed = time.perf_counter() - began
        marks.append((elapsed, marks[-1][1] + steps, marks[-1][2] + done))
        generations = min(2 * generations, 64)
    training_seconds = _extrapolate(cell, marks)
    began = time.perf_counter()
    np.asarray(program.evaluate(lanes, program.snapshot(state)))
    evaluations = (cell.evaluation.points + 1) * (time.perf_counter() - began)
    batches = math.ceil(runs / program.lanes)
    return Measured(
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


def elapsed(measured: Sequence[Measured], cached: bool) -> float:
    """Seconds of the whole sweep: the next group compiles while one runs."""
    compiles = [m.cached if cached else m.compile for m in measured]
    total = compiles[0] if compiles else 0.0
    for i, m in enumerate(measured):
        total += max([m.run, *compiles[i + 1 : i + 2]])
    return total


def show(sweep: Sweep, probe: bool = True, resources: Resources = ANY_RESOURCES) -> None:
    """Prints the plan.

    Args:
      sweep: validated.
      probe: compile each program and measure it, for time and memory.
      resources: as for a run.
    """
    prepare(resources.devices)
    every = groups(cells(sweep))
    asked = surfaces.wanted(sweep)
    works = [work_of(group, resources) for group in every]
    counts = count(works)
    console = Console(width=None if Console().is_terminal else 120)
    compiler, measured = Compiler(), []
    if probe:
        with console.status("compiling and measuring") as status:
            for i, work in enumerate(works):
                status.update(f"measuring {work.group.label} ({i + 1} of {len(works)})")
                measured.append(measure(work, compile_group(compiler, work)))
    console.print(_table(sweep, every, counts, measured))
    console.print(_totals(every, counts))
    for one in asked:
        console.print(f"With a {one.shown}.")
    for line in describing.places(works):
        console.print(line)
    if measured:
        seconds = elapsed(measured, cached=True)
        cold = sum(m.compile for m in measured)
        console.print(
            f"Estimated on {provenance.device()}: {duration(seconds)} for the whole sweep, now "
            f"that its programs are in the cache (compiling them took {duration(cold)}); "
            f"peak memory of the process {provenance.peak_memory() / 2**30:.1f} GiB."
        )


def _table(
    sweep: Sweep, every: Sequence[Group], counts: Sequence[Counts], measured: Sequence[Measured]
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
            row += [duration(measured[i].compile), duration(measured[i].run)]
            row += [f"{measured[i].memory / 2**20:,.1f} MiB"]
        table.add_row(*map(str, row))
    return table


def _totals(every: Sequence[Group], counts: Sequence[Counts]) -> str:
    runs = sum(len(group.cells) for group in every)
    known = [found.env_steps for found in counts if found.env_steps is not None]
    steps = f", {sum(known):,} environment steps" if known else ""
    return (
        f"{runs} cells in {len(every)} groups, "
        f"{sum(found.programs for found in counts)} compiled programs{steps}."
    )
