"""`replay`: what it picks, what it writes and says, and what it refuses."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rl_es.errors import UserError
from rl_es.replay import command
from rl_es.results import tables, text_files
from rl_es.training import policies
from rl_es.training.policies import PolicyLoader
from tests.replay import videos


def add_label(folder: Path, label: str, env: str = "a/pendulum", **changed: Any) -> None:
    """A second label of an environment: the same policies, and cells that say otherwise."""
    for path in list(folder.glob("policies/*/*.json")):
        manifest = json.loads(path.read_text())
        if manifest["env"] == env:
            run_id = f"{manifest['seed']:016x}"
            copy = folder / "policies" / run_id / path.name
            copy.parent.mkdir(exist_ok=True)
            text_files.write_json(copy, {**manifest, "label": label, "run_id": run_id})
            shutil.copy(path.with_suffix(".msgpack"), copy.with_suffix(".msgpack"))
    rows = tables.load_tables(folder)[1]
    for seed in (0, 1):
        old = next(rows[(rows.env == env) & (rows.seed == seed)].itertuples())
        identity = {
            "sweep": "filmed", "run_id": f"{seed:016x}", "env": env, "agent": "eggroll",
            "label": label, "seed": seed,
        }  # fmt: skip
        record = {"status": "finished", "final_return": old.final_return + 1000, **changed}
        row = {"generation": 1, "env_steps": 1, "return_mean": record["final_return"]}
        tables.write_cell(folder / "cells" / f"{seed:016x}.parquet", identity, {}, [row], record)


def test_an_mp4(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = command.run_replay(folder, env="a/pendulum", size="160x120", stage="early")
    assert path == folder / "replays" / "a_pendulum-low_rank-seed0-early.mp4"
    frames, about = videos.read(path)
    assert frames.shape == (31, 120, 160, 3)  # 30 steps, with the start
    assert about["fps"] == 20 and about["duration"] == pytest.approx(31 / 20, abs=0.02)
    assert (np.abs(np.diff(frames[:, :100].astype(int), axis=0)).max((1, 2, 3)) > 60).all()
    messages = capsys.readouterr().err
    assert re.search(r"early: return -[\d.]+ in 30 steps, real time", messages)


def test_all_stages_side_by_side_as_a_gif(folder: Path) -> None:
    out = folder / "film.gif"
    assert command.run_replay(folder, "catch", stage="all", size="96x80", out=out) == out
    with Image.open(out) as image:
        assert image.size == (3 * 96, 80) and 2 <= image.n_frames <= 10


def test_what_is_drawn_is_the_episode(trained: Path) -> None:
    """The same seed, the same episode; its return is what the recorded rewards add up to."""
    path = command.pick_run(trained, "catch", None, None, 1, "final")[0]["final"].path
    policy = PolicyLoader().load(path)
    one, other = (policy.rollout(3, states) for states in (True, False))
    np.testing.assert_array_equal(one.observations, other.observations)
    assert other.states == () and len(one.rewards) == 9
    assert one.end[1].shape == (10, 5) and one.end[1].sum() == 2


def test_one_program_serves_all_policies_and_episodes(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []
    real = policies.make_recorder

    def counting(*arguments: Any) -> Any:
        record = real(*arguments)

        def run(*inputs: Any) -> Any:
            traced.append(1)
            return record(*inputs)

        return run

    monkeypatch.setattr(policies, "make_recorder", counting)
    loader = PolicyLoader()
    for policy in command.all_policies(trained):
        if policy.manifest["env"] == "catch":
            for episode in (0, 1):
                loader.load(policy.path).rollout(episode)
    assert len(traced) == 1


def test_a_page(folder: Path) -> None:
    path = command.run_replay(folder, env="catch", format="html", size="96x80")
    text = path.read_text()
    assert path.name == "catch-low_rank-seed0-all.html"
    assert not re.search(r"https?:|//[a-z]", re.sub(r"base64,[\w+/=]+", "", text))
    assert text.count("data:video/mp4;base64,") == 3 and "default-src 'none'" in text
    assert [stage in text for stage in ("<b>early</b>", "<b>middle</b>", "<b>final</b>")] == [
        True
    ] * 3
    assert "catch / low rank / seed 0" in text


def test_text_of_a_page_is_escaped(folder: Path) -> None:
    for path in folder.glob("policies/*/*.json"):
        manifest = json.loads(path.read_text())
        text_files.write_json(path, {**manifest, "label": "<b>&"})
    path = command.run_replay(
        folder, "catch", label="<b>&", format="html", size="96x80", stage="final"
    )
    assert "catch / &lt;b&gt;&amp; / seed 0" in path.read_text()
    assert path.name == "catch-b-seed0-final.html"


def test_the_best_label_is_taken_and_said(folder: Path) -> None:
    add_label(folder, "better")
    stages, note = command.pick_run(folder, "a/pendulum", None, None, 0, "final")
    assert stages["final"].manifest["label"] == "better"
    assert note.startswith("a/pendulum: better, the highest mean final return (")
    stages, note = command.pick_run(folder, "a/pendulum", "low rank", None, 0, "final")
    assert stages["final"].manifest["label"] == "low rank" and not note


def test_a_label_of_runs_that_diverged_is_not_the_best(folder: Path) -> None:
    add_label(folder, "worse", status="diverged", reason="not a number")
    stages, _ = command.pick_run(folder, "a/pendulum", None, "eggroll", 0, "final")
    assert stages["final"].manifest["label"] == "low rank"


def test_final_returns_are_means_over_finished_runs() -> None:
    runs = pd.DataFrame(
        {
            "env": ["e"] * 5 + ["f"],
            "label": ["a", "a", "b", "b", "c", "a"],
            "status": ["finished", "finished", "finished", "diverged", "failed", "finished"],
            "final_return": [1.0, 3.0, 1.5, 99.0, 5.0, 50.0],
        }
    )
    assert command.final_returns(runs, "e").to_dict() == {"a": 2.0, "b": 1.5}


def test_a_seed_without_stages_has_what_it_has(folder: Path) -> None:
    stages, note = command.pick_run(folder, "catch", None, None, 1, "all")
    assert list(stages) == ["final"]
    assert (
        note
        == "no early or middle policy of 'catch / low rank / seed 1': only the first seed has all"
    )


@pytest.mark.parametrize(
    ("status", "reason", "note"),
    [
        ("diverged", "update is not finite", r"diverged \(update is not finite\)"),
        ("running", None, "running"),
    ],
)
def test_what_became_of_a_run_is_said(
    folder: Path, status: str, reason: str | None, note: str
) -> None:
    add_label(folder, "gone", status=status, reason=reason)
    shutil.rmtree(folder / "policies" / f"{0:016x}")
    with pytest.raises(UserError, match=f"seed 0': it is {note}$"):
        command.pick_run(folder, "a/pendulum", "gone", None, 0, "final")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "several environments, choose --env: a/pendulum, catch"),
        ({"env": "cach"}, "no policy of environment 'cach'; did you mean 'catch'"),
        ({"env": "catch", "label": "low-rank"}, "of label 'low-rank'; did you mean 'low rank'"),
        ({"env": "catch", "agent": "egroll"}, "of agent 'egroll'; did you mean 'eggroll'"),
        ({"env": "catch", "label": "low rank", "agent": "eggroll"}, "--label and --agent"),
        ({"env": "catch", "seed": 7}, "no policy of 'catch / low rank / seed 7'; seeds: 0, 1"),
        ({"env": "catch", "seed": 1, "stage": "early"}, "no early policy .*; there is: final"),
        ({"env": "catch", "size": "320"}, "--size: must be two even numbers .*; is '320'"),
        ({"env": "catch", "size": "321x240"}, "--size"),
        ({"env": "catch", "size": "2x2"}, "--size"),
        ({"env": "catch", "out": Path("film.avi")}, "must end in .mp4, .gif, .html"),
        ({"env": "catch", "out": Path("a.gif"), "format": "mp4"}, "must end in .mp4"),
        ({"env": "catch", "out": Path(".")}, "is a folder"),
        ({"env": "catch", "episode_seed": -1}, "--episode-seed: must be at least 0"),
    ],
)
def test_what_does_not_fit_is_refused(
    trained: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        command.run_replay(trained, **arguments)
    assert "\n" not in str(error.value) and not (trained / "replays").exists()


def test_folders_without_policies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        command.run_replay(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no policies here"):
        command.run_replay(tmp_path)


def test_without_a_screen_it_says_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    command.open_in_browser(tmp_path / "a.html")
    assert str(tmp_path / "a.html") in capsys.readouterr().err
