"""The groups of a sweep that are left to run, and which of them this process runs next.

A `PlacedGroup` is a group with what it trains and where that is placed: devices, runs that share a
call of the program, chunks of the population. A `GroupQueue` hands out the placed groups in order,
each claimed in the results folder, so that several processes may run one folder.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from rl_es import registry
from rl_es.config import split_traced
from rl_es.errors import Interrupted, UserError
from rl_es.evolution.perturbation import PAIRS_PER_KEY
from rl_es.results.files import claim_holder
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.progress import Progress
from rl_es.sweep.store import GroupClaim, Store
from rl_es.training.compilation import lane_axis
from rl_es.training.export_cache import Exporter
from rl_es.training.program import Compiler, Exporters, Program
from rl_es.training.resources import GroupPlacement, Resources, pair_bytes, place_group
from rl_es.training.task import Task, TrainingSetup, make_training_setup

WAIT_SECONDS = 0.5  # between two looks at groups that other processes run

Compile = Callable[["PlacedGroup"], Program]


@dataclass(frozen=True)
class PlacedGroup:
    """A group with cells left to run.

    Attributes:
      group: All cells of the group, finished ones too, so that it is the same at every start.
      training: What it trains, as it is placed.
      place: Devices, runs that share a call, and chunks of the population.
    """

    group: Group
    training: TrainingSetup
    place: GroupPlacement

    @property
    def lanes(self) -> int:
        """Number of its runs that share a call."""
        return self.place.lanes

    def batches(self) -> Iterator[tuple[Cell, ...]]:
        """Yields the group's cells, `lanes` at a time; the last batch may be smaller."""
        cells = self.group.cells
        for start in range(0, len(cells), self.lanes):
            yield cells[start : start + self.lanes]


def make_group_training(group: Group) -> TrainingSetup:
    """Returns what a group trains.

    Raises:
      UserError: its agent, policy and environment do not fit together.
    """
    cell = group.cells[0]
    task = Task(cell.env_name, cell.options, cell.wrappers, cell.policy)
    try:
        return make_training_setup(task, cell.agent, cell.config, cell.evaluation.episodes)
    except UserError as error:
        raise UserError(f"{group.label}: {error}") from None


def make_placed_group(group: Group, resources: Resources) -> PlacedGroup:
    """Returns a group, placed on the resources.

    Raises:
      UserError: its agent, policy and environment do not fit together, or the resources are too
        few.
    """
    training = make_group_training(group)
    learner, (_, traced) = training.learner, split_traced(group.cells[0].config)
    place = place_group(learner.pairs, len(group.cells), pair_bytes(learner, traced), resources)
    axis = lane_axis(place.lanes // place.placement.runs)
    return PlacedGroup(group, training.with_placement(axis, place.placement.population), place)


def shrink_placement(work: PlacedGroup, resources: Resources) -> PlacedGroup | None:
    """Returns the group placed in less memory; None where it cannot be cut any further.

    First the lanes are halved, then the members that are evaluated at once.
    """
    lanes, placement = work.lanes, work.place.placement
    if lanes > placement.runs:
        return make_placed_group(work.group, dataclasses.replace(resources, lanes=lanes // 2))
    pairs = work.training.learner.pairs
    if pairs is None or pairs % PAIRS_PER_KEY:
        return None
    members = 2 * pairs // (placement.shards * placement.chunks)
    chunk = max(2 * PAIRS_PER_KEY, members // 2)
    smaller = dataclasses.replace(resources, lanes=lanes, population_chunk=chunk)
    shrunk = make_placed_group(work.group, smaller)
    return shrunk if shrunk.place.placement.chunks > placement.chunks else None


def group_exporters(work: PlacedGroup) -> Exporters:
    """Returns how a group's functions are exported; the cache is used for this package's code only.

    What a plug-in does may depend on more than its settings, such as a file that it reads.
    """
    cell = work.group.cells[0]
    is_own = registry.is_own_environment(cell.env_name) and cell.policy.network_code is None
    settings = sorted(split_traced(cell.config)[1])
    place = [work.lanes, repr(work.place.placement)]
    return Exporters(
        Exporter(
            ["advance", cell.group, settings, place], is_own and registry.agents.is_own(cell.agent)
        ),
        Exporter(["evaluate", cell.evaluator, place], is_own),
    )


def compile_group(compiler: Compiler, work: PlacedGroup) -> Program:
    """Compiles the program of a group."""
    cell, training = work.group.cells[0], work.training
    _, traced = split_traced(cell.config)
    return compiler.compile(
        training.learner,
        traced,
        work.lanes,
        training.evaluate,
        cell.evaluator,
        work.place.placement,
        group_exporters(work),
    )


def make_group_compiler(progress: Progress, compiler: Compiler | None = None) -> Compile:
    """Returns a function that compiles the program of a group and reports it to `progress`."""
    compiler = compiler or Compiler()

    def compile_and_report(work: PlacedGroup) -> Program:
        progress.compiling(work.group, None)
        program = compile_group(compiler, work)
        progress.compiling(work.group, program.compile_seconds)
        return program

    return compile_and_report


def report_ended(progress: Progress, cell: Cell, record: Mapping[str, Any], origin: str) -> None:
    """Reports a cell that this process has not run.

    Args:
      progress: receives the report.
      cell: the cell.
      record: `store.ENDING` of its run.
      origin: when or by whom it was run, for people.
    """
    if record["status"] == "failed":
        progress.fail(cell, f"{record['reason']} ({origin})")
    else:
        final = record["final_return"]
        final = float("nan") if final is None else final
        progress.finish(cell, f"{record['status']} {origin}", final, record["wall_seconds"])


@dataclass(frozen=True)
class ClaimedGroup:
    """A group that this process has claimed.

    Attributes:
      work: The group.
      claim: Its claim, to be released once its cells have ended.
    """

    work: PlacedGroup
    claim: GroupClaim

    @property
    def run_ids(self) -> Set[str]:
        """Cells that are to be run; never empty."""
        return self.claim.run_ids

    def release(self) -> None:
        """Releases the claim; may be called twice."""
        self.claim.release()


class GroupQueue:
    """The groups of a sweep that this process has not claimed yet."""

    def __init__(
        self,
        groups: Sequence[Group],
        store: Store,
        progress: Progress,
        place: Callable[[Group], PlacedGroup],
        versions: Mapping[str, int] | None = None,
    ):
        """Starts with all of `groups`.

        Args:
          groups: the groups, in order.
          store: the results folder.
          progress: receives reports of cells that other processes have run.
          place: returns a group as it is placed; is called once the group is claimed.
          versions: `Store.version` at the start of each cell that may be run, by run_id; by default
            of all cells that are missing.
        """
        self._groups = list(groups)
        self._store, self._progress, self._place = store, progress, place
        if versions is None:
            cells = [cell for group in groups for cell in group.cells]
            states = store.states(cells)
            missing = (cell for cell in cells if states[cell.run_id] == "missing")
            versions = {cell.run_id: store.version(cell) for cell in missing}
        self._versions = versions

    def take(self) -> ClaimedGroup | None:
        """Claims the next group; returns None where other processes have all that are left."""
        while self._groups:
            claim = self._store.claim_first(self._groups, self._versions)
            if claim is None:
                return None
            group = self._groups.pop(claim.index)
            for cell in group.cells:
                record = claim.ended_records.get(cell.run_id)
                if record is not None:
                    report_ended(self._progress, cell, record, "by another process")
            if claim.run_ids:
                return ClaimedGroup(self._place(group), claim)
            claim.release()
        return None

    def wait(self, stop: threading.Event) -> ClaimedGroup | None:
        """Claims the next group once no other process has it; returns None after the last.

        Raises:
          Interrupted: a stop was requested.
        """
        has_reported = False
        while (claimed_group := self.take()) is None and self._groups:
            if not has_reported:
                group = self._groups[0]
                holder = claim_holder(self._store.folder, group.key)
                self._progress.note(f"waiting for {holder}, which runs {group.label}", False)
                has_reported = True
            if self._store.stop_requested(stop, WAIT_SECONDS):
                raise Interrupted
        return claimed_group
