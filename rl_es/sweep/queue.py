"""Which group comes next: the first that no other process has claimed.

Of joined processes the first one claims, and tells the others.

A group as work to do: what it trains, where it is placed, and how it is compiled.
"""

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.evolution.perturbation import PAIRS_PER_KEY
from rl_es.results import files
from rl_es.results.files import Claim
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.progress import Progress
from rl_es.sweep.store import State, Store
from rl_es.training import multihost
from rl_es.training.compilation import Compiler, Program, lane_axis
from rl_es.training.resources import GroupPlacement, Resources, pair_bytes, place_group
from rl_es.training.task import Task, TrainingSetup, make_training_setup

Compile = Callable[["PlacedGroup"], Program]


@dataclass(frozen=True)
class PlacedGroup:
    """A group with cells left to run.

    Attributes:
      group: its cells, finished ones too: a group is never cut by what is missing.
      training: what it trains, as it is placed.
      place: on which devices, how many runs a call, in how many chunks.
    """

    group: Group
    training: TrainingSetup
    place: GroupPlacement

    @property
    def lanes(self) -> int:
        """How many of its runs share a call."""
        return self.place.lanes

    def batches(self) -> Iterator[tuple[Cell, ...]]:
        """The group's cells, `lanes` at a time; the last batch may be smaller."""
        members = self.group.cells
        for start in range(0, len(members), self.lanes):
            yield members[start : start + self.lanes]


def make_group_training(group: Group) -> TrainingSetup:
    """What a group trains.

    Raises:
      UserError: its agent, policy and environment do not fit together.
    """
    cell = group.cells[0]
    task = Task(cell.env_name, cell.env_options, cell.wrappers, cell.policy)
    try:
        return make_training_setup(task, cell.agent, cell.config, cell.evaluation.episodes)
    except UserError as error:
        raise UserError(f"{group.label}: {error}") from None


def place_groups(group: Group, resources: Resources) -> PlacedGroup:
    """A group's work, placed on what may be used.

    Raises:
      UserError: its agent, policy and environment do not fit together, or there is too little.
    """
    made = make_group_training(group)
    learner, (_, traced) = made.learner, split_traced(group.cells[0].config)
    needed = pair_bytes(learner, traced)
    where = place_group(learner.pairs, len(group.cells), needed, resources)
    axis = lane_axis(where.lanes // where.placement.runs)
    return PlacedGroup(group, made.placed(axis, where.placement.spread), where)


def shrink_placement(work: PlacedGroup, resources: Resources) -> PlacedGroup | None:
    """The same work in less memory: half of the lanes, or else of the members evaluated at once.

    None where it cannot be cut any further.
    """
    lanes, where = work.lanes, work.place.placement
    if lanes > where.runs:
        return place_groups(work.group, dataclasses.replace(resources, lanes=lanes // 2))
    pairs = work.training.learner.pairs
    if pairs is None or pairs % PAIRS_PER_KEY:
        return None
    members = 2 * pairs // (where.shards * where.chunks)
    chunk = max(2 * PAIRS_PER_KEY, members // 2)
    less = dataclasses.replace(resources, lanes=lanes, population_chunk=chunk)
    cut = place_groups(work.group, less)
    return cut if cut.place.placement.chunks > where.chunks else None


def evaluation_key(cell: Cell) -> tuple[str, ...]:
    """Equal for groups that can share one evaluation program."""
    world = sorted(cell.env_options.items()), cell.wrappers, cell.policy, cell.evaluation.episodes
    return (cell.env_name, repr(world))


def compile_group(compiler: Compiler, work: PlacedGroup) -> Program:
    """Compiles what a group runs."""
    first, made = work.group.cells[0], work.training
    _, traced = split_traced(first.config)
    key = evaluation_key(first)
    return compiler.compile(
        made.learner, traced, work.lanes, made.evaluate, key, work.place.placement
    )


def compile_in_background(progress: Progress, compiler: Compiler | None = None) -> Compile:
    """A compiler of what groups run, which tells of each."""
    compiler = compiler or Compiler()

    def compiled(work: PlacedGroup) -> Program:
        progress.compiling(work.group, None)
        program = compile_group(compiler, work)
        progress.compiling(work.group, program.compile_seconds)
        return program

    return compiled


WAIT_SECONDS = 0.5  # between two looks at groups that others run
REPORTED = ("status", "reason", "final_return", "wall_seconds")


def report_waiting(progress: Progress, cell: Cell, record: Mapping[str, Any], how: str) -> None:
    """Tells of a cell that ended elsewhere or earlier, by its record."""
    if record["status"] == "failed":
        progress.failed(cell, f"{record['reason']} ({how})")
    else:
        final = record["final_return"]
        final = float("nan") if final is None else final
        progress.finished(cell, f"{record['status']} {how}", final, record["wall_seconds"])


@dataclass(frozen=True)
class ClaimedGroup:
    """A group that this process has claimed.

    Attributes:
      work: the group.
      wanted: run_id of its cells that are to be run; never empty.
      claim: to be released once they have ended; None in a process that is not the first.
    """

    work: PlacedGroup
    wanted: Set[str]
    claim: Claim | None

    def release(self) -> None:
        """Lets go of the group."""
        if self.claim is not None:
            self.claim.release()


class GroupQueue:
    """The groups of a sweep that are left."""

    def __init__(
        self,
        works: Sequence[PlacedGroup],
        store: Store,
        progress: Progress,
        state: State = "missing",
        wanted: Collection[str] | None = None,
    ):
        """Starts with all of `works`.

        Args:
          works: the groups, in order.
          store: the results folder.
          progress: told of cells that others ran.
          state: cells are run that are in it.
          wanted: run_id of cells that may be run; by default all that are in that state now.
        """
        self._left = list(works)
        self._store, self._progress, self._state = store, progress, state
        if wanted is None:
            wanted = [run_id for work in works for run_id in self._found(work)]
        self._wanted = frozenset(wanted)

    def _found(self, work: PlacedGroup) -> list[str]:
        """The cells of a group that are to be run, as the folder stands now."""
        cells = work.group.cells
        return [cell.run_id for cell in cells if self._store.state(cell) == self._state]

    @property
    def more(self) -> bool:
        """Whether there are groups that nobody here has taken."""
        return bool(self._left)

    def take(self) -> ClaimedGroup | None:
        """Claims the next group; None where there is none, or others have all that are left."""
        while self._left:
            claim: list[Claim] = []
            told = multihost.call_on_first(lambda claim=claim: self._choose(claim))
            if told is None:
                return None
            number, wanted, others = told
            work = self._left.pop(number)
            for cell in work.group.cells:
                if cell.run_id in others:
                    report_waiting(self._progress, cell, others[cell.run_id], "by another process")
            taken = ClaimedGroup(work, frozenset(wanted), *claim or [None])
            if wanted:
                return taken
            taken.release()
        return None

    def wait(self, stop: threading.Event) -> ClaimedGroup | None:
        """Claims the next group, after others where they have it; None where there is none."""
        told = False
        while (taken := self.take()) is None and self._left:
            if not told:
                key = self._left[0].group.key
                self._progress.note(
                    f"waiting for {files.claim_holder(self._store.folder, key)}, which runs "
                    f"{self._left[0].group.label}",
                    False,
                )
                told = True
            if multihost.any_process(stop.wait(WAIT_SECONDS)):
                raise multihost.Interrupted
        return taken

    def _choose(self, claim: list[Claim]) -> Any:
        """(number, wanted, ended by others) of the first group that is free; puts its claim."""
        for number, work in enumerate(self._left):
            held = files.claim(self._store.folder, work.group.key)
            if held is None:
                continue
            claim.append(held)
            wanted = [run_id for run_id in self._found(work) if run_id in self._wanted]
            ended = {}
            for cell in work.group.cells:
                if cell.run_id in wanted:
                    self._store.tidy(cell)
                elif cell.run_id in self._wanted:
                    record = self._store.read(cell)[1]
                    ended[cell.run_id] = {name: record[name] for name in REPORTED}
            return number, wanted, ended
        return None
