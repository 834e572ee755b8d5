"""Which group comes next: the first that no other process has claimed.

Of joined processes the first one claims, and tells the others.
"""

import threading
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from rl_es.sweep import claims
from rl_es.sweep.cells import Cell
from rl_es.sweep.claims import Claim
from rl_es.sweep.progress import Progress
from rl_es.sweep.store import State, Store
from rl_es.sweep.work import Work
from rl_es.training import together

WAIT_SECONDS = 0.5  # between two looks at groups that others run
REPORTED = ("status", "reason", "final_return", "wall_seconds")


def report(progress: Progress, cell: Cell, record: Mapping[str, Any], how: str) -> None:
    """Tells of a cell that ended elsewhere or earlier, by its record."""
    if record["status"] == "failed":
        progress.failed(cell, f"{record['reason']} ({how})")
    else:
        final = record["final_return"]
        final = float("nan") if final is None else final
        progress.finished(cell, f"{record['status']} {how}", final, record["wall_seconds"])


@dataclass(frozen=True)
class Taken:
    """A group that this process has claimed.

    Attributes:
      work: the group.
      wanted: run_id of its cells that are to be run; never empty.
      claim: to be released once they have ended; None in a process that is not the first.
    """

    work: Work
    wanted: Set[str]
    claim: Claim | None

    def release(self) -> None:
        """Lets go of the group."""
        if self.claim is not None:
            self.claim.release()


class Queue:
    """The groups of a sweep that are left."""

    def __init__(
        self,
        works: Sequence[Work],
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

    def _found(self, work: Work) -> list[str]:
        """The cells of a group that are to be run, as the folder stands now."""
        cells = work.group.cells
        return [cell.run_id for cell in cells if self._store.state(cell) == self._state]

    @property
    def more(self) -> bool:
        """Whether there are groups that nobody here has taken."""
        return bool(self._left)

    def take(self) -> Taken | None:
        """Claims the next group; None where there is none, or others have all that are left."""
        while self._left:
            claim: list[Claim] = []
            told = together.first(lambda claim=claim: self._choose(claim))
            if told is None:
                return None
            number, wanted, others = told
            work = self._left.pop(number)
            for cell in work.group.cells:
                if cell.run_id in others:
                    report(self._progress, cell, others[cell.run_id], "by another process")
            taken = Taken(work, frozenset(wanted), *claim or [None])
            if wanted:
                return taken
            taken.release()
        return None

    def wait(self, stop: threading.Event) -> Taken | None:
        """Claims the next group, after others where they have it; None where there is none."""
        told = False
        while (taken := self.take()) is None and self._left:
            if not told:
                key = self._left[0].group.key
                self._progress.note(
                    f"waiting for {claims.holder(self._store.folder, key)}, which runs "
                    f"{self._left[0].group.label}",
                    False,
                )
                told = True
            if together.anyone(stop.wait(WAIT_SECONDS)):
                raise together.Interrupted
        return taken

    def _choose(self, claim: list[Claim]) -> Any:
        """(number, wanted, ended by others) of the first group that is free; puts its claim."""
        for number, work in enumerate(self._left):
            held = claims.take(self._store.folder, work.group.key)
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
