"""Training without a sweep file: the same runs as with one, and errors that name the argument."""

import gc
import importlib.util
import re
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import rl_es
from rl_es import errors, registry
from rl_es.api.arguments import plain_value
from rl_es.errors import ConfigError, UserError
from rl_es.results import tables
from rl_es.sweep.cells import expand_cells
from tests.api.conftest import ENV, SMALL
from tests.running import ran, sweep_of, times
from tests.sweep.small import ONE, broken_cartpole


def test_a_file_of_the_same_content_has_nothing_left_to_run(
    trained: rl_es.Results, out: Path
) -> None:
    sweep = sweep_of(ONE)
    assert {cell.run_id for cell in expand_cells(sweep)} == {*trained.runs["run_id"]}
    before = times(out)
    ran(out, sweep)
    assert times(out) == before and len(before) == 2


def test_training_goes_on(trained: rl_es.Results, tmp_path: Path) -> None:
    short = rl_es.train(ENV, "eggroll", out=tmp_path, **{**SMALL, "seeds": 1, "generations": 3})
    assert list(short.runs["generations"]) == [3]
    results = rl_es.train(ENV, "eggroll", out=str(tmp_path), **SMALL)
    columns = ["run_id", "generations", "env_steps", "final_return"]
    pd.testing.assert_frame_equal(results.runs[columns], trained.runs[columns])
    before = times(tmp_path)
    rl_es.train(ENV, "eggroll", out=tmp_path, **SMALL)
    assert times(tmp_path) == before


def test_a_result_holds_the_runs_of_its_call(trained: rl_es.Results, tmp_path: Path) -> None:
    arguments = {**SMALL, "seeds": [1], "generations": 1, "out": tmp_path}
    rl_es.train(ENV, "eggroll", **arguments)
    other = rl_es.train(ENV, "eggroll", rank=2, **arguments)
    assert other.labels == ["eggroll"] and list(other.runs["hyper.rank"]) == [2]
    assert other.policy().manifest["run_id"] == other.runs["run_id"].item()
    all_results = rl_es.load(tmp_path)
    assert len(all_results.runs) == 2 and len(all_results.labels) == 2


def test_the_temporary_folder_lives_as_long_as_the_result(
    trained: rl_es.Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = rl_es.train(ENV, "eggroll", **{**SMALL, "generations": 1})
    folder, policy = found.folder, found.policy()
    assert folder.parent == tmp_path and tables.cell_paths(folder)
    del found
    gc.collect()
    assert not folder.exists()
    assert rl_es.evaluate(policy, 3).shape == (3,)


def test_what_is_shown(
    trained: rl_es.Results, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rl_es.train(ENV, "eggroll", out=out, **SMALL)
    assert not capfd.readouterr().out
    rl_es.train(ENV, "eggroll", out=out, **{**SMALL, "progress": True})
    assert "2 of 2 cells done" in capfd.readouterr().out


def test_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arguments = {**SMALL, "seeds": 1, "generations": 1}
    with broken_cartpole():
        with pytest.raises(
            rl_es.UserError,
            match=r"^train: every run failed: ZeroDivisionError: the pole \(small\.py:\d+\)$",
        ):
            rl_es.train(ENV, "eggroll", **arguments)
        assert not list(tmp_path.iterdir())
        pendulum = {"name": "Pendulum-v1", "episode_length": 20}
        with pytest.warns(UserWarning, match="^train: 1 of 2 runs failed: .*the pole") as warning:
            found = rl_es.train([ENV, pendulum], "eggroll", **arguments)
    assert warning[0].filename == __file__
    assert sorted(found.runs["status"]) == ["failed", "finished"]
    with pytest.raises(rl_es.UserError, match="no final policy of CartPole-v1 .* a failed run"):
        found.policy("CartPole-v1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = rl_es.train(
            [ENV, pendulum], "eggroll", **arguments, out=found.folder, retry_failed=True
        )
    assert list(again.runs["status"]) == ["finished"] * 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: rl_es.train("CartPole-v9", "eggroll", env_steps=1e4),
        lambda: rl_es.train("CartPole-v1", "egroll", env_steps=1e4),
        lambda: rl_es.load("nowhere"),
        lambda: rl_es.load_policy("nowhere.json"),
        lambda: rl_es.evaluate("nowhere.json"),
        lambda: rl_es.plot("nowhere"),
    ],
)
def test_an_error_shows_no_internals(call: Callable[[], Any]) -> None:
    with pytest.raises(rl_es.UserError) as error:
        call()
    *frames, wrapper = traceback.extract_tb(error.value.__traceback__)
    assert {frame.filename for frame in frames} == {__file__}
    assert wrapper.filename == errors.__file__
    text = "".join(traceback.format_exception(error.value))
    assert len(text) < 900 and text.count("Traceback") == 1


E = {"generations": 2}
BAD: list[tuple[Any, Any, dict[str, Any], str]] = [
    ("CartPole-v2", "eggroll", E, "env: unknown environment 'CartPole-v2'; did you mean 'CartP"),
    ("CartPole-v1", "egroll", E, "agent: unknown agent 'egroll'; did you mean 'eggroll'?"),
    ("CartPole-v1", ["open_es", "egroll"], E, "agent[1]: unknown agent 'egroll'"),
    ("CartPole-v1", "eggroll", {**E, "rnk": 3}, "rnk: unknown key; did you mean 'rank'?"),
    ("CartPole-v1", "eggroll", {**E, "sedes": 3}, "sedes: unknown argument; did you mean 'seeds'?"),
    ("CartPole-v1", "eggroll", {**E, "rank": 0}, "rank: must be >= 1, is 0"),
    ("CartPole-v1", "eggroll", {**E, "rank": None}, "rank: must be text, a number"),
    ("CartPole-v1", "eggroll", {**E, "lr": float("nan")}, "lr: must be a finite number, is nan"),
    ("CartPole-v1", "eggroll", {}, "needs one of env_steps, generations, seconds"),
    ("CartPole-v1", "eggroll", {**E, "env_steps": 9}, "takes one of env_steps, generations, sec"),
    ("CartPole-v1", "eggroll", {"env_steps": 1.5}, "env_steps: must be a whole number, is 1.5"),
    ("CartPole-v1", "eggroll", {**E, "seeds": 0}, "seeds: must be at least 1"),
    ("CartPole-v1", "eggroll", {**E, "seeds": range(10**9)}, "seeds: must have at most 1,000,000"),
    ("CartPole-v1", "eggroll", {**E, "policy": {"width": [3]}}, "policy.width: unknown key"),
    ("CartPole-v1", "eggroll", {**E, "policy": [3]}, "policy: must be a mapping"),
    ("CartPole-v1", "eggroll", {**E, "evaluation": {"points": 0}}, "evaluation.points: must be"),
    ({"name": "CartPole-v1", "tresh": 3}, "eggroll", E, "env.tresh: unknown key; did you mean"),
    (["Pendulum-v1", {"nam": "x"}], "eggroll", E, "env[1].nam: unknown key; did you mean 'name'?"),
    ("CartPole-v1", {"name": "eggroll", "with": {"rnk": 3}}, E, "agent.with.rnk: unknown key"),
    ([], "eggroll", E, "env: is empty"),
    (3, "eggroll", E, "env: must be a name, a mapping, or a list of these, is 3"),
    ("CartPole-v1", "eggroll", {**E, "name": "../x"}, "name: must be letters"),
    ("CartPole-v1", "eggroll", {**E, "devices": 0}, "devices: must be at least 1, is 0"),
    ("CartPole-v1", "eggroll", {**E, "devices": 4000}, "devices: must be at most"),
    ("CartPole-v1", "eggroll", {**E, "out": 3}, "out: must be a path, is 3"),
]


@pytest.mark.parametrize(("env", "agent", "more", "message"), BAD, ids=[one[3][:40] for one in BAD])
def test_an_error_names_the_argument(
    env: Any,
    agent: Any,
    more: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    jax.devices()  # before jax runs, a CPU may be split into any number of devices
    with pytest.raises(rl_es.UserError) as found:
        rl_es.train(env, agent, **more, progress=False)
    assert str(found.value).startswith(f"train: {message}"), str(found.value)
    assert len(str(found.value).splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_folder_of_another_sweep_is_refused(trained: rl_es.Results, out: Path) -> None:
    with pytest.raises(rl_es.UserError, match="not 'other'; choose another folder with out$"):
        rl_es.train(ENV, "eggroll", out=out, **{**SMALL, "name": "other"})


def test_out_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(rl_es.UserError, match="x: is a file; out needs a folder"):
        rl_es.train("CartPole-v1", "eggroll", env_steps=9, out=tmp_path / "x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1e6, 1_000_000),
        (0.5, 0.5),
        (True, True),
        (np.float64(2.0), 2),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([1.0, 2.5]), [1, 2.5]),
        ((32, 32), [32, 32]),
        (range(3), [0, 1, 2]),
        (Path("a/b"), "a/b"),
        ({"a": (1.0,)}, {"a": [1]}),
    ],
)
def test_values_are_those_of_a_file(value: Any, expected: Any) -> None:
    found = plain_value(value)
    assert found == expected and type(found) is type(expected)


def test_values_that_no_file_holds() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (None, b"x", object(), {1: 2}, {"a": float("inf")}, "a\0b", endless, 1j):
        with pytest.raises(ConfigError):
            plain_value(value)


@pytest.mark.extra("tensorboard")
def test_evaluations_go_to_tensorboard_while_it_trains(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    results = rl_es.train(ENV, "eggroll", out=tmp_path, tensorboard=True, **{**SMALL, "seeds": 1})
    (path,) = (tmp_path / "tensorboard").glob("*/eggroll/seed_0")
    events = EventAccumulator(str(path))
    events.Reload()
    steps = [scalar.step for scalar in events.Scalars("return_mean")]
    assert steps == list(results.curves["env_steps"]) and not capfd.readouterr().out


def test_trackers_that_cannot_work_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="tensorboard and wandb keep files: name .* out="):
        rl_es.train(ENV, "eggroll", tensorboard=True, **SMALL)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name)
    )
    with pytest.raises(UserError, match=re.escape(registry.install_command("wandb"))):
        rl_es.train(ENV, "eggroll", out=tmp_path / "out", wandb=True, **SMALL)
    assert not (tmp_path / "out").exists()
