"""What a person sees while a sweep runs."""

import io
import threading

import pytest
from rich.console import Console

from rl_es.sweep.cells import Cell, Group, expand_cells, group_cells
from rl_es.sweep.progress import (
    CellReport,
    LiveTable,
    Progress,
    ProgressLines,
    ProgressTally,
    SweepStart,
    format_duration,
    make_progress,
)
from tests.running import sweep_of

SWEEP = """
name: toy
seeds: 2
environments:
  - {name: Toy-v0, budget: {env_steps: 100}}
  - {name: toy/other, budget: {env_steps: 300}}
agents: [plain]
"""
POPULATIONS = """
name: populations
seeds: 2
environments: [{name: CartPole-v1, budget: {generations: 10}}]
agents: [{name: eggroll, grid: {population: [4, 12]}}]
"""


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def toy_cells(toys: None) -> tuple[tuple[Cell, ...], tuple[Group, ...]]:
    cells = expand_cells(sweep_of(SWEEP))
    return cells, group_cells(cells)


def test_tally(toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]]) -> None:
    (first, second, third, _), groups = toy_cells
    clock = Clock()
    tally = ProgressTally(clock)
    tally.begin(SweepStart(groups, done=0, total=4))
    assert tally.seconds_to_go is None and tally.left == 4
    tally.compiling(groups[0], None)
    clock.now = 2.0
    tally.compiling(groups[0], 2.0)
    tally.running(CellReport(first, 0.1, 1.0, 10, 10.0))
    assert 0 < tally.share < 0.02 and tally.seconds_to_go is None
    tally.running(CellReport(first, 0.5, 1.0, 50, 10.0))
    clock.now = 8.0
    tally.finish(first, "finished", 1.0, 8.0)
    # 100 of 800 steps in 8 seconds.
    assert tally.share == pytest.approx(1 / 8) and tally.seconds_to_go == pytest.approx(56)
    assert (tally.compile_seconds, tally.run_seconds) == (2.0, 6.0)
    clock.now = 20.0  # nothing ran meanwhile
    tally.fail(second, "why")
    tally.running(CellReport(third, 1.0, 1.0, 300, 10.0))
    assert (tally.done, tally.failures, tally.left) == (1, 1, 2)
    assert tally.run_seconds == 6.0 and tally.share == pytest.approx(5 / 8)


def test_cells_done_before_are_not_work(
    toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]],
) -> None:
    cells, groups = toy_cells
    clock = Clock()
    tally = ProgressTally(clock)
    tally.begin(
        SweepStart(groups, done=2, total=4, fractions={cell.run_id: 0.0 for cell in cells[2:]})
    )
    clock.now = 10.0
    tally.finish(cells[2], "finished", 1.0, 10.0)
    assert tally.share == pytest.approx(0.5) and tally.seconds_to_go == pytest.approx(10)


def test_what_a_cell_did_before_is_not_work(
    toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]],
) -> None:
    (*_, cell), groups = toy_cells
    clock = Clock()
    tally = ProgressTally(clock)
    tally.begin(SweepStart(groups, done=3, total=4, fractions={cell.run_id: 0.6}))
    clock.now = 10.0
    tally.running(CellReport(cell, 0.8, 1.0, 240, 6.0))
    assert tally.share == pytest.approx(0.5) and tally.seconds_to_go == pytest.approx(10)


def test_generations_count_by_their_population() -> None:
    cells = expand_cells(sweep_of(POPULATIONS))
    clock = Clock()
    tally = ProgressTally(clock)
    tally.begin(SweepStart(group_cells(cells), done=0, total=len(cells)))
    clock.now = 30.0
    for cell in cells:
        if cell.settings["population"] == 4:
            tally.finish(cell, "finished", 1.0, 1.0)
    assert tally.share == pytest.approx(1 / 4) and tally.seconds_to_go == pytest.approx(90)


def _report(display: Progress, cells: tuple[Cell, ...], groups: tuple[Group, ...]) -> None:
    display.begin(SweepStart(groups, 0, 4))
    display.compiling(groups[0], None)
    display.compiling(groups[0], 3.25)
    for step in range(5):
        display.running(CellReport(cells[0], step / 5, 12.5, 20 * step, 1e4))
    display.finish(cells[0], "finished", 99.5, 65.0)
    display.finish(cells[1], "diverged", float("nan"), 1.0)
    display.fail(cells[2], "out of\nmemory [bold]")
    display.note("a note")
    display.end()
    display.end()


def test_lines(toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]]) -> None:
    stream, clock = io.StringIO(), Clock()
    display = ProgressLines(stream, clock=clock)
    clock.now = 11.0
    _report(display, *toy_cells)
    assert stream.getvalue().splitlines() == [
        "4 of 4 cells to run, in 2 groups",
        "compiling Toy-v0 / plain",
        "compiled Toy-v0 / plain in 3.2 s",
        "Toy-v0 / plain, seed 0: 0%, return 12.5, 0 steps, 10,000 steps/s; unknown to go",
        "[1/4] Toy-v0 / plain, seed 0: finished, return 99.5, 1 min 05 s",
        "[2/4] Toy-v0 / plain, seed 1: diverged, return nan, 1.0 s",
        "[3/4] toy/other / plain, seed 0: failed: out of memory [bold]",
        "a note",
        "2 of 4 cells done, 1 failed, 1 left; run 0.0 s, compile 3.2 s",
    ]


def test_quiet_lines(toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]]) -> None:
    stream = io.StringIO()
    _report(make_progress(quiet=True, stream=stream), *toy_cells)
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["[3/4]", "a", "2"]


def test_running_lines_are_throttled(toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]]) -> None:
    cells, groups = toy_cells
    stream, clock = io.StringIO(), Clock()
    display = ProgressLines(stream, clock=clock)
    display.begin(SweepStart(groups, 0, 4))
    for second in range(1, 36):
        clock.now = float(second)
        display.running(CellReport(cells[0], second / 100, 1.0, second, 1.0))
    assert len(stream.getvalue().splitlines()) == 1 + 3


def test_table(toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]]) -> None:
    stream = io.StringIO()
    display = LiveTable(Console(file=stream, force_terminal=True, width=100, color_system=None))
    _report(display, *toy_cells)
    text = stream.getvalue()
    assert "Toy-v0 / plain, seed 1: diverged" in text
    assert "memory [bold]" in text and "a note" in text
    assert "2 of 4 cells done, 1 failed, 1 left" in text


def test_table_rows(toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]]) -> None:
    cells, groups = toy_cells
    console = Console(file=io.StringIO(), width=100)
    display = LiveTable(console, rows=2)
    ProgressTally.begin(display, SweepStart(groups, 0, 4))
    display.clock = clock = Clock()
    display.compiling(groups[1], None)
    clock.now = 100.0
    for cell in cells:
        display.running(CellReport(cell, 0.25, 12.345, 1000, 2e5))
    console.print(display.render())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Toy-v0 / plain, seed 1" in text and "200,000" in text
    assert "and 2 more running" in text
    assert "compiling toy/other / plain (1 min 40 s so far)" in text


@pytest.mark.parametrize("kind", ["lines", "table"])
def test_threads(kind: str, toy_cells: tuple[tuple[Cell, ...], tuple[Group, ...]]) -> None:
    cells, groups = toy_cells
    stream = io.StringIO()
    display = (
        ProgressLines(stream, interval=0) if kind == "lines" else LiveTable(Console(file=stream))
    )
    display.begin(SweepStart(groups, 0, 200))

    def work() -> None:
        for step in range(50):
            display.running(CellReport(cells[0], step / 50, 1.0, step, 1.0))
            display.compiling(groups[0], 0.5)
            display.finish(cells[0], "finished", 1.0, 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    display.end()
    assert "200 of 200 cells done, 0 failed, 0 left" in stream.getvalue()
    assert "compile 1 min 40 s" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (0.04, "0.0 s"), (9.99, "10.0 s"), (59.7, "1 min 00 s"),
     (200, "3 min 20 s"), (7500, "2 h 05 min"), (86_400, "1 d 00 h"), (360_001, "4 d 04 h")],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text
