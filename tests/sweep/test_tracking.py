"""Live tracking: every evaluation is sent once, and nothing that runs is changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_es.results import tables
from rl_es.sweep import worker_pool
from rl_es.sweep.cells import Cell, expand_cells
from rl_es.sweep.progress import CellReport, Progress
from rl_es.sweep.tracking import TrackedProgress
from tests.running import ran, same, sweep_of
from tests.sweep.small import ONE


class Recorder:
    """A tracker that keeps what it is given, and may fail."""

    name = "recorder"

    def __init__(self, error: Exception | None = None):
        self.error, self.steps, self.ends, self.closed = error, {}, [], False

    def log(self, cell: Cell, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.error is not None:
            raise self.error
        self.steps.setdefault(cell.run_id, []).extend(row["env_steps"] for row in rows)

    def finish(self, cell: Cell) -> None:
        self.ends.append(cell.run_id)

    def close(self) -> None:
        self.closed = True


class Notes(Progress):
    """Keeps notes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str, always: bool = True) -> None:
        self.texts.append(text)


def test_every_evaluation_is_sent_once_and_results_stay_equal(tmp_path: Path) -> None:
    recorder, failing, notes = Recorder(), Recorder(OSError("no network")), Notes()
    progress = TrackedProgress(notes, tmp_path / "tracked", [failing, recorder])
    ran(tmp_path / "tracked", sweep_of(ONE), progress)
    progress.end()
    curves, _ = tables.load_tables(tmp_path / "tracked")
    expected = {run: list(rows["env_steps"]) for run, rows in curves.groupby("run_id")}
    assert recorder.steps == expected and sorted(recorder.ends) == sorted(expected)
    assert recorder.closed and not failing.steps
    assert notes.texts == ["recorder is left out from here on: OSError: no network"]
    same(tmp_path / "tracked", ran(tmp_path / "plain", sweep_of(ONE)))


def test_evaluations_of_workers_are_sent(tmp_path: Path) -> None:
    recorder = Recorder()
    progress = TrackedProgress(Progress(), tmp_path, [recorder])
    ran(tmp_path, sweep_of(ONE), progress, make_executor=worker_pool.worker_pool(2))
    progress.end()
    curves, _ = tables.load_tables(tmp_path)
    expected = {run: list(rows["env_steps"]) for run, rows in curves.groupby("run_id")}
    assert recorder.steps == expected and sorted(recorder.ends) == sorted(expected)


def test_a_look_at_a_cell_is_taken_every_few_seconds(tmp_path: Path) -> None:
    sweep = sweep_of(ONE)
    folder, (cell, other) = ran(tmp_path, sweep), expand_cells(sweep)
    seconds, recorder = [0.0], Recorder()
    progress = TrackedProgress(Progress(), folder, [recorder], clock=lambda: seconds[0])
    report = CellReport(cell, 0.5, 1.0, 10, 1.0)
    progress.running(report)
    count = len(recorder.steps[cell.run_id])
    progress._counts[cell.run_id] = 0  # as if the run had gone on
    progress.running(report)
    assert len(recorder.steps[cell.run_id]) == count
    seconds[0] = 2.0
    progress.running(report)
    assert len(recorder.steps[cell.run_id]) == 2 * count
    progress.finish(other, "finished by another process", 1.0, 1.0)
    progress.fail(other, "it failed before")
    assert not recorder.ends and other.run_id not in recorder.steps
