"""Progress where there is no terminal: one line per event."""

import threading
from collections.abc import Sequence
from typing import TextIO

from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.tally import Running, Tally, cell_name, duration, summary


class Lines:
    """One line per event; reports of running cells at most every `interval` seconds."""

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

    def _count(self) -> str:
        return f"[{self._tally.done + self._tally.failed}/{self._tally.total}]"

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Prints how much there is to do."""
        with self._lock:
            self._tally.begin(groups, done, total)
            self._begun = True
            left = f"{total - done} of {total} cells to run"
            self._print(f"{left}, in {len(groups)} group{'' if len(groups) == 1 else 's'}")

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
                f"{cell_name(cell)}: {fraction:.0%}, return {return_mean:.4g}, "
                f"{env_steps:,} steps, {steps_per_second:,.0f} steps/s; "
                f"{duration(self._tally.seconds_to_go)} to go"
            )

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Prints a cell's end."""
        with self._lock:
            self._tally.leave(cell, failed=False)
            end = f"{status}, return {final_return:.4g}, {duration(seconds)}"
            self._print(f"{self._count()} {cell_name(cell)}: {end}")

    def failed(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed."""
        with self._lock:
            self._tally.leave(cell, failed=True)
            self._print(f"{self._count()} {cell_name(cell)}: failed: {reason}", always=True)

    def note(self, text: str, always: bool = True) -> None:
        """Prints the text."""
        with self._lock:
            self._print(text, always)

    def end(self) -> None:
        """Prints the counts and times."""
        with self._lock:
            if self._begun:
                self._tally.tick()
                self._print(summary(self._tally), always=True)
            self._begun = False
