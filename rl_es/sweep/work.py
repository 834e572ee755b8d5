"""A group as work to do: what it trains, where it is placed, and how it is compiled."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rl_es.config import split
from rl_es.errors import UserError
from rl_es.evolution.keys import PAIRS_PER_KEY
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.placing import Place, Resources, place
from rl_es.sweep.progress import Progress
from rl_es.training.footprint import pair_bytes
from rl_es.training.program import Compiler, Program, lane_axis
from rl_es.training.task import Task, Training, make_training

Compile = Callable[["Work"], Program]


@dataclass(frozen=True)
class Work:
    """A group with cells left to run.

    Attributes:
      group: its cells, finished ones too: a group is never cut by what is missing.
      training: what it trains, as it is placed.
      place: on which devices, how many runs a call, in how many chunks.
    """

    group: Group
    training: Training
    place: Place

    @property
    def lanes(self) -> int:
        """How many of its runs share a call."""
        return self.place.lanes

    def batches(self) -> Iterator[tuple[Cell, ...]]:
        """The group's cells, `lanes` at a time; the last batch may be smaller."""
        members = self.group.cells
        for start in range(0, len(members), self.lanes):
            yield members[start : start + self.lanes]


def training(group: Group) -> Training:
    """What a group trains.

    Raises:
      UserError: its agent, policy and environment do not fit together.
    """
    cell = group.cells[0]
    task = Task(cell.env_name, cell.env_options, cell.wrappers, cell.policy)
    try:
        return make_training(task, cell.agent, cell.config, cell.evaluation.episodes)
    except UserError as error:
        raise UserError(f"{group.label}: {error}") from None


def work_of(group: Group, resources: Resources) -> Work:
    """A group's work, placed on what may be used.

    Raises:
      UserError: its agent, policy and environment do not fit together, or there is too little.
    """
    made = training(group)
    learner, (_, traced) = made.learner, split(group.cells[0].config)
    needed = pair_bytes(learner, traced)
    where = place(learner.pairs, len(group.cells), needed, resources)
    axis = lane_axis(where.lanes // where.placement.runs)
    return Work(group, made.placed(axis, where.placement.spread), where)


def smaller(work: Work, resources: Resources) -> Work | None:
    """The same work in less memory: half of the lanes, or else of the members evaluated at once.

    None where it cannot be cut any further.
    """
    lanes, where = work.lanes, work.place.placement
    if lanes > where.runs:
        return work_of(work.group, dataclasses.replace(resources, lanes=lanes // 2))
    pairs = work.training.learner.pairs
    if pairs is None or pairs % PAIRS_PER_KEY:
        return None
    members = 2 * pairs // (where.shards * where.chunks)
    chunk = max(2 * PAIRS_PER_KEY, members // 2)
    less = dataclasses.replace(resources, lanes=lanes, population_chunk=chunk)
    cut = work_of(work.group, less)
    return cut if cut.place.placement.chunks > where.chunks else None


def evaluation_key(cell: Cell) -> tuple[str, ...]:
    """Equal for groups that can share one evaluation program."""
    world = sorted(cell.env_options.items()), cell.wrappers, cell.policy, cell.evaluation.episodes
    return (cell.env_name, repr(world))


def compile_group(compiler: Compiler, work: Work) -> Program:
    """Compiles what a group runs."""
    first, made = work.group.cells[0], work.training
    _, traced = split(first.config)
    key = evaluation_key(first)
    return compiler.compile(
        made.learner, traced, work.lanes, made.evaluate, key, work.place.placement
    )


def compiling(progress: Progress, compiler: Compiler | None = None) -> Compile:
    """A compiler of what groups run, which tells of each."""
    compiler = compiler or Compiler()

    def compiled(work: Work) -> Program:
        progress.compiling(work.group, None)
        program = compile_group(compiler, work)
        progress.compiling(work.group, program.compile_seconds)
        return program

    return compiled
