"""Event files as TensorBoard reads them, whatever a folder's names are."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rl_es import cli, registry
from rl_es.errors import UserError
from rl_es.results import tables
from rl_es.sweep.progress import Progress
from rl_es.sweep.tracking import TrackedProgress
from rl_es.tools.tensorboard import SCALARS, TensorboardTracker, write_event_files
from tests.analysis.conftest import write_run
from tests.running import ran, sweep_of
from tests.sweep.small import ONE

needs_tensorboard = pytest.mark.extra("tensorboard")


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard is not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labels of three and two seeds; a run that failed, one that diverged."""
    place = tmp_path / "demo"
    for seed in range(3):
        write_run(place, "brax/ant", "eggroll", seed, hyper={"lr": 0.1, "shaping": "z", "on": True})
    write_run(place, "brax/ant", "pes", 0, status="failed", reason="x", evaluations=0)
    returns = [1.0, 2.0, float("nan"), *[0.0] * 8]
    write_run(place, "brax/ant", "pes", 1, status="diverged", evaluations=3, returns=returns)
    return place


def read(place: Path) -> Any:
    """A run's events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events_of_run = EventAccumulator(str(place))
    events_of_run.Reload()
    return events_of_run


def settings(events_of_run: Any) -> dict[str, Any]:
    """The hyper-parameters of a run."""
    from tensorboard.plugins.hparams import metadata

    (content,) = events_of_run.PluginTagToContent(metadata.PLUGIN_NAME).values()
    start = metadata.parse_session_start_info_plugin_data(content)
    return {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    } | {"group": start.group_name}


@needs_tensorboard
def test_what_was_written_is_read(folder: Path) -> None:
    paths = write_event_files(folder)
    place = folder / "tensorboard" / "brax-ant"
    assert paths == [
        *(place / "eggroll" / f"seed_{seed}" for seed in range(3)),
        *(place / "pes" / f"seed_{seed}" for seed in range(2)),
    ]
    curves, _ = tables.load_tables(folder)
    rows = curves[(curves["label"] == "eggroll") & (curves["seed"] == 2)]
    events_of_run = read(paths[2])
    assert events_of_run.Tags()["scalars"] == ["return_mean"]  # the population's are null here
    events = events_of_run.Scalars("return_mean")
    assert [event.step for event in events] == list(rows["env_steps"])
    assert [event.wall_time for event in events] == list(rows["wall_seconds"])
    assert [event.value for event in events] == pytest.approx(list(rows["return_mean"]))
    assert settings(events_of_run) == {
        **{"env": "brax/ant", "label": "eggroll", "agent": "eggroll", "lr": 0.1, "shaping": "z"},
        **{"on": True, "group": "brax/ant / eggroll"},
    }
    assert [event.value for event in read(paths[4]).Scalars("return_mean")] == [1.0, 2.0]
    assert not read(paths[3]).Tags()["scalars"] and settings(read(paths[3]))["agent"] == "pes"


@needs_tensorboard
def test_all_scalars(tmp_path: Path) -> None:
    measures = {name: float(place) for place, name in enumerate(SCALARS)}
    row = {"generation": 1, "env_steps": 7, "wall_seconds": 2.5, **measures}
    identity = dict(sweep="x", run_id="0" * 16, env="e", agent="a", label="l", seed=0)
    cell = tmp_path / "cells" / f"{'0' * 16}.parquet"
    tables.write_cell(cell, identity, {}, [row], {"status": "finished"})
    (place,) = write_event_files(tmp_path, tmp_path / "out")
    events_of_run = read(place)
    for name, value in measures.items():
        (event,) = events_of_run.Scalars(name)
        assert (event.step, event.wall_time, event.value) == (7, 2.5, value)


@needs_tensorboard
def test_writing_twice_replaces(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    write_event_files(folder, out)
    before = files()
    assert len(before) == 5
    write_event_files(folder, out)
    assert files() == before
    notes = out / "brax-ant" / "pes" / "seed_1" / "notes.txt"
    notes.write_text("mine")
    for path in tables.cell_paths(folder):
        if tables.read_cell(path)[1]["label"] == "pes":
            path.unlink()
    write_event_files(folder, out)
    others = {path: content for path, content in before.items() if "pes" not in path.parts}
    assert files() == {**others, notes: b"mine"}
    assert not (out / "brax-ant" / "pes" / "seed_0").exists()


@needs_tensorboard
def test_names_never_leave_the_folder(tmp_path: Path) -> None:
    names = ["../../x", "/etc/x", "..", "a b", "a_b", "a/b", "-", "é" * 300]
    for label in names:
        write_run(tmp_path / "in" / "demo", "../../../up", label, 0)
    out = tmp_path / "in" / "out"
    paths = write_event_files(tmp_path / "in" / "demo", out)
    assert len({*paths}) == len(names)
    files = list(tmp_path.rglob("events.*"))
    assert len(files) == len(names)
    for path in files:
        assert path.resolve().is_relative_to(out) and len(path.relative_to(out).parts) == 4
    assert {settings(read(place))["label"] for place in paths} == {*names}


@needs_tensorboard
def test_the_command(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tensorboard", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert capfd.readouterr().out.startswith(f"5 runs in {tmp_path / 'out'}; tensorboard --logdir")
    assert cli.main(["tensorboard", str(tmp_path / "nonesuch")]) == 2
    assert cli.main(["tensorboard", str(folder), "--out", str(folder / "cells" / "x" / "y")]) == 0
    (tmp_path / "file").write_text("")
    assert cli.main(["tensorboard", str(folder), "--out", str(tmp_path / "file")]) == 2
    assert "is a file; --out needs a folder" in capfd.readouterr().err


def test_without_tensorboard(
    folder: Path, lacking: None, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {*folder.rglob("*")}
    command = registry.install_command("tensorboard")
    with pytest.raises(UserError, match=f"needs tensorboard's library: {re.escape(command)}"):
        write_event_files(folder)
    assert cli.main(["tensorboard", str(folder)]) == 2
    (message,) = capfd.readouterr().err.splitlines()
    assert command in message and {*folder.rglob("*")} == before


@needs_tensorboard
def test_files_that_grow_during_a_run_end_as_the_command_writes_them(tmp_path: Path) -> None:
    sweep = sweep_of(ONE)
    trackers = [TensorboardTracker(tmp_path)]
    progress = TrackedProgress(Progress(), tmp_path, trackers)
    ran(tmp_path, sweep, progress)
    progress.end()
    paths = write_event_files(tmp_path, tmp_path / "written")
    for path in paths:
        growing = read(tmp_path / "tensorboard" / path.relative_to(tmp_path / "written"))
        written = read(path)
        assert settings(growing) == settings(written)
        tags = written.Tags()["scalars"]
        assert growing.Tags()["scalars"] == tags and "return_mean" in tags
        for tag in tags:
            assert growing.Scalars(tag) == written.Scalars(tag)


@needs_tensorboard
def test_evaluations_are_seen_before_the_run_ends(folder: Path) -> None:
    rows, record = tables.read_cell(tables.cell_paths(folder)[0])
    cell: Any = SimpleNamespace(
        run_id=record["run_id"], env="e", label="l", agent="a", seed=0, settings={"lr": 0.1}
    )
    tracker = TensorboardTracker(folder)
    for count in (1, 2):
        tracker.log(cell, rows[count - 1 : count])
        scalars = read(folder / "tensorboard" / "e" / "l" / "seed_0").Scalars("return_mean")
        assert [event.step for event in scalars] == [row["env_steps"] for row in rows[:count]]
    tracker.close()
