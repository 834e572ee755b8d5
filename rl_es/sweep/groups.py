"""One group, claimed and compiled: its runs batch after batch, and how each of them ended.

What is said, when runs have ended, of members whose return was not finite.
"""

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from rl_es.errors import StorageError, UserError
from rl_es.sweep import runs, store
from rl_es.sweep.progress import Progress
from rl_es.sweep.queue import ClaimedGroup, Compile, PlacedGroup, shrink_placement
from rl_es.sweep.runs import ActiveRun, GroupRecord
from rl_es.sweep.store import Store
from rl_es.training import multihost
from rl_es.training.compilation import Program
from rl_es.training.resources import DEFAULT_RESOURCES, Resources


def nonfinite_message(lanes: Iterable[ActiveRun]) -> Iterator[str]:
    """A line per environment and label of which a run had such members."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for lane in lanes:
        if lane.come.nonfinite_members:
            own = found.setdefault((lane.cell.env, lane.cell.label), {})
            own[lane.cell.seed] = lane.come.nonfinite_members
    for (env, label), counts in found.items():
        seeds = ", ".join(map(str, counts))
        yield (
            f"{env} / {label}: {sum(counts.values()):,} times a member's return was not finite and "
            f"counted as the worst of its generation ({'seed' if len(counts) == 1 else 'seeds'} "
            f"{seeds})"
        )


@dataclass(frozen=True)
class GroupRunner:
    """Runs groups.

    Attributes:
      store: the results folder.
      progress: told of each cell.
      stop: looked at between calls of a program, in all processes.
      compiled: compiles what has to be cut, since it did not fit in memory.
      resources: that may be used.
    """

    store: Store
    progress: Progress
    stop: threading.Event
    compiled: Compile
    resources: Resources = DEFAULT_RESOURCES

    def whole(self, taken: ClaimedGroup) -> int:
        """Compiles and runs a group that was taken, and lets go of it; else as `run`."""
        work = taken.work
        try:
            try:
                program = self.compiled(work)
            except Exception as error:
                return self.fail(work, taken.wanted, store.cell_reason(error))
            return self.run(work, taken.wanted, program)
        finally:
            taken.release()

    def run(self, work: PlacedGroup, wanted: Set[str], program: Program) -> int:
        """Runs the wanted cells of a group, in smaller parts where memory does not suffice.

        Args:
          work: the group, which this process has claimed.
          wanted: run_id of the cells that are run.
          program: compiled for it.

        Returns:
          How many cells failed.

        Raises:
          Interrupted: a `stop` was set; what is finished is kept, the rest saved.
          StorageError: the results folder cannot be written.
        """
        shared = _shared(work, program.compile_seconds)
        failed, left, ran = 0, {*wanted}, list[ActiveRun]()
        for members in work.batches():
            lanes = [
                ActiveRun(
                    cell, self.store, shared, status="running" if cell.run_id in left else "done"
                )
                for cell in members
            ]
            working = [lane for lane in lanes if lane.active]
            if not working:
                continue
            # A program has a fixed number of lanes: the ones left over do nothing.
            idle = [ActiveRun(members[0], self.store, shared, status="done")]
            lanes += idle * (work.lanes - len(members))
            less = self._batch(work, program, lanes)
            if less is not None:
                return failed + self._again(less, left)
            failed += self._tell(working)
            left -= {lane.cell.run_id for lane in working}
            ran += working
        for text in nonfinite_message(ran):
            self.progress.note(text)
        return failed

    def fail(self, work: PlacedGroup, wanted: Collection[str], reason: str) -> int:
        """Records that cells of a group could not be run; returns how many they are."""
        shared = _shared(work, 0.0)
        cells = [cell for cell in work.group.cells if cell.run_id in wanted]
        lanes = [ActiveRun(cell, self.store, shared) for cell in cells]
        for lane in lanes:
            lane.fail(reason)
        return self._tell(lanes)

    def give_up(self, work: PlacedGroup, wanted: Collection[str], reason: str) -> int:
        """`fail` of what is left of a group that others ran: cells that have ended are kept."""
        cells = [cell for cell in work.group.cells if cell.run_id in wanted]
        left = {cell.run_id for cell in cells if self.store.state(cell) != "done"}
        return self.fail(work, left, reason)

    def _batch(
        self, work: PlacedGroup, program: Program, lanes: Sequence[ActiveRun]
    ) -> PlacedGroup | None:
        """Runs a batch; returns the smaller work to be done instead where memory did not suffice.

        What else goes wrong ends the lanes that have not ended yet.
        """
        try:
            every = self.resources.checkpoint_seconds
            runs.run_batch(program, lanes, self.progress, self.stop, every)
        except runs.StopRequested:
            raise multihost.Interrupted from None
        except StorageError:
            raise
        except Exception as error:
            if multihost.is_multihost() and not isinstance(error, UserError):
                raise  # the others may not have it, and would wait in vain
            less = shrink_placement(work, self.resources) if out_of_memory(error) else None
            if less is not None:
                return less
            for lane in lanes:
                if lane.active:
                    lane.fail(store.cell_reason(error))
        return None

    def _again(self, less: PlacedGroup, left: Set[str]) -> int:
        """Goes on with a group in less memory, each run from its last checkpoint."""
        where = less.place
        self.progress.note(
            f"{less.group.label}: out of memory; again with {where.lanes} "
            f"{'run' if where.lanes == 1 else 'runs'} a call and populations in "
            f"{where.placement.chunks} chunks"
        )
        try:
            program = self.compiled(less)
        except Exception as error:
            return self.fail(less, left, store.cell_reason(error))
        return self.run(less, left, program)

    def _tell(self, lanes: Sequence[ActiveRun]) -> int:
        """Reports how runs ended; returns how many failed."""
        for lane in lanes:
            if lane.status == "failed":
                self.progress.failed(lane.cell, lane.reason or "")
            else:
                final = lane.rows[-1]["return_mean"]
                final = float("nan") if final is None else final
                self.progress.finished(lane.cell, lane.status, final, lane.come.wall_seconds)
        return sum(lane.status == "failed" for lane in lanes)


def out_of_memory(error: Exception) -> bool:
    """Whether a device, or the machine, had too little memory for something."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _shared(work: PlacedGroup, compile_seconds: float) -> GroupRecord:
    return GroupRecord(
        lanes=work.lanes,
        compile_seconds=compile_seconds,
        parameters=work.training.parameters,
        first_seed=work.group.cells[0].seed,
        devices=work.place.placement.devices,
        chunks=work.place.placement.chunks,
    )
