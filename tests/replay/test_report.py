"""The films of a results folder: what is made, kept, made anew, removed, and missing."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rl_es import cli, registry
from rl_es.cli import result_commands
from rl_es.errors import UserError
from rl_es.replay import films, report
from rl_es.results import replays, text_files
from tests.replay import videos
from tests.replay.test_command import add_label


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SIZE", (96, 80))


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "replays" / "replays.json").read_text())


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "replays").glob("*.*4")}


def make_films(folder: Path) -> list[str]:
    """Makes what has to be made, and says what that was."""
    messages: list[str] = []
    assert report.write(folder, messages.append) == folder / "replays" / "replays.json"
    return messages


def test_films_are_made_kept_made_anew_and_removed(folder: Path) -> None:
    messages = make_films(folder)
    assert [line.split(" in ")[0] for line in messages] == [
        "filmed a/pendulum (low rank)",
        "filmed catch (low rank)",
    ]
    index = read(folder)
    assert index["schema_version"] == 1 and index["missing"] == []
    assert [(film["env"], film["stage"]) for film in index["replays"]] == [
        (env, stage) for env in ("a/pendulum", "catch") for stage in ("early", "middle", "final")
    ]
    for film in index["replays"]:
        frames, about = videos.read(folder / "replays" / film["video"])
        assert frames.shape[1:] == (film["height"], film["width"], 3) == (80, 96, 3)
        assert about["fps"] == pytest.approx(film["frames_per_second"], rel=1e-3)
        assert Image.open(folder / "replays" / film["poster"]).size == (96, 80)
        assert film["seed"] == 0 and film["episode_seed"] in range(4) and film["agent"] == "eggroll"
        assert len(frames) == film["steps"] + 1
    pendulum, catch = index["replays"][0], index["replays"][-1]
    assert (pendulum["steps"], pendulum["terminated"], pendulum["speed"]) == (30, False, 1.0)
    assert (catch["steps"], catch["terminated"], catch["speed"]) == (9, True, None)
    assert abs(catch["return"]) == 1

    (folder / "replays" / "mine.mp4").write_text("not named in replays.json")
    before = times(folder)
    assert make_films(folder) == [] and times(folder) == before and read(folder) == index

    changed = folder / "policies" / catch["run_id"] / "middle.json"
    text_files.write_json(changed, {**text_files.read_json(changed, "policy"), "changed": True})
    assert [line.split(" (")[0] for line in make_films(folder)] == ["filmed catch"]
    after = times(folder)
    new_names = {name for name in before if after[name] != before[name]}
    assert new_names == {film["video"] for film in index["replays"] if film["env"] == "catch"}

    shutil.rmtree(folder / "policies" / catch["run_id"])
    assert make_films(folder)[0].startswith(
        "filmed catch"
    )  # of the other seed, which has one stage
    catch = [film for film in read(folder)["replays"] if film["env"] == "catch"]
    assert [(film["seed"], film["stage"]) for film in catch] == [(1, "final")]
    names = {path.name for path in (folder / "replays").iterdir()}
    assert names == {"replays.json", "mine.mp4"} | {
        film[kind] for film in read(folder)["replays"] for kind in ("video", "poster")
    }


def test_the_best_label_is_filmed(folder: Path) -> None:
    add_label(folder, "better")
    make_films(folder)
    pendulum = [film for film in read(folder)["replays"] if film["env"] == "a/pendulum"]
    assert {film["label"] for film in pendulum} == {"better"} and len(pendulum) == 3


def test_one_that_cannot_be_filmed_does_not_stop_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(error: Exception) -> Callable[..., Any]:
        def drawing(*_: Any) -> Any:
            raise error

        return drawing

    suite = registry.suites.load("gymnax")
    for error, reason in (
        (UserError("nothing to render with"), "nothing to render with"),
        (ValueError("a bug"), "ValueError: a bug"),
    ):
        monkeypatch.setattr(suite, "drawing", failing(error))
        assert f"no replay of a/pendulum: {reason}" in make_films(folder)
        index = read(folder)
        assert {film["env"] for film in index["replays"]} == {"catch"}
        missing = {"env": "a/pendulum", "label": "low rank", "reason": reason}
        assert index["missing"] == [missing]


def test_without_an_encoder_it_is_said_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films.importlib.util, "find_spec", lambda name: None)
    make_films(folder)
    reasons = {film["env"]: film["reason"] for film in read(folder)["missing"]}
    assert set(reasons) == {"a/pendulum", "catch"}
    assert all(registry.install_command("report") in reason for reason in reasons.values())


def test_without_policies_nothing_is_written(folder: Path) -> None:
    shutil.rmtree(folder / "policies")
    assert report.write(folder, print) is None and not (folder / "replays").exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema_version": 1}',
        '{"schema_version": 0, "replays": [], "missing": []}',
        '{"schema_version": 1, "replays": [{"env": "a"}], "missing": []}',
    ],
)
def test_a_damaged_catalogue_is_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "replays").mkdir()
    (tmp_path / "replays" / "replays.json").write_text(content)
    assert replays.usable_replays(tmp_path).replays == []


def test_an_interruption_keeps_what_was_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_films(folder)
    write_replay = report._write_replay

    def interrupted(folder: Path, film: Any) -> Any:
        if film.policy.manifest["env"] == "catch":
            raise KeyboardInterrupt
        return write_replay(folder, film)

    monkeypatch.setattr(report, "_write_replay", interrupted)
    for path in folder.glob("policies/*/*.json"):
        text_files.write_json(path, {**text_files.read_json(path, "policy"), "changed": True})
    with pytest.raises(KeyboardInterrupt):
        report.write(folder, print)
    monkeypatch.undo()
    monkeypatch.setattr(report, "SIZE", (96, 80))
    assert [line.split(" (")[0] for line in make_films(folder)] == ["filmed catch"]


def test_the_verb_makes_films_unless_told_not_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        result_commands, "write_report", lambda folder: sys.stdout.write("reported\n")
    )
    assert cli.main(["report", str(folder), "--no-replays"]) == 0
    assert capsys.readouterr().out == "reported\n" and not (folder / "replays").exists()
    assert cli.main(["report", str(folder)]) == 0
    path = folder / "replays" / "replays.json"
    assert capsys.readouterr().out == f"{path}\nreported\n"
    next(folder.glob("policies/*/final.json")).write_text("{")
    assert cli.main(["report", str(folder)]) == 0
    output = capsys.readouterr()
    assert output.out == "reported\n" and "no replays: " in output.err
