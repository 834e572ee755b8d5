"""What a running sweep has done so far, and how long the rest will take."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rl_es.sweep.cells import Cell, Group

LITTLE, SOON = 0.02, 20.0  # share of the budget, and seconds, before which no pace is known


@dataclass
class Running:
    """The last report of a cell that runs."""

    cell: Cell
    fraction: float  # of its budget, 0 to 1
    return_mean: float
    env_steps: int
    steps_per_second: float


class Tally:
    """Counts and times. Not locked: whoever shows it locks.

    Time to go is judged by the share of the budget that is done. Budgets of one kind count by their
    size; where kinds are mixed, each cell counts the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Starts at zero; `clock` gives seconds."""
        self.clock = clock
        self.total = self.done = self.failed = 0
        self.compile_seconds = self.run_seconds = 0.0
        self.current: dict[str, Running] = {}
        self.compiling: dict[str, Group] = {}
        self.started = self._last = clock()
        self._one_kind = False
        self._weight = self._weight_done = 0.0

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Starts the count; `groups` are those with cells left to run."""
        self.done, self.total = done, total
        cells = [cell for group in groups for cell in group.cells]
        self._one_kind = len({_kind(cell) for cell in cells}) <= 1
        # Groups may hold cells that were done before: only the share that is left counts.
        left = min(1.0, (total - done) / len(cells)) if cells else 0.0
        self._weight = left * sum(map(self._weigh, cells))
        self.started = self._last = self.clock()

    def tick(self) -> None:
        """Counts the time since the last call as run time if any cell runs."""
        now = self.clock()
        if self.current:
            self.run_seconds += now - self._last
        self._last = now

    def run(self, running: Running) -> None:
        """Notes a cell's report."""
        self.tick()
        self.current[running.cell.run_id] = running

    def compile(self, group: Group, seconds: float | None) -> None:
        """Notes the start (None) or the end of a compilation."""
        if seconds is None:
            self.compiling[group.key] = group
        else:
            self.compiling.pop(group.key, None)
            self.compile_seconds += seconds

    def leave(self, cell: Cell, failed: bool) -> None:
        """Notes a cell's end."""
        self.tick()
        self.current.pop(cell.run_id, None)
        self.compiling.pop(cell.group, None)  # still there where compilation failed
        self._weight_done += self._weigh(cell)
        self.done += not failed
        self.failed += failed

    @property
    def left(self) -> int:
        """Cells neither done nor failed."""
        return max(0, self.total - self.done - self.failed)

    @property
    def share(self) -> float:
        """Share of the budget that is done, of the cells that were left at the start."""
        running = sum(self._weigh(r.cell) * r.fraction for r in self.current.values())
        return min(1.0, (self._weight_done + running) / self._weight) if self._weight else 0.0

    @property
    def seconds_to_go(self) -> float | None:
        """Estimate; None before enough is done, since the first calls are compiled and short."""
        share = self.share
        if share <= 0 or (share < LITTLE and self.run_seconds < SOON):
            return None
        return (self.clock() - self.started) * (1 - share) / share

    def _weigh(self, cell: Cell) -> float:
        return float(getattr(cell.budget, _kind(cell))) if self._one_kind else 1.0


def _kind(cell: Cell) -> str:
    return next(name for name, value in cell.budget.model_dump().items() if value is not None)


def duration(seconds: float | None) -> str:
    """A time for people: `4.2 s`, `3 min 20 s`, `2 h 05 min`."""
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
    """A cell for people."""
    return f"{cell.env} / {cell.label}, seed {cell.seed}"


def summary(tally: Tally) -> str:
    """Counts and times on one line."""
    return (
        f"{tally.done} of {tally.total} cells done, {tally.failed} failed, {tally.left} left; "
        f"run {duration(tally.run_seconds)}, compile {duration(tally.compile_seconds)}"
    )
