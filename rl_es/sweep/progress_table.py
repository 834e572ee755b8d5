"""Progress on a terminal: a table that is redrawn in place."""

import threading
from collections.abc import Sequence
from typing import Any

from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.tally import Running, Tally, cell_name, duration, summary


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
                    Text(cell_name(r.cell)),
                    f"{r.fraction:.0%}",
                    f"{r.return_mean:.4g}",
                    f"{r.env_steps:,}",
                    f"{r.steps_per_second:,.0f}",
                )
            lines = [Text(f"{summary(tally)}; {duration(tally.seconds_to_go)} to go")]
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
            self._print(
                f"{cell_name(cell)}: {status}, return {final_return:.4g}, {duration(seconds)}"
            )

    def failed(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed, above the table."""
        with self._lock:
            self._tally.leave(cell, failed=True)
        self._print(f"{cell_name(cell)}: failed: {reason}")

    def note(self, text: str, always: bool = True) -> None:
        """Prints the text, above the table."""
        self._print(text)

    def end(self) -> None:
        """Leaves the last state of the display on the screen."""
        self._live.stop()
