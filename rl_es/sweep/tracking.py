"""Live tracking: evaluations are sent to trackers, such as TensorBoard, while a sweep runs.

The evaluations are read from the cells in the results folder, where each run writes its curve every
few seconds. So it does not matter which process runs a cell, and nothing that runs is changed.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rl_es.errors import UserError, short_reason
from rl_es.results import tables
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.progress import CellReport, Progress, SweepStart

INTERVAL_SECONDS = 2.0  # between two looks at a cell; runs write their curves as often


class Tracker(Protocol):
    """A service that shows curves of runs."""

    @property
    def name(self) -> str:
        """Its name, for messages."""
        ...

    def log(self, cell: Cell, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds evaluations to the curve of a run: rows of the table of curves, in order."""
        ...

    def finish(self, cell: Cell) -> None:
        """Ends the curve of a run."""
        ...

    def close(self) -> None:
        """Ends the curves of runs that were stopped."""
        ...


def run_settings(cell: Cell) -> dict[str, Any]:
    """Returns what defines a run, in the columns of the table of runs."""
    settings = {f"hyper.{name}": value for name, value in cell.settings.items()}
    identity = {"env": cell.env, "label": cell.label, "agent": cell.agent, "seed": cell.seed}
    return {**identity, **settings}


class TrackedProgress(Progress):
    """Passes the reports of a sweep on, and sends new evaluations of its runs to trackers.

    A tracker that raises an exception is left out from then on: it never ends a run.
    """

    def __init__(
        self,
        progress: Progress,
        folder: Path,
        trackers: Sequence[Tracker],
        clock: Callable[[], float] = time.monotonic,
    ):
        """Reads the cells in `folder`, the results folder; `progress` gets the reports."""
        self._progress, self._folder, self._clock = progress, folder, clock
        self._trackers = list(trackers)
        self._lock = threading.Lock()
        self._times: dict[str, float] = {}  # of the last look at each cell, by run_id
        self._counts: dict[str, int] = {}  # rows of each cell that were sent, by run_id

    def begin(self, start: SweepStart) -> None:
        """Passes the start on."""
        self._progress.begin(start)

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Passes a compilation on."""
        self._progress.compiling(group, seconds)

    def running(self, report: CellReport) -> None:
        """Passes a running cell on, and sends its new evaluations unless it did so just before."""
        self._progress.running(report)
        with self._lock:
            last = self._times.get(report.cell.run_id)
            if last is None or self._clock() - last >= INTERVAL_SECONDS:
                self._times[report.cell.run_id] = self._clock()
                self._send(report.cell)

    def finish(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Passes the end of a cell on, and sends its last evaluations.

        Cells that another `run` has ended are that one's to track.
        """
        self._progress.finish(cell, status, final_return, seconds)
        if status in tables.STATUSES:
            self._end(cell)

    def fail(self, cell: Cell, reason: str) -> None:
        """Passes the failure of a cell on, and sends its last evaluations."""
        self._progress.fail(cell, reason)
        if cell.run_id in self._times:
            self._end(cell)

    def note(self, text: str, always: bool = True) -> None:
        """Passes a note on."""
        self._progress.note(text, always)

    def end(self) -> None:
        """Ends the curves of runs that were stopped, and the reports."""
        self.close()
        self._progress.end()

    def close(self) -> None:
        """Ends the curves of runs that were stopped."""
        with self._lock:
            self._call(lambda tracker: tracker.close())
            self._trackers.clear()

    def _end(self, cell: Cell) -> None:
        with self._lock:
            self._send(cell)
            self._call(lambda tracker: tracker.finish(cell))

    def _send(self, cell: Cell) -> None:
        """Sends the evaluations of a cell that were written since the last look."""
        try:
            rows, _ = tables.read_cell(self._folder / "cells" / f"{cell.run_id}.parquet")
        except UserError:  # it is not written yet, or damaged, which those who need it report
            return
        rows = sorted(rows, key=lambda row: row["generation"])
        new_rows = rows[self._counts.get(cell.run_id, 0) :]
        self._counts[cell.run_id] = len(rows)
        if new_rows:
            self._call(lambda tracker: tracker.log(cell, new_rows))

    def _call(self, call: Callable[[Tracker], None]) -> None:
        """Calls every tracker, and leaves out those that fail."""
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except Exception as error:  # of another library: a run does not depend on it
                self._trackers.remove(tracker)
                reason = f"{type(error).__name__}: {short_reason(error)}"
                self._progress.note(f"{tracker.name} is left out from here on: {reason}")
