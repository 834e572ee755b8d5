"""What a person sees while a speed benchmark runs: one live line on a terminal, else lines."""

import sys
from typing import Any, TextIO

from rl_es.speed.workloads import Workload
from rl_es.sweep.tally import duration


class Progress:
    """Prints each workload's start and end, and on a terminal what happens in between.

    The live line is drawn when something happens and at no other time: a thread that animates it
    would take its share of what is timed.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False):
        """Writes to standard output by default; `quiet`: failures and the end only."""
        from rich.console import Console

        target = stream or sys.stdout
        self._console = Console(
            file=target, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        live = self._console.is_terminal and not quiet
        self._live: Any = None
        if live:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._quiet = quiet
        self._done = self._total = self._failed = 0

    def begin(self, missing: int, total: int) -> None:
        """Work starts: so many workloads are left of so many."""
        self._done, self._total = total - missing, total
        self._say(f"{missing} of {total} workloads to run")
        if self._live is not None:
            self._live.start()

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._say(text, always=True)

    def workload(self, workload: Workload) -> None:
        """A workload starts."""
        self._say(f"[{self._done + 1}/{self._total}] {workload.label}")

    def preparing(self, workload: Workload, contestant: str) -> None:
        """A contestant is compiled and warmed up."""
        self._now(f"{workload.label}: compiling {contestant}")

    def round(self, workload: Workload, number: int, rounds: int) -> None:
        """A round starts, counted from 0."""
        self._now(f"{workload.label}: round {number + 1} of {rounds}")

    def failed(self, workload: Workload, contestant: str, reason: str) -> None:
        """A contestant could not be run; the others go on."""
        self._failed += 1
        short = " ".join(reason.split())[:300]
        self._say(f"{workload.label}: {contestant} failed: {short}", always=True)

    def finished(self, workload: Workload, seconds: float) -> None:
        """A workload is measured and written."""
        self._done += 1
        self._say(f"[{self._done}/{self._total}] done in {duration(seconds)}")

    def end(self) -> None:
        """No more reports; may be called twice."""
        if self._live is not None:
            self._live.stop()
        if self._total:
            said = f"{self._done} of {self._total} workloads done, {self._failed} failures"
            self._say(said, always=True)
        self._total = 0

    def _say(self, text: str, always: bool = False) -> None:
        if always or not self._quiet:
            self._console.print(text)

    def _now(self, text: str) -> None:
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
