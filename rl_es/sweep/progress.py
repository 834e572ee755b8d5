"""What a person sees while a sweep runs: a live table on a terminal, otherwise one line per event.

`Progress` receives the reports of a sweep, from any thread, and ignores them. A `ProgressTally`
counts what has been done, and estimates how long the rest will take; `LiveTable` and
`ProgressLines` show it. Other subclasses of `Progress` send the reports to another process.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from rl_es.sweep.cells import Cell, Group

# Share of the budget, and seconds, before which no pace is known.
LEAST_SHARE, LEAST_SECONDS = 0.02, 20.0


class SweepStart(NamedTuple):
    """What is left of a sweep when it starts.

    Attributes:
      groups: Those with cells left to run.
      done: Number of cells that an earlier call finished.
      total: Number of cells of the sweep.
      fractions: Share of its budget that each cell left has used before, by run_id; None: all cells
        of the groups are left, and none has begun.
    """

    groups: Sequence[Group]
    done: int
    total: int
    fractions: Mapping[str, float] | None = None


class CellReport(NamedTuple):
    """A report of a cell that runs.

    Attributes:
      cell: The cell.
      fraction: Share of its budget that is used, 0 to 1.
      return_mean: Mean return of its last evaluation.
      env_steps: Environment steps of its training.
      steps_per_second: Environment steps of its program, or of the cell, per second.
    """

    cell: Cell
    fraction: float
    return_mean: float
    env_steps: int
    steps_per_second: float


class Progress:
    """Receives the reports of a sweep, and ignores them."""

    def begin(self, start: SweepStart) -> None:
        """Reports the start."""

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Reports that a compilation starts (None), or has ended after `seconds`."""

    def running(self, report: CellReport) -> None:
        """Reports a cell that runs."""

    def finish(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Reports that a cell has ended: `finished` or `diverged`."""

    def fail(self, cell: Cell, reason: str) -> None:
        """Reports that a cell could not be run."""

    def note(self, text: str, always: bool = True) -> None:
        """Reports anything else; `always`: also where only the essential is shown."""

    def end(self) -> None:
        """Ends the reports; may be called twice."""


class ProgressTally(Progress):
    """Counts cells and times under a lock: the base class of displays.

    The time to go is estimated from the share of the budget that is used. Budgets of one kind count
    by their size, generations by that of their population; where kinds are mixed, each cell counts
    the same.

    Attributes:
      total, done, failures: Numbers of cells.
      compile_seconds, run_seconds: Seconds in which something was compiled, and in which cells ran.
      reports: The last report of each cell that runs, by run_id.
      compiling_groups: Groups that are compiled, each with the time of its start, by key.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Starts at zero; `clock` returns seconds."""
        self.lock, self.clock = threading.RLock(), clock
        self.total = self.done = self.failures = 0
        self.compile_seconds = self.run_seconds = 0.0
        self.reports: dict[str, CellReport] = {}
        self.compiling_groups: dict[str, tuple[Group, float]] = {}
        self._start_time = self._last_time = clock()
        self._one_kind = False
        self._fractions: Mapping[str, float] = {}
        self._weight = self._weight_done = 0.0

    def begin(self, start: SweepStart) -> None:
        """Starts the count."""
        with self.lock:
            self.done, self.total = start.done, start.total
            cells = [cell for group in start.groups for cell in group.cells]
            if start.fractions is not None:
                cells = [cell for cell in cells if cell.run_id in start.fractions]
            self._fractions = start.fractions or {}
            self._one_kind = len({_budget_kind(cell) for cell in cells}) <= 1
            self._weight = sum(map(self._weigh, cells))
            self._start_time = self._last_time = self.clock()

    def tick(self) -> None:
        """Counts the time since the last call as run time if any cell runs."""
        now = self.clock()
        if self.reports:
            self.run_seconds += now - self._last_time
        self._last_time = now

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Counts a compilation."""
        with self.lock:
            if seconds is None:
                self.compiling_groups[group.key] = group, self.clock()
            else:
                self.compiling_groups.pop(group.key, None)
                self.compile_seconds += seconds

    def running(self, report: CellReport) -> None:
        """Records a cell that runs."""
        with self.lock:
            self.tick()
            self.reports[report.cell.run_id] = report

    def finish(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Counts a cell that has ended."""
        with self.lock:
            self._leave(cell)
            self.done += 1

    def fail(self, cell: Cell, reason: str) -> None:
        """Counts a cell that has failed."""
        with self.lock:
            self._leave(cell)
            self.failures += 1

    @property
    def left(self) -> int:
        """Number of cells neither done nor failed."""
        return max(0, self.total - self.done - self.failures)

    @property
    def share(self) -> float:
        """Share of the budget that is used, of what was left at the start."""
        running = sum(self._weigh(r.cell, r.fraction) for r in self.reports.values())
        return min(1.0, (self._weight_done + running) / self._weight) if self._weight else 0.0

    @property
    def seconds_to_go(self) -> float | None:
        """Estimate; None before enough is done, since the first calls are compiled and short."""
        share = self.share
        if share <= 0 or (share < LEAST_SHARE and self.run_seconds < LEAST_SECONDS):
            return None
        return (self.clock() - self._start_time) * (1 - share) / share

    @property
    def summary(self) -> str:
        """Counts and times on one line."""
        return (
            f"{self.done} of {self.total} cells done, {self.failures} failed, {self.left} left; "
            f"run {format_duration(self.run_seconds)}, "
            f"compile {format_duration(self.compile_seconds)}"
        )

    def _leave(self, cell: Cell) -> None:
        self.tick()
        self.reports.pop(cell.run_id, None)
        self.compiling_groups.pop(cell.group, None)  # it is still listed where compilation failed
        self._weight_done += self._weigh(cell)

    def _weigh(self, cell: Cell, fraction: float = 1.0) -> float:
        """Returns the work from where a cell began to this share of its budget."""
        share = max(0.0, fraction - self._fractions.get(cell.run_id, 0.0))
        if not self._one_kind:
            return share
        kind = _budget_kind(cell)
        members = getattr(cell.config, "population", 1) if kind == "generations" else 1
        return share * float(getattr(cell.budget, kind)) * members


def _budget_kind(cell: Cell) -> str:
    return next(name for name, value in cell.budget.model_dump().items() if value is not None)


def format_duration(seconds: float | None) -> str:
    """Returns a time for people: `4.2 s`, `3 min 20 s`, `2 h 05 min`, `3 d 04 h`."""
    if seconds is None:
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24:02d} h"


def cell_name(cell: Cell) -> str:
    """Returns the name of a cell for people."""
    return f"{cell.env} / {cell.label}, seed {cell.seed}"


class ProgressLines(ProgressTally):
    """One line per event; reports of running cells at most every `interval` seconds."""

    def __init__(
        self,
        stream: TextIO | None,
        quiet: bool = False,
        interval: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Writes to `stream`, and flushes each line."""
        super().__init__(clock)
        self._stream, self._quiet, self._interval = stream, quiet, interval
        self._report_time = clock()
        self._has_begun = False

    def begin(self, start: SweepStart) -> None:
        """Prints how much is left to run."""
        with self.lock:
            super().begin(start)
            self._has_begun = True
            left = f"{start.total - start.done} of {start.total} cells to run"
            count = len(start.groups)
            self.note(f"{left}, in {count} group{'' if count == 1 else 's'}", False)

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Prints the start or the end of a compilation."""
        with self.lock:
            super().compiling(group, seconds)
            if seconds is None:
                self.note(f"compiling {group.label}", False)
            else:
                self.note(f"compiled {group.label} in {format_duration(seconds)}", False)

    def running(self, report: CellReport) -> None:
        """Prints how far a cell is, unless such a line was printed just before."""
        with self.lock:
            super().running(report)
            if self.clock() - self._report_time < self._interval:
                return
            self._report_time = self.clock()
            self.note(
                f"{cell_name(report.cell)}: {report.fraction:.0%}, return "
                f"{report.return_mean:.4g}, {report.env_steps:,} steps, "
                f"{report.steps_per_second:,.0f} steps/s; "
                f"{format_duration(self.seconds_to_go)} to go",
                False,
            )

    def finish(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Prints the end of a cell."""
        with self.lock:
            super().finish(cell, status, final_return, seconds)
            self.note(f"{self._count()} {_ending(cell, status, final_return, seconds)}", False)

    def fail(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed."""
        with self.lock:
            super().fail(cell, reason)
            self.note(f"{self._count()} {cell_name(cell)}: failed: {reason}")

    def note(self, text: str, always: bool = True) -> None:
        """Prints the text on one line."""
        with self.lock:
            if always or not self._quiet:
                print(" ".join(text.split()), file=self._stream, flush=True)

    def end(self) -> None:
        """Prints counts and times."""
        with self.lock:
            if self._has_begun:
                self.tick()
                self.note(self.summary)
            self._has_begun = False

    def _count(self) -> str:
        return f"[{self.done + self.failures}/{self.total}]"


class LiveTable(ProgressTally):
    """A table that is redrawn in place: counts, times, what compiles, what runs."""

    def __init__(self, console: Any = None, rows: int = 8):
        """Shows at most `rows` running cells; `console` is a rich console."""
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._rows = rows
        self._live = Live(
            console=console or Console(), get_renderable=self.render, refresh_per_second=4
        )

    def begin(self, start: SweepStart) -> None:
        """Starts the display."""
        super().begin(start)
        self._live.start()

    def finish(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Removes a cell from the table; prints it unless it has plainly finished."""
        super().finish(cell, status, final_return, seconds)
        if status != "finished":
            self.note(_ending(cell, status, final_return, seconds))

    def fail(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed, above the table."""
        super().fail(cell, reason)
        self.note(f"{cell_name(cell)}: failed: {reason}")

    def note(self, text: str, always: bool = True) -> None:
        """Prints the text, above the table."""
        self._live.console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Leaves the last state of the display on the screen."""
        self._live.stop()

    def render(self) -> Any:
        """Returns the table and the lines below it, for rich."""
        from rich.console import Group as Stack
        from rich.table import Table
        from rich.text import Text

        with self.lock:
            self.tick()
            reports = list(self.reports.values())
            table = Table("environment / agent, seed", expand=False)
            for name in ("done", "return", "steps", "steps/s"):
                table.add_column(name, justify="right")
            for report in reports[: self._rows]:
                table.add_row(
                    Text(cell_name(report.cell)),
                    f"{report.fraction:.0%}",
                    f"{report.return_mean:.4g}",
                    f"{report.env_steps:,}",
                    f"{report.steps_per_second:,.0f}",
                )
            lines = [Text(f"{self.summary}; {format_duration(self.seconds_to_go)} to go")]
            if self.compiling_groups:
                labels = [
                    f"{group.label} ({format_duration(self.clock() - start)} so far)"
                    for group, start in self.compiling_groups.values()
                ]
                lines.append(Text(f"compiling {', '.join(labels)}"))
            if len(reports) > self._rows:
                lines.append(Text(f"and {len(reports) - self._rows} more running"))
            return Stack(table, *lines) if reports else Stack(*lines)


def _ending(cell: Cell, status: str, final_return: float, seconds: float) -> str:
    end = f"{status}, return {final_return:.4g}, {format_duration(seconds)}"
    return f"{cell_name(cell)}: {end}"


def make_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Returns a live table if the stream (standard output) is a terminal, otherwise lines.

    Args:
      quiet: print lines for failures, notes and the end only.
      stream: where to write.
    """
    target = stream or sys.stdout  # None in a process without standard output
    if target is not None and target.isatty() and not quiet:
        from rich.console import Console

        return LiveTable(Console(file=target))
    return ProgressLines(target, quiet=quiet)
