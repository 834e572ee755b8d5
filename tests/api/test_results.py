"""Results in Python: tables, trained policies, and figures drawn as those of the report are."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import rl_es
from rl_es.analysis import gallery, sweep_tables
from rl_es.analysis.drawing import layout
from rl_es.results import tables
from tests.analysis.conftest import write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two environments, two labels, three seeds."""
    for env in ("cartpole", "brax/pendulum"):
        for label in ("eggroll", "pes"):
            for seed in range(3):
                write_run(tmp_path / "demo", env, label, seed, threshold=60.0)
    return tmp_path / "demo"


def test_tables(folder: Path) -> None:
    results = rl_es.load(folder)
    for table, expected_table in zip(
        (results.curves, results.runs), tables.load_tables(folder), strict=True
    ):
        pd.testing.assert_frame_equal(table, expected_table)
    assert results.environments == ["brax/pendulum", "cartpole"]
    assert results.labels == ["eggroll", "pes"]
    pd.testing.assert_frame_equal(
        results.summary(), sweep_tables.summarise(results.curves, results.runs)
    )
    assert "eggroll" in results._repr_html_() and "12 runs" in repr(results)


def test_a_copy_of_the_tables_is_enough(folder: Path, tmp_path: Path) -> None:
    results = rl_es.load(folder)
    (tmp_path / "copy").mkdir()
    tables.write_tables(tmp_path / "copy", results.curves, results.runs)
    copy = rl_es.load(str(tmp_path / "copy"))
    pd.testing.assert_frame_equal(copy.curves[["env_steps"]], results.curves[["env_steps"]])
    with pytest.raises(rl_es.UserError, match="no final policy of cartpole / pes / seed 0"):
        copy.policy("cartpole", "pes")


def test_a_change_of_a_table_changes_nothing_else(folder: Path) -> None:
    results = rl_es.load(folder)
    curves = results.curves
    curves.loc[:, "return_mean"] = 0.0
    assert (results.curves["return_mean"] != 0).any()


@pytest.mark.parametrize("kind", ["learning_curves", "success"])
def test_a_figure_is_that_of_the_command(kind: str, folder: Path, tmp_path: Path) -> None:
    (path,) = gallery.draw_figures([folder], tmp_path / "figures", [kind], formats=["png"])
    figure = rl_es.load(folder).plot(kind)
    image = Image.open(io.BytesIO(layout.encode_figure(figure, "png")))
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(path)))
    other = rl_es.plot(folder, kind, size="column", replicates=10)
    assert other.get_size_inches()[0] == 3.25


def test_a_notebook_shows_a_figure(folder: Path) -> None:
    figure = rl_es.plot(folder)
    picture, size = figure._repr_png_()  # pyright: ignore[reportAttributeAccessIssue]
    width, height = Image.open(io.BytesIO(picture)).size
    assert width / height == pytest.approx(size["width"] / size["height"], rel=0.01)
    assert size["width"] < width


def test_policies(trained: rl_es.Results, out: Path) -> None:
    policy = trained.policy()
    assert policy.manifest["seed"] == 0 and policy.manifest["stage"] == "final"
    returns = rl_es.evaluate(policy, episodes=5, seed=3)
    assert returns.shape == (5,) and (returns > 0).all()
    assert np.array_equal(returns, policy.evaluate(5, 3))
    path = out / "policies" / policy.manifest["run_id"] / "final.json"
    assert np.array_equal(returns, rl_es.evaluate(path, 5, 3))
    assert np.array_equal(returns, rl_es.load_policy(str(path)).evaluate(5, 3))
    assert len(rl_es.evaluate(policy)) == 100
    other = trained.policy(seed=1)
    assert other.manifest["seed"] == 1 and other.evaluator is policy.evaluator
    early = trained.policy("CartPole-v1", "eggroll", seed=0, stage="early")
    assert early.manifest["env_steps"] < policy.manifest["env_steps"]


def test_policies_that_are_not_there(trained: rl_es.Results, folder: Path) -> None:
    results = rl_es.load(folder)
    for arguments, message in (
        ({}, "policy: env: needed, as there are several: brax/pendulum, cartpole"),
        ({"env": "cartpol"}, "policy: env: no run has 'cartpol'; did you mean 'cartpole'?"),
        ({"env": "cartpole"}, "policy: label: needed, as there are several: eggroll, pes"),
        ({"env": "cartpole", "label": "pes", "seed": 7}, "policy: seed: no run has '7'; valid: 0"),
    ):
        with pytest.raises(rl_es.UserError) as error:
            results.policy(**arguments)
        assert str(error.value).startswith(message)
    with pytest.raises(
        rl_es.UserError, match="policy: stage: there is no 'fina'; did you mean 'final'"
    ):
        trained.policy(stage="fina")
    with pytest.raises(rl_es.UserError, match="no early policy of CartPole-v1 / eggroll / seed 1"):
        trained.policy(seed=1, stage="early")


def test_arguments_that_are_wrong(trained: rl_es.Results, tmp_path: Path) -> None:
    policy = trained.policy()
    for call, message in (
        (lambda: rl_es.load(tmp_path), "no results here"),
        (lambda: rl_es.load(tmp_path / "x"), "x: no such folder"),
        (lambda: rl_es.load(3), "load: folder: must be a path, is 3"),
        (lambda: rl_es.load_policy(tmp_path / "x.json"), "not a readable policy manifest"),
        (lambda: rl_es.load_policy(None), "load_policy: manifest: must be a path, is None"),
        (lambda: rl_es.evaluate(3), "evaluate: policy: must be one that was saved, is 3"),
        (lambda: rl_es.evaluate(policy, 0), "evaluate: episodes: must be at least 1, is 0"),
        (lambda: rl_es.evaluate(policy, 2.5), "evaluate: episodes: must be a whole number, is 2.5"),
        (lambda: rl_es.evaluate(policy, 2, -1), "evaluate: seed: must be at least 0, is -1"),
        (lambda: rl_es.plot(trained, "curves"), "plot: kind: there is no 'curves'; did you mean"),
        (lambda: rl_es.plot(trained, ["curves"]), "plot: kind: there is no '['curves']'"),
        (lambda: rl_es.plot(trained, "profiles"), "plot: nothing to draw as 'profiles', which"),
        (
            lambda: rl_es.plot(trained, size="a5"),
            "plot: size: there is no 'a5'; valid: auto, column, page",
        ),
        (lambda: rl_es.plot(trained, replicates=0), "plot: replicates: must be at least 1"),
        (lambda: rl_es.plot(trained, normalise="best"), "plot: normalise: must be two references"),
    ):
        with pytest.raises(rl_es.UserError) as error:
            call()
        assert message in str(error.value) and len(str(error.value).splitlines()) == 1
