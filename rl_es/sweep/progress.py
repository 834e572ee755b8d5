"""What a person sees while a sweep runs: a live table on a terminal, otherwise one line per event.

`Progress` receives the reports of a sweep, from any thread, and ignores them. Its subclasses show
them (`LiveTable`, `ProgressLines`) or send them to another process. A `ProgressTally` counts what
has been done, and estimates how long the rest will take.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rl_es.sweep.cells import Cell, Group

# Share of the budget, and seconds, before which no pace is known.
LEAST_SHARE, LEAST_SECONDS = 0.02, 20.0


class Progress:
    """Receives the reports of a sweep, and ignores them."""

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Reports the start.

        Args:
          groups: those with cells left to run.
          done: number of cells that an earlier call finished.
          total: number of cells of the sweep.
        """

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Reports that a compilation starts (None), or has ended after `seconds`."""

    def running(
        self,
        cell: Cell,
        fraction: float,
        return_mean: float,
        env_steps: int,
        steps_per_second: float,
    ) -> None:
        """Reports a cell that runs.

        Args:
          cell: the cell.
          fraction: share of its budget that is used, 0 to 1.
          return_mean: mean return of its last evaluation.
          env_steps: environment steps of its training.
          steps_per_second: environment steps of its program, or of the cell, per second.
        """

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Reports that a cell has ended: `finished` or `diverged`."""

    def failed(self, cell: Cell, reason: str) -> None:
        """Reports that a cell could not be run."""

    def note(self, text: str, always: bool = True) -> None:
        """Reports anything else; `always`: also where only the essential is shown."""

    def end(self) -> None:
        """Ends the reports; may be called twice."""


@dataclass
class CellReport:
    """The last report of a cell that runs.

    Attributes:
      cell: The cell.
      fraction: Share of its budget that is used, 0 to 1.
      return_mean: Mean return of its last evaluation.
      env_steps: Environment steps of its training.
      steps_per_second: Environment steps per second.
    """

    cell: Cell
    fraction: float
    return_mean: float
    env_steps: int
    steps_per_second: float


class ProgressTally:
    """Counts of cells and times; not locked.

    The time to go is estimated from the share of the budget that is used. Budgets of one kind count
    by their size; where kinds are mixed, each cell counts the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Starts at zero; `clock` returns seconds."""
        self.clock = clock
        self.total = self.done = self.failed = 0
        self.compile_seconds = self.run_seconds = 0.0
        self.current: dict[str, CellReport] = {}
        self.compiling: dict[str, Group] = {}
        self.start_time = self._last = clock()
        self._one_kind = False
        self._weight = self._weight_done = 0.0

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Starts the count; `groups` are those with cells left to run."""
        self.done, self.total = done, total
        cells = [cell for group in groups for cell in group.cells]
        self._one_kind = len({_budget_kind(cell) for cell in cells}) <= 1
        # Groups may hold cells that were done before: only the share that is left counts.
        left = min(1.0, (total - done) / len(cells)) if cells else 0.0
        self._weight = left * sum(map(self._weigh, cells))
        self.start_time = self._last = self.clock()

    def tick(self) -> None:
        """Counts the time since the last call as run time if any cell runs."""
        now = self.clock()
        if self.current:
            self.run_seconds += now - self._last
        self._last = now

    def run(self, report: CellReport) -> None:
        """Records the report of a cell that runs."""
        self.tick()
        self.current[report.cell.run_id] = report

    def compile(self, group: Group, seconds: float | None) -> None:
        """Records the start (None) or the end of a compilation."""
        if seconds is None:
            self.compiling[group.key] = group
        else:
            self.compiling.pop(group.key, None)
            self.compile_seconds += seconds

    def leave(self, cell: Cell, failed: bool) -> None:
        """Records the end of a cell."""
        self.tick()
        self.current.pop(cell.run_id, None)
        self.compiling.pop(cell.group, None)  # it is still listed where compilation failed
        self._weight_done += self._weigh(cell)
        self.done += not failed
        self.failed += failed

    @property
    def left(self) -> int:
        """Number of cells neither done nor failed."""
        return max(0, self.total - self.done - self.failed)

    @property
    def share(self) -> float:
        """Share of the budget that is used, of the cells that were left at the start."""
        running = sum(self._weigh(r.cell) * r.fraction for r in self.current.values())
        return min(1.0, (self._weight_done + running) / self._weight) if self._weight else 0.0

    @property
    def seconds_to_go(self) -> float | None:
        """Estimate; None before enough is done, since the first calls are compiled and short."""
        share = self.share
        if share <= 0 or (share < LEAST_SHARE and self.run_seconds < LEAST_SECONDS):
            return None
        return (self.clock() - self.start_time) * (1 - share) / share

    def _weigh(self, cell: Cell) -> float:
        return float(getattr(cell.budget, _budget_kind(cell))) if self._one_kind else 1.0


def _budget_kind(cell: Cell) -> str:
    return next(name for name, value in cell.budget.model_dump().items() if value is not None)


def format_duration(seconds: float | None) -> str:
    """Returns a time for people: `4.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def cell_name(cell: Cell) -> str:
    """Returns the name of a cell for people."""
    return f"{cell.env} / {cell.label}, seed {cell.seed}"


def progress_summary(tally: ProgressTally) -> str:
    """Returns counts and times on one line."""
    return (
        f"{tally.done} of {tally.total} cells done, {tally.failed} failed, {tally.left} left; "
        f"run {format_duration(tally.run_seconds)}, "
        f"compile {format_duration(tally.compile_seconds)}"
    )


class TallyProgress(Progress):
    """Counts the reports under a lock: the base class of displays."""

    def __init__(self, tally: ProgressTally | None = None):
        """Starts at zero."""
        self._tally = tally or ProgressTally()
        self._lock = threading.RLock()

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Starts the count."""
        with self._lock:
            self._tally.begin(groups, done, total)

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Counts a compilation."""
        with self._lock:
            self._tally.compile(group, seconds)

    def running(
        self,
        cell: Cell,
        fraction: float,
        return_mean: float,
        env_steps: int,
        steps_per_second: float,
    ) -> None:
        """Records a cell that runs."""
        with self._lock:
            self._tally.run(CellReport(cell, fraction, return_mean, env_steps, steps_per_second))

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Counts a cell that has ended."""
        with self._lock:
            self._tally.leave(cell, failed=False)

    def failed(self, cell: Cell, reason: str) -> None:
        """Counts a cell that has failed."""
        with self._lock:
            self._tally.leave(cell, failed=True)


class ProgressLines(TallyProgress):
    """One line per event; reports of running cells at most every `interval` seconds."""

    def __init__(
        self,
        stream: TextIO,
        quiet: bool = False,
        interval: float = 10.0,
        tally: ProgressTally | None = None,
    ):
        """Writes to `stream`, and flushes each line."""
        super().__init__(tally)
        self._stream, self._quiet, self._interval = stream, quiet, interval
        self._report_time = self._tally.clock()
        self._begun = False

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Prints how much is left to run."""
        with self._lock:
            super().begin(groups, done, total)
            self._begun = True
            left = f"{total - done} of {total} cells to run"
            self._print(f"{left}, in {len(groups)} group{'' if len(groups) == 1 else 's'}")

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Prints the start or the end of a compilation."""
        with self._lock:
            super().compiling(group, seconds)
            if seconds is None:
                self._print(f"compiling {group.label}")
            else:
                self._print(f"compiled {group.label} in {format_duration(seconds)}")

    def running(
        self,
        cell: Cell,
        fraction: float,
        return_mean: float,
        env_steps: int,
        steps_per_second: float,
    ) -> None:
        """Prints how far a cell is, unless such a line was printed just before."""
        with self._lock:
            super().running(cell, fraction, return_mean, env_steps, steps_per_second)
            if self._tally.clock() - self._report_time < self._interval:
                return
            self._report_time = self._tally.clock()
            self._print(
                f"{cell_name(cell)}: {fraction:.0%}, return {return_mean:.4g}, "
                f"{env_steps:,} steps, {steps_per_second:,.0f} steps/s; "
                f"{format_duration(self._tally.seconds_to_go)} to go"
            )

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Prints the end of a cell."""
        with self._lock:
            super().finished(cell, status, final_return, seconds)
            end = f"{status}, return {final_return:.4g}, {format_duration(seconds)}"
            self._print(f"{self._count()} {cell_name(cell)}: {end}")

    def failed(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed."""
        with self._lock:
            super().failed(cell, reason)
            self._print(f"{self._count()} {cell_name(cell)}: failed: {reason}", always=True)

    def note(self, text: str, always: bool = True) -> None:
        """Prints the text."""
        with self._lock:
            self._print(text, always)

    def end(self) -> None:
        """Prints counts and times."""
        with self._lock:
            if self._begun:
                self._tally.tick()
                self._print(progress_summary(self._tally), always=True)
            self._begun = False

    def _print(self, text: str, always: bool = False) -> None:
        if always or not self._quiet:
            print(" ".join(text.split()), file=self._stream, flush=True)

    def _count(self) -> str:
        return f"[{self._tally.done + self._tally.failed}/{self._tally.total}]"


class LiveTable(TallyProgress):
    """A table that is redrawn in place: counts, times, what compiles, what runs."""

    def __init__(self, console: Any = None, tally: ProgressTally | None = None, rows: int = 8):
        """Shows at most `rows` running cells; `console` is a rich console."""
        from rich.console import Console
        from rich.live import Live

        super().__init__(tally)
        self._rows = rows
        self._live = Live(
            console=console or Console(), get_renderable=self._render, refresh_per_second=4
        )

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Starts the display."""
        super().begin(groups, done, total)
        self._live.start()

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Removes a cell from the table; prints it unless it has plainly finished."""
        super().finished(cell, status, final_return, seconds)
        if status != "finished":
            self.note(
                f"{cell_name(cell)}: {status}, return {final_return:.4g}, "
                f"{format_duration(seconds)}"
            )

    def failed(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed, above the table."""
        super().failed(cell, reason)
        self.note(f"{cell_name(cell)}: failed: {reason}")

    def note(self, text: str, always: bool = True) -> None:
        """Prints the text, above the table."""
        self._live.console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Leaves the last state of the display on the screen."""
        self._live.stop()

    def _render(self) -> Any:
        from rich.console import Group as Stack
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            tally = self._tally
            tally.tick()
            current = list(tally.current.values())
            table = Table(expand=False)
            table.add_column("environment / agent, seed")
            for name in ("done", "return", "steps", "steps/s"):
                table.add_column(name, justify="right")
            for report in current[: self._rows]:
                table.add_row(
                    Text(cell_name(report.cell)),
                    f"{report.fraction:.0%}",
                    f"{report.return_mean:.4g}",
                    f"{report.env_steps:,}",
                    f"{report.steps_per_second:,.0f}",
                )
            lines = [
                Text(f"{progress_summary(tally)}; {format_duration(tally.seconds_to_go)} to go")
            ]
            if tally.compiling:
                names = ", ".join(group.label for group in tally.compiling.values())
                lines.append(Text(f"compiling {names}"))
            if len(current) > self._rows:
                lines.append(Text(f"and {len(current) - self._rows} more running"))
            return Stack(table, *lines) if current else Stack(*lines)


def make_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Returns a live table if the stream (standard output) is a terminal, otherwise lines.

    Args:
      quiet: print lines for failures, notes and the end only.
      stream: where to write.
    """
    target = stream or sys.stdout
    if target.isatty() and not quiet:
        from rich.console import Console

        return LiveTable(Console(file=target))
    return ProgressLines(target, quiet=quiet)
