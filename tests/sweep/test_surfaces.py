"""Surfaces that a sweep asks for: made once, beside the runs, and refused before anything runs."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es.errors import Interrupted, UserError
from rl_es.results import surfaces as files
from rl_es.results import tables
from rl_es.sweep import surfaces
from rl_es.sweep.store import Store
from rl_es.tools import plan_tables
from rl_es.training.resources import Resources
from tests.running import Said, ran, sweep_of

ENV = "unrolled/toy_regression"
TEXT = f"""
name: tiny
seeds: 1
defaults:
  budget: {{generations: 2}}
  evaluation: {{points: 1, episodes: 1}}
  policy: {{network: parameters}}
environments:
  - {{name: {ENV}, surface: {{low: [-4, -4], high: [2, 2], points: [3, 4]}}}}
agents: [{{name: nres, with: {{population: 4, window: 10}}}}]
"""
tiny_sweep = partial(sweep_of, TEXT)


def evaluate(folder: Path, *assignments: str) -> tuple[int, list[str]]:
    """Makes the surfaces of a sweep, without its runs: (failed, notes)."""
    progress, stop = Said(), threading.Event()
    failed = surfaces.evaluate_surfaces(
        surfaces.requested_surfaces(tiny_sweep(*assignments)), Store(folder), progress, stop
    )
    return failed, progress.notes


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many points each evaluation had; what a point returns is the sum of its parameters."""
    calls: list[int] = []

    def returns(task: Any, points: np.ndarray, episodes: int) -> Any:
        calls.append(len(points))
        for start in range(0, len(points), 5):
            chunk = points[start : start + 5].astype(np.float64)
            yield chunk.sum(1, keepdims=True) * np.ones(episodes)

    monkeypatch.setattr(surfaces, "evaluate_points", returns)
    return calls


def test_a_sweep_writes_its_surface_beside_its_runs(tmp_path: Path) -> None:
    progress = Said()
    ran(tmp_path, tiny_sweep(), progress)
    stored = files.load(tmp_path)
    assert (
        list(stored) == [ENV] and (tmp_path / "surfaces/unrolled+toy_regression.parquet").exists()
    )
    assert stored[ENV].returns.shape == (3, 4) and stored[ENV].episodes == 1
    np.testing.assert_array_equal(stored[ENV].first, [-4, -1, 2])
    np.testing.assert_array_equal(stored[ENV].second, [-4, -2, 0, 2])
    curves, runs = tables.load_tables(tmp_path)
    first = curves[curves.generation == 0]
    assert list(first.center.iloc[0]) == [-4, -4] and runs.status.item() == "finished"
    np.testing.assert_allclose(stored[ENV].returns[0, 0], first.return_mean, rtol=1e-6)
    (note,) = progress.notes
    assert note.startswith(f"surface of {ENV}: 3 x 4 points in ")


def test_points_and_returns_belong_together(tmp_path: Path, counted: list[int]) -> None:
    evaluate(tmp_path, "environments.0.surface.episodes=2")
    stored = files.load(tmp_path)[ENV]
    np.testing.assert_allclose(stored.returns, stored.first[:, None] + stored.second)
    assert stored.episodes == 2


def test_it_is_made_once_and_again_where_the_question_changes(
    tmp_path: Path, counted: list[int]
) -> None:
    assert evaluate(tmp_path)[0] == 0
    assert evaluate(tmp_path) == (0, [])
    evaluate(
        tmp_path, "seeds=3", "name=other", "environments.0.threshold=-600", "budget.generations=9"
    )
    evaluate(tmp_path, "defaults.evaluation.points=7", "agents.0.with.window=20")
    assert counted == [12]
    for change in ("surface.points=3", "surface.high=[3, 2]", "surface.episodes=2"):
        evaluate(tmp_path, f"environments.0.{change}")
    evaluate(tmp_path, "environments.0.episode_length=50")
    assert counted == [12, 9, 12, 12, 12]
    evaluate(tmp_path, "environments.0.label=again")
    assert sorted(files.load(tmp_path)) == ["again", ENV]


def test_a_damaged_file_is_set_aside_and_made_anew(tmp_path: Path, counted: list[int]) -> None:
    evaluate(tmp_path)
    path = files.path_of(tmp_path, ENV)
    returns = files.read(path).returns
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="not a readable surface.*run again"):
        files.load(tmp_path)
    evaluate(tmp_path)
    np.testing.assert_array_equal(files.read(path).returns, returns)
    assert len(list((tmp_path / "set_aside").iterdir())) == 1


def test_what_is_not_finite_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gaps = np.where(np.arange(12) % 5 == 0, np.inf, np.arange(12.0))[:, None]
    monkeypatch.setattr(surfaces, "evaluate_points", lambda *arguments: iter([gaps]))
    evaluate(tmp_path)
    returns = files.load(tmp_path)[ENV].returns.ravel()
    np.testing.assert_array_equal(np.isnan(returns), np.isinf(gaps[:, 0]))


def test_one_that_fails_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError("the pole\nis missing")

    with monkeypatch.context() as patch:
        patch.setattr(surfaces, "evaluate_points", broken)
        failed, (note,) = evaluate(tmp_path)
    assert failed == 1
    assert note.startswith(f"surface of {ENV}: failed: ZeroDivisionError: the pole (test_surfaces.")
    assert files.load(tmp_path) == {} and evaluate(tmp_path)[0] == 0 and files.load(tmp_path)


def test_it_can_be_stopped(tmp_path: Path, counted: list[int]) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        surfaces.evaluate_surfaces(
            surfaces.requested_surfaces(tiny_sweep()), Store(tmp_path), Said(), stop
        )
    assert not (tmp_path / "surfaces").exists()


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("environments.0.name=unrolled/influence_balancing", "needs a policy of two parameters"),
        ("environments.0.policy.network=mlp", "needs a policy of two parameters; .* has 4,"),
        ("environments.0.policy.normalise_observations=true", "does not normalise"),
    ],
)
def test_refused_before_anything_runs(assignment: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"environments\[0\].surface: .*{reason}") as caught:
        ran(tmp_path, tiny_sweep(assignment))
    assert len(str(caught.value).splitlines()) == 1 and not list(tmp_path.iterdir())


def test_an_agents_own_policy_changes_no_surface() -> None:
    (with_override,) = surfaces.requested_surfaces(tiny_sweep("agents.0.policy={network: mlp}"))
    (without_override,) = surfaces.requested_surfaces(tiny_sweep())
    assert with_override.settings == without_override.settings


def test_the_plan_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    plan_tables.show_plans([tiny_sweep()], Resources(), probe=False)
    assert f"With a surface of {ENV}: 3 x 4 points." in " ".join(capsys.readouterr().out.split())
