"""Cells that fail or diverge, and folders that hold something else."""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rl_es.errors import StorageError, UserError
from rl_es.results import manifest, tables
from rl_es.sweep import queue
from rl_es.sweep import runs as sweep_runs
from rl_es.sweep.cells import expand_cells
from rl_es.sweep.store import Store
from rl_es.training.resources import GroupPlacement
from tests.running import Said, alike, ran, same, sweep_of, times
from tests.sweep.small import ONE, TINY, broken_cartpole, interrupt_at

# --- failing ------------------------------------------------------------------------------------


def test_a_failing_group_is_recorded_and_run_again_when_asked_for(tmp_path: Path) -> None:
    reports, second_reports, first_reports = Said(), Said(), Said()
    with broken_cartpole():
        ran(tmp_path, sweep_of(TINY), reports, code=1)
    _, runs = tables.load_tables(tmp_path)
    status = runs.groupby("env").status.agg(set)
    assert status["CartPole-v1"] == {"failed"} and status["Pendulum-v1"] == {"finished"}
    (reason,) = set(runs.reason.dropna())
    assert re.fullmatch(r"ZeroDivisionError: the pole \(small\.py:\d+\)", reason)
    assert reports.counts["fail"] == 8
    before = times(tmp_path)
    ran(tmp_path, sweep_of(TINY), first_reports, code=1)
    assert times(tmp_path) == before
    assert first_reports.notes == ["8 of 16 cells failed before: --retry-failed runs them"]
    ran(tmp_path, sweep_of(TINY, "seeds=3"), second_reports, retry_failed=True)
    _, runs = tables.load_tables(tmp_path)
    assert len(runs) == 16 and set(runs.status) == {"finished"}
    assert second_reports.counts["finish"] == 8
    same(tmp_path, ran(tmp_path / "through", sweep_of(TINY)))


@pytest.mark.usefixtures("fine")
def test_a_failure_keeps_the_curve_that_was_there(short: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, sweep_of(ONE), Said(running=interrupt_at(1, 0.5)))
    before, _ = tables.load_tables(tmp_path)
    with broken_cartpole():
        ran(tmp_path, sweep_of(ONE), code=1)
    after, runs = tables.load_tables(tmp_path)
    assert list(runs.status) == ["finished", "failed"]
    pd.testing.assert_frame_equal(before, after)
    same(short, ran(tmp_path, sweep_of(ONE), retry_failed=True))


def test_baselines_follow_the_sweep_and_change_no_run(tmp_path: Path) -> None:
    named = "environments=[{name: CartPole-v1, label: pole, episode_length: 30, baselines: %s}]"
    run_ids = [cell.run_id for cell in expand_cells(sweep_of(ONE))]
    for baselines in ({}, {"random": 20.0}, {"random": 21.0, "PPO": 30.0}, {}):
        sweep = sweep_of(ONE, named % json.dumps(baselines))
        assert [cell.run_id for cell in expand_cells(sweep)] == run_ids
        Store(tmp_path, print).write_manifest(sweep, expand_cells(sweep))
        found = manifest.read_sweep_manifest(tmp_path).baselines
        assert found == ({"pole": baselines} if baselines else {})


def test_labels_and_threshold_follow_the_sweep(tmp_path: Path) -> None:
    """They are not in a run's identity: a finished run takes those that the sweep has now."""
    sweep = sweep_of(ONE, "budget.generations=2", "defaults.evaluation.points=1")
    ran(tmp_path, sweep)
    changed = sweep_of(
        ONE,
        "budget.generations=2",
        "defaults.evaluation.points=1",
        "agents=[{name: eggroll, label: fancy, with: {population: 16}}]",
        "environments.0.threshold=1",
    )
    assert {cell.run_id for cell in expand_cells(changed)} == {
        cell.run_id for cell in expand_cells(sweep)
    }
    ran(tmp_path, changed)
    curves, runs = tables.load_tables(tmp_path)
    assert set(runs.label) == set(curves.label) == {"fancy"}
    assert (runs.threshold == 1).all() and (runs.steps_to_threshold == 0).all()
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("policies/*/final.json")]
    assert {manifest["label"] for manifest in manifests} == {"fancy"}


def test_a_damaged_checkpoint_is_set_aside_and_its_run_starts_anew(
    short: Path, tmp_path: Path
) -> None:
    sweep = sweep_of(ONE, "budget.generations=2", "defaults.evaluation.points=1")
    ran(tmp_path, sweep)
    damaged = Store(tmp_path).checkpoint_path(expand_cells(sweep)[0])
    damaged.write_bytes(damaged.read_bytes()[:-100])
    reports = Said()
    ran(tmp_path, sweep_of(ONE), reports)
    (note,) = reports.notes
    assert note.startswith(
        f"{damaged}: not a readable checkpoint (its checksum is wrong); set aside"
    )
    assert len(list((tmp_path / "set_aside").iterdir())) == 1
    same(short, tmp_path)


def test_a_damaged_cell_is_refused_by_readers_and_run_again(short: Path, tmp_path: Path) -> None:
    ran(tmp_path, sweep_of(ONE))
    path = tables.cell_paths(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="not a readable cell.*run again") as refusal:
        tables.load_tables(tmp_path)
    assert path.name in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
    same(short, ran(tmp_path, sweep_of(ONE)))
    assert [path.name for path in (tmp_path / "set_aside").iterdir()] == [f"cells+{path.name}.1"]


def test_a_run_that_diverges_ends_with_its_curve(tmp_path: Path) -> None:
    sweep = sweep_of(
        ONE, "agents=[{name: eggroll, with: {population: 16, optimiser: sgd, lr: 1e38}}]"
    )
    reports = Said()
    ran(tmp_path, sweep, reports)
    curves, runs = tables.load_tables(tmp_path)
    assert (runs.status == "diverged").all() and runs.reason.str.contains("not finite").all()
    assert (curves.groupby("seed").generation.apply(list).map(len) == 2).all()
    assert reports.counts["finish"] == 2
    before = times(tmp_path)
    ran(tmp_path, sweep)
    assert times(tmp_path) == before


def test_one_run_that_diverges_leaves_those_beside_it_alone(tmp_path: Path) -> None:
    text = "agents=[{name: eggroll, with: {population: 16, optimiser: sgd}, grid: {lr: [%s]}}]"
    both = ran(tmp_path / "both", sweep_of(ONE, text % "1e38, 0.1", "seeds=1"), lanes=2)
    alone = ran(tmp_path / "alone", sweep_of(ONE, text % "0.1", "seeds=1"))
    curves, runs = tables.load_tables(both)
    assert set(runs.status) == {"diverged", "finished"}
    good = runs[runs.status == "finished"].run_id.item()
    columns = ["generation", "env_steps", "return_mean"]
    curve = curves[curves.run_id == good][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(curve, tables.load_tables(alone)[0][columns], rtol=1e-4)


def test_another_sweeps_folder_is_refused(short: Path) -> None:
    before = (short / "manifest.json").read_bytes(), times(short)
    with pytest.raises(UserError, match="sweep 'one', not 'other'.*--out") as refusal:
        ran(short, sweep_of(ONE, "name=other", "seeds=3"))
    assert len(str(refusal.value).splitlines()) == 1
    assert before == ((short / "manifest.json").read_bytes(), times(short))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"starts": 1, "sweep": {"name": "one"}}'])
def test_a_damaged_manifest_is_set_aside(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    ran(tmp_path, sweep_of(ONE, "budget.generations=1", "defaults.evaluation.points=1"))
    assert (tmp_path / "set_aside" / "manifest.json.1").read_text() == text
    assert manifest.read_starts(tmp_path / "manifest.json")[:2] == ("sweep", "one")


def test_what_does_not_fit_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    sweep = sweep_of(ONE, "agents=[eggroll, {name: pes, with: {window: 31}}]")
    with pytest.raises(UserError, match="window: 31 steps, but an episode ends after 30"):
        ran(tmp_path, sweep)
    assert not list(tmp_path.iterdir())


# --- too little memory --------------------------------------------------------------------------


def exhausted(monkeypatch: pytest.MonkeyPatch, fits: Callable[[GroupPlacement], bool]) -> None:
    """Runs of a program end for want of memory where it is not placed as it `fits`."""
    run = sweep_runs.run_batch
    placed: list[GroupPlacement] = []
    compile_group = queue.compile_group

    def compiled(compiler: Any, work: Any) -> Any:
        placed.append(work.place)
        return compile_group(compiler, work)

    def tried(program: Any, *args: Any) -> None:
        if not fits(placed[-1]):
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        run(program, *args)

    monkeypatch.setattr(queue, "compile_group", compiled)
    monkeypatch.setattr(sweep_runs, "run_batch", tried)


BIG = ("agents.0.with.population=512", "budget.generations=2", "defaults.evaluation.points=1")


def test_a_group_without_enough_memory_is_run_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ran(tmp_path / "whole", sweep_of(ONE, *BIG))
    exhausted(monkeypatch, lambda place: place.placement.chunks >= 4)
    reports = Said()
    cut = ran(tmp_path / "cut", sweep_of(ONE, *BIG), reports)
    assert [
        note.partition("out of memory; again with 1 run a call")[2] for note in reports.notes
    ] == [
        " and populations in 2 chunks",
        " and populations in 4 chunks",
    ]
    assert set(tables.load_tables(cut)[1].chunks) == {4}
    alike(expected, cut, but=("chunks",))


def test_a_program_that_needs_too_much_memory_to_compile_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, XLA tries products out while it compiles."""
    compile_group = queue.compile_group

    def compile_small(compiler: Any, work: Any) -> Any:
        if work.place.placement.chunks < 4:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return compile_group(compiler, work)

    monkeypatch.setattr(queue, "compile_group", compile_small)
    reports = Said()
    _, runs = tables.load_tables(ran(tmp_path, sweep_of(ONE, *BIG), reports))
    assert len(reports.notes) == 2 and "out of memory" in reports.notes[0]
    assert set(runs.chunks) == {4} and set(runs.status) == {"finished"}


def test_fewer_runs_share_a_call_where_memory_does_not_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhausted(monkeypatch, lambda place: place.lanes == 1)
    folder = ran(tmp_path, sweep_of(ONE, "seeds=4", "budget.generations=2"), lanes=4)
    _, runs = tables.load_tables(folder)
    assert len(runs) == 4 and set(runs.lanes) == {1} and set(runs.status) == {"finished"}


def test_a_population_that_cannot_be_cut_fails_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhausted(monkeypatch, lambda place: False)
    _, runs = tables.load_tables(ran(tmp_path, sweep_of(ONE), code=1))
    assert set(runs.status) == {"failed"} and runs.reason.str.contains("RESOURCE_EXHAUSTED").all()


@pytest.mark.usefixtures("fine")
def test_a_full_disk_stops_the_sweep_and_loses_nothing(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fills up in the second run; the same command goes on once there is room."""
    written, fsync = [0], os.fsync

    def full(handle: int) -> None:
        written[0] += 1
        if written[0] > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device.*make room and run"):
            ran(tmp_path, sweep_of(ONE))
    assert tables.load_tables(tmp_path)[1].status[0] == "finished"
    assert not list(tmp_path.glob("**/.*"))
    same(short, ran(tmp_path, sweep_of(ONE)))
