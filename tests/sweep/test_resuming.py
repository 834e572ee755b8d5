"""Sweeps run again, for longer, and after they were stopped."""

import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from rl_es.results import tables
from rl_es.sweep import queue
from rl_es.sweep.cells import expand_cells
from rl_es.sweep.progress import CellReport
from rl_es.sweep.runs import ActiveRun
from rl_es.sweep.store import Store
from tests.running import Said, ran, same, sweep_of, times
from tests.sweep.small import LASTING, ONE, PERSISTENT, interrupt_at

# --- running again ------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", LASTING.values(), ids=LASTING)
def test_a_longer_budget_goes_on_where_the_run_ended(
    changes: tuple[str, ...], tmp_path: Path
) -> None:
    expected = ran(tmp_path / "through", sweep_of(ONE, *changes))
    half = sweep_of(ONE, *changes, "budget.generations=2", "defaults.evaluation.points=1")
    folder = ran(tmp_path / "on", half)
    assert (tables.load_tables(folder)[1].generations == 2).all()
    reported_steps: list[int] = []

    def running(report: CellReport) -> None:
        reported_steps.append(report.env_steps)

    ran(folder, sweep_of(ONE, *changes), Said(running=running))
    assert (
        min(reported_steps) > tables.load_tables(folder)[0].query("generation == 2").env_steps.min()
    )
    same(folder, expected)


def test_a_shorter_budget_is_already_done(short: Path) -> None:
    before = times(short)
    ran(short, sweep_of(ONE, "budget.generations=2"))
    assert times(short) == before


# --- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.7, 1.0])
@pytest.mark.usefixtures("fine")
def test_an_interrupted_sweep_ends_as_an_uninterrupted_one(
    fraction: float, short: Path, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, sweep_of(ONE), Said(running=interrupt_at(1, fraction)))
    assert signal.getsignal(signal.SIGINT) is before
    curves, runs = tables.load_tables(tmp_path)
    assert list(runs.status) == ["finished", "finished" if fraction == 1.0 else "running"]
    assert (curves.groupby("seed").generation.min() == 0).all()
    same(short, ran(tmp_path, sweep_of(ONE)))


@pytest.mark.parametrize("changes", [PERSISTENT, LASTING["egg"]], ids=["pes", "egg"])
@pytest.mark.usefixtures("fine")
def test_interrupted_persistent_runs_that_share_calls_go_on(
    changes: tuple[str, ...], tmp_path: Path
) -> None:
    sweep = sweep_of(ONE, *changes, "seeds=3")
    expected = ran(tmp_path / "through", sweep, lanes=2)
    folder = tmp_path / "on"
    with pytest.raises(KeyboardInterrupt):
        ran(folder, sweep, Said(running=interrupt_at(1, 0.5)), lanes=2)
    assert set(tables.load_tables(folder)[1].status) == {"running"}
    same(expected, ran(folder, sweep, lanes=2))


class Killed(BaseException):
    """Nothing handles it: nothing more is saved."""


@pytest.mark.parametrize("rows_left", [0, 1])
@pytest.mark.usefixtures("fine")
def test_a_checkpoint_is_not_taken_for_one_of_a_curve_that_began_anew(
    rows_left: int, short: Path, tmp_path: Path
) -> None:
    """A finished run's curve is lost, or its end is; what runs it again is killed early on."""
    folder = tmp_path / "results"
    shutil.copytree(short, folder)
    cell = expand_cells(sweep_of(ONE))[1]
    rows, record = tables.read_cell(folder / "cells" / f"{cell.run_id}.parquet")
    Store(folder).write(cell, rows[:rows_left], {**record, "status": "running"})

    def running(report: CellReport) -> None:
        if report.fraction > 0.3:
            raise Killed

    with pytest.raises(Killed):
        ran(folder, sweep_of(ONE), Said(running=running))
    assert len(Store(folder).read(cell)[0]) < len(rows)
    same(short, ran(folder, sweep_of(ONE)))


@pytest.mark.usefixtures("fine")
def test_a_curve_can_be_read_while_its_run_goes_on(tmp_path: Path) -> None:
    reported: list[tuple[str, int]] = []

    def running(report: CellReport) -> None:
        curves, runs = tables.load_tables(tmp_path)
        run_id = report.cell.run_id
        run = runs[runs.run_id == run_id]
        reported.append((run.status.item(), int((curves.run_id == run_id).sum())))

    ran(tmp_path, sweep_of(ONE, "seeds=1"), Said(running=running))
    assert {status for status, _ in reported} == {"running"}
    assert [rows for _, rows in reported] == [1, 1, 2, 2, 3, 3]


@pytest.mark.usefixtures("fine")
def test_stopping_while_a_program_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def slow(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(20)
        raise RuntimeError

    monkeypatch.setattr(queue, "compile_group", slow)
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, sweep_of(ONE))
    release.set()
    assert not tables.cell_paths(tmp_path)


def test_killed_between_its_last_checkpoint_and_its_record(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: ActiveRun, status: str, reason: str | None = None) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(ActiveRun, "end", killed)
        with pytest.raises(SystemExit):
            ran(tmp_path, sweep_of(ONE))
    same(short, ran(tmp_path, sweep_of(ONE)))
