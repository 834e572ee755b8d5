"""What a person sees while a sweep runs: a live table on a terminal, else one line per event.

Calls may come from any thread.
"""

import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.progress_lines import Lines


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

    def note(self, text: str, always: bool = True) -> None:
        """Something worth a line; `always`: even where little is to be said."""
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

        from rl_es.sweep.progress_table import LiveTable

        return LiveTable(Console(file=target))
    return Lines(target, quiet=quiet)
