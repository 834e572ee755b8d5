"""What a person sees while a sweep runs: a live table on a terminal, else one line an event.

Calls may come from any thread.
"""

import sys
import threading
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.tally import Running, Tally, duration


class Progress(Protocol):
    """What the executor reports."""

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Work starts.

        Args:
          groups: those with cells left to run.
          done: cells that an earlier call finished.
          total: cells of the sweep.
        """
        ...

    def compiling(self, group: Group, seconds: float | None) -> None:
        """A compilation starts (None), or has ended after so many seconds."""
        ...

    def running(
        self,
        cell: Cell,
        fraction: float,
        return_mean: float,
        env_steps: int,
        steps_per_second: float,
    ) -> None:
        """A cell has done this share of its budget (0 to 1)."""
        ...

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """A cell has ended: `finished` or `diverged`."""
        ...

    def failed(self, cell: Cell, reason: str) -> None:
        """A cell could not be run."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...

    def end(self) -> None:
        """No more reports; may be called twice."""
        ...


def progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """A live table if the stream (standard output) is a terminal, else lines.

    Args:
      quiet: lines for failures, notes and the end only.
      stream: where to write.
    """
    target = stream or sys.stdout
    if target.isatty() and not quiet:
        from rich.console import Console

        return LiveTable(Console(file=target))
    return Lines(target, quiet=quiet)


def _name(cell: Cell) -> str:
    return f"{cell.env} / {cell.label}, seed {cell.seed}"


def _summary(tally: Tally) -> str:
    return (
        f"{tally.done} of {tally.total} cells done, {tally.failed} failed, {tally.left} left; "
        f"run {duration(tally.run_seconds)}, compile {duration(tally.compile_seconds)}"
    )


class Lines:
    """One line an event; reports of running cells at most every `interval` seconds."""

    def __init__(
        self,
        stream: TextIO,
        quiet: bool = False,
        interval: float = 10.0,
        tally: Tally | None = None,
    ):
        """Writes to `stream`, flushing each line."""
        self._stream, self._quiet, self._interval = stream, quiet, interval
        self._tally = tally or Tally()
        self._lock = threading.RLock()
        self._reported = self._tally.clock()
        self._begun = False

    def _print(self, text: str, always: bool = False) -> None:
        if always or not self._quiet:
            print(" ".join(text.split()), file=self._stream, flush=True)

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Prints how much there is to do."""
        with self._lock:
            self._tally.begin(groups, done, total)
            self._begun = True
            left = f"{total - done} of {total} cells to run"
            self._print(f"{left}, in {len(groups)} groups")

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Prints a compilation's start or end."""
        with self._lock:
            self._tally.compile(group, seconds)
            if seconds is None:
                self._print(f"compiling {group.label}")
            else:
                self._print(f"compiled {group.label} in {duration(seconds)}")

    def running(
        self,
        cell: Cell,
        fraction: float,
        return_mean: float,
        env_steps: int,
        steps_per_second: float,
    ) -> None:
        """Prints where a cell is, unless another line was printed just before."""
        with self._lock:
            self._tally.run(Running(cell, fraction, return_mean, env_steps, steps_per_second))
            if self._tally.clock() - self._reported < self._interval:
                return
            self._reported = self._tally.clock()
            self._print(
                f"{_name(cell)}: {fraction:.0%}, return {return_mean:.4g}, {env_steps:,} steps, "
                f"{steps_per_second:,.0f} steps/s; {duration(self._tally.seconds_to_go)} to go"
            )

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Prints a cell's end."""
        with self._lock:
            self._tally.leave(cell, failed=False)
            count = f"[{self._tally.done + self._tally.failed}/{self._tally.total}]"
            self._print(
                f"{count} {_name(cell)}: {status}, return {final_return:.4g}, {duration(seconds)}"
            )

    def failed(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed."""
        with self._lock:
            self._tally.leave(cell, failed=True)
            count = f"[{self._tally.done + self._tally.failed}/{self._tally.total}]"
            self._print(f"{count} {_name(cell)}: failed: {reason}", always=True)

    def note(self, text: str) -> None:
        """Prints the text."""
        with self._lock:
            self._print(text, always=True)

    def end(self) -> None:
        """Prints the counts and times."""
        with self._lock:
            if self._begun:
                self._tally.tick()
                self._print(_summary(self._tally), always=True)
            self._begun = False


class LiveTable:
    """A table that is redrawn in place: counts, times, what compiles, what runs."""

    def __init__(self, console: Any = None, tally: Tally | None = None, rows: int = 8):
        """Shows at most `rows` running cells; `console` is a rich console."""
        from rich.console import Console
        from rich.live import Live

        self._tally, self._rows = tally or Tally(), rows
        self._lock = threading.RLock()
        self._live = Live(
            console=console or Console(), get_renderable=self._render, refresh_per_second=4
        )

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
            for r in current[: self._rows]:
                table.add_row(
                    Text(_name(r.cell)),
                    f"{r.fraction:.0%}",
                    f"{r.return_mean:.4g}",
                    f"{r.env_steps:,}",
                    f"{r.steps_per_second:,.0f}",
                )
            lines = [Text(f"{_summary(tally)}; {duration(tally.seconds_to_go)} to go")]
            if tally.compiling:
                names = ", ".join(group.label for group in tally.compiling.values())
                lines.append(Text(f"compiling {names}"))
            if len(current) > self._rows:
                lines.append(Text(f"and {len(current) - self._rows} more running"))
            return Stack(table, *lines) if current else Stack(*lines)

    def _print(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Starts the display."""
        with self._lock:
            self._tally.begin(groups, done, total)
        self._live.start()

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Shows what compiles."""
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
        """Shows where a cell is."""
        with self._lock:
            self._tally.run(Running(cell, fraction, return_mean, env_steps, steps_per_second))

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Takes a cell off the table; prints one that did not finish well."""
        with self._lock:
            self._tally.leave(cell, failed=False)
        if status != "finished":
            self._print(f"{_name(cell)}: {status}, return {final_return:.4g}, {duration(seconds)}")

    def failed(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed, above the table."""
        with self._lock:
            self._tally.leave(cell, failed=True)
        self._print(f"{_name(cell)}: failed: {reason}")

    def note(self, text: str) -> None:
        """Prints the text, above the table."""
        self._print(text)

    def end(self) -> None:
        """Leaves the last state of the display on the screen."""
        self._live.stop()
