"""Runs of one claimed group, batch after batch, and how each of them ended.

A group that does not fit in memory is cut: it goes on from its last checkpoints with fewer lanes,
or with its population in more chunks. Another error ends the group's runs as failed.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial

from rl_es.errors import Interrupted, StorageError
from rl_es.sweep import runs
from rl_es.sweep.cells import Group
from rl_es.sweep.progress import Progress
from rl_es.sweep.queue import (
    ClaimedGroup,
    Compile,
    GroupQueue,
    PlacedGroup,
    make_placed_group,
    shrink_placement,
)
from rl_es.sweep.runs import ActiveRun, GroupRecord
from rl_es.sweep.store import Store, cell_reason
from rl_es.training.program import Program
from rl_es.training.resources import DEFAULT_RESOURCES, Resources


@dataclass(frozen=True)
class GroupRunner:
    """Runs groups.

    Attributes:
      store: The results folder.
      progress: Receives the reports.
      stop: Is checked between calls of a program, in all processes.
      compile: Compiles the program of a group.
      resources: Resources that may be used.
    """

    store: Store
    progress: Progress
    stop: threading.Event
    compile: Compile
    resources: Resources = DEFAULT_RESOURCES

    def queue(
        self,
        groups: Sequence[Group],
        versions: Mapping[str, int] | None = None,
        place: Callable[[Group], PlacedGroup] | None = None,
    ) -> GroupQueue:
        """Returns the queue of groups to run; see `GroupQueue`. `place` is by the resources."""
        place = place or partial(make_placed_group, resources=self.resources)
        return GroupQueue(groups, self.store, self.progress, place, versions)

    def compile_and_run(self, claimed_group: ClaimedGroup) -> int:
        """Compiles and runs a claimed group, and releases it; otherwise as `run`."""
        try:
            program, error = BackgroundCompile(self, claimed_group).result()
            return self.run_compiled(claimed_group, program, error)
        finally:
            claimed_group.release()

    def run_compiled(
        self, claimed_group: ClaimedGroup, program: Program | None, error: Exception | None
    ) -> int:
        """Runs a claimed group. Where a process could not compile it, it is cut, or fails.

        Args:
          claimed_group: the group.
          program: its program; None where this process could not compile it.
          error: why it could not.

        Returns:
          How many cells failed.

        Raises:
          Interrupted: a stop was requested; finished runs are kept, the others saved.
          StorageError: the results folder cannot be written.
        """
        missing = self.store.in_any_process(program is None)
        if program is None or missing:
            error = error or RuntimeError("another process could not compile it")
            return self._cut_or_fail(claimed_group.work, claimed_group.run_ids, error)
        return self.run(claimed_group.work, claimed_group.run_ids, program)

    def run(self, work: PlacedGroup, run_ids: Set[str], program: Program) -> int:
        """Runs cells of a claimed group, in smaller parts where memory does not suffice.

        It returns the number of cells that failed, and raises errors as `run_compiled`.
        """
        record = _group_record(work, program.compile_seconds)
        failures, left, ended_runs = 0, {*run_ids}, list[ActiveRun]()
        for cells in work.batches():
            lanes = [
                ActiveRun(
                    cell, self.store, record, status="running" if cell.run_id in left else "done"
                )
                for cell in cells
            ]
            working = [lane for lane in lanes if lane.active]
            if not working:
                continue
            # A program has a fixed number of lanes: surplus lanes do nothing.
            idle = [ActiveRun(cells[0], self.store, record, status="done")]
            lanes += idle * (work.lanes - len(cells))
            smaller = self._run_batch(work, program, lanes)
            if smaller is not None:
                return failures + self._run_smaller(smaller, left)
            failures += self._report(working)
            left -= {lane.cell.run_id for lane in working}
            ended_runs += working
        for message in nonfinite_messages(ended_runs, work.training.learner.pairs is not None):
            self.progress.note(message)
        return failures

    def fail(self, work: PlacedGroup, run_ids: Collection[str], reason: str) -> int:
        """Records that cells of a group could not be run; returns how many they are."""
        record = _group_record(work, 0.0)
        cells = [cell for cell in work.group.cells if cell.run_id in run_ids]
        lanes = [ActiveRun(cell, self.store, record) for cell in cells]
        for lane in lanes:
            lane.fail(reason)
        return self._report(lanes)

    def give_up(self, work: PlacedGroup, versions: Mapping[str, int], reason: str) -> int:
        """Fails what is left of a group that other processes ran; returns the number of cells.

        Args:
          work: the group.
          versions: `Store.version` at the start of each cell that was to be run, by run_id.
          reason: why it is given up.
        """
        left = {
            cell.run_id
            for cell in work.group.cells
            if cell.run_id in versions and self.store.is_left(cell, versions[cell.run_id])
        }
        return self.fail(work, left, reason)

    def _run_batch(
        self, work: PlacedGroup, program: Program, lanes: Sequence[ActiveRun]
    ) -> PlacedGroup | None:
        """Runs a batch; returns the group cut smaller where memory did not suffice.

        Any other error ends the lanes that have not ended yet.
        """
        try:
            seconds = self.resources.checkpoint_seconds
            runs.run_batch(program, lanes, self.progress, self.stop, seconds)
        except StorageError:
            raise
        except Exception as error:
            if not self.store.is_shared(error):
                raise
            smaller = shrink_placement(work, self.resources) if is_out_of_memory(error) else None
            if smaller is not None:
                return smaller
            for lane in lanes:
                if lane.active:
                    lane.fail(cell_reason(error))
        return None

    def _run_smaller(self, work: PlacedGroup, run_ids: Set[str]) -> int:
        """Goes on with a group that was cut, each run from its last checkpoint."""
        self.progress.note(
            f"{work.group.label}: out of memory; again with {work.lanes} "
            f"{'run' if work.lanes == 1 else 'runs'} a call and populations in "
            f"{work.place.placement.chunks} chunks"
        )
        try:
            program = self.compile(work)
        except Exception as error:
            return self._cut_or_fail(work, run_ids, error)
        return self.run(work, run_ids, program)

    def _cut_or_fail(self, work: PlacedGroup, run_ids: Set[str], error: Exception) -> int:
        """Cuts a group that could not be compiled for want of memory; otherwise fails it."""
        smaller = None
        if is_out_of_memory(error) and self.store.is_shared(error):
            smaller = shrink_placement(work, self.resources)
        if smaller is not None:
            return self._run_smaller(smaller, run_ids)
        return self.fail(work, run_ids, cell_reason(error))

    def _report(self, lanes: Sequence[ActiveRun]) -> int:
        """Reports how runs ended; returns how many failed."""
        for lane in lanes:
            if lane.status == "failed":
                self.progress.fail(lane.cell, lane.reason or "")
            else:
                final = lane.rows[-1]["return_mean"]
                final = float("nan") if final is None else final
                seconds = lane.progress.wall_seconds
                self.progress.finish(lane.cell, lane.status, final, seconds)
        return sum(lane.status == "failed" for lane in lanes)


class BackgroundCompile:
    """The compilation of a group in a thread, which does not delay the end of the process."""

    def __init__(self, runner: GroupRunner, claimed_group: ClaimedGroup):
        """Starts the compilation."""
        self._store, self._stop = runner.store, runner.stop
        self._result: tuple[Program | None, Exception | None] | None = None

        def compile_group() -> None:
            try:
                self._result = runner.compile(claimed_group.work), None
            except Exception as error:
                self._result = None, error

        self._thread = threading.Thread(target=compile_group, daemon=True)
        self._thread.start()

    def result(self) -> tuple[Program | None, Exception | None]:
        """Waits for the program, or for the exception that compiling it raised.

        Raises:
          Interrupted: a stop was requested in any process before the compilation ended.
        """
        while self._thread.is_alive() and not self._stop.is_set():
            self._thread.join(0.1)
        if self._store.in_any_process(self._thread.is_alive()):
            raise Interrupted
        assert self._result is not None
        return self._result


def nonfinite_messages(lanes: Iterable[ActiveRun], is_population: bool) -> Iterator[str]:
    """Yields a message for each environment and label whose members had returns not finite."""
    outcome = "counted as the worst of its generation" if is_population else "was not learned from"
    counts: dict[tuple[str, str], dict[int, int]] = {}  # by seed
    for lane in lanes:
        if lane.progress.nonfinite_members:
            by_seed = counts.setdefault((lane.cell.env, lane.cell.label), {})
            by_seed[lane.cell.seed] = lane.progress.nonfinite_members
    for (env, label), by_seed in counts.items():
        seeds = ", ".join(map(str, by_seed))
        yield (
            f"{env} / {label}: {sum(by_seed.values()):,} times a member's return was not finite "
            f"and {outcome} ({'seed' if len(by_seed) == 1 else 'seeds'} {seeds})"
        )


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether a device, or the machine, had too little memory."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _group_record(work: PlacedGroup, compile_seconds: float) -> GroupRecord:
    return GroupRecord(
        lanes=work.lanes,
        compile_seconds=compile_seconds,
        parameters=work.training.parameters,
        first_seed=work.group.cells[0].seed,
        devices=work.place.placement.devices,
        chunks=work.place.placement.chunks,
    )
