"""`evaluate`: what it picks, what it prints and writes, and what it refuses."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es import registry
from rl_es.errors import UserError
from rl_es.interfaces import NativeStep
from rl_es.results import text_files
from rl_es.rollout.sampling import pass_at
from rl_es.tools import evaluate
from rl_es.training.policies import find_policy, native_seeds
from tests.running import ran, sweep_of

TEXT = """
name: evaluated
seeds: 2
defaults:
  budget: {generations: 2}
  evaluation: {points: 1, episodes: 2}
  policy: {network: linear, head: deterministic}
  agent: {population: 4}
environments:
  - {name: Pendulum-v1, label: pendulum, episode_length: 20}
  - {name: MountainCarContinuous-v0, label: car, episode_length: 20}
agents: [{name: eggroll, label: low rank}, full_rank_es]
"""


class Counter:
    """A simulator that pays an episode its seed, modulo 100, in each step."""

    title, episode_length = "Counter 1.0", 1000

    def reset(self, seeds):
        state = np.array(seeds, float)[:, None] % 100
        return state, np.repeat(state, 3, 1)

    def step(self, state, actions):
        ends = np.zeros(len(state), bool)
        return NativeStep(state, np.repeat(state, 3, 1), state[:, 0], ends)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("evaluated"), sweep_of(TEXT))


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pendulum can be had in `Counter` as well."""
    suite = registry.suites.load("gymnax")
    monkeypatch.setattr(suite, "NATIVE", ("Pendulum-v1",), raising=False)
    monkeypatch.setattr(suite, "native", lambda name: Counter(), raising=False)


def rows(folder: Path) -> list[dict[str, Any]]:
    with (folder / "evaluations.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_policy_is_evaluated_on_fresh_episodes(folder: Path) -> None:
    assert evaluate.evaluate_policies(folder, episodes=3, seed=1) == folder / "evaluations.csv"
    evaluations = rows(folder)
    assert [(row["env"], row["label"], row["seed"]) for row in evaluations] == [
        (env, label, seed)
        for env in ("car", "pendulum")
        for label in ("full_rank_es", "low rank")
        for seed in "01"
    ]
    for row in evaluations:
        returns = find_policy(folder, row["env"], row["label"], int(row["seed"])).evaluate(
            3, seed=1
        )
        values = [float(row[f"return_{name}"]) for name in ("mean", "std", "min", "max")]
        expected = [returns.mean(), returns.std(), returns.min(), returns.max()]
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
        assert (row["physics"], row["episodes"], row["evaluation_seed"]) == ("training", "3", "1")
    assert {row["simulator"] for row in evaluations} == {"Pendulum-v1", "MountainCarContinuous-v0"}
    assert len({row["run_id"] for row in evaluations}) == 8


def test_native_physics_beside_it(
    folder: Path, counter: None, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.evaluate_policies(folder, label="low rank", episodes=4, native=True)
    evaluations = [row for row in rows(folder) if row["physics"] == "native"]
    assert [(row["env"], row["seed"]) for row in evaluations] == [
        ("pendulum", "0"),
        ("pendulum", "1"),
    ]
    payments = 20 * (np.array(native_seeds(0, 4)) % 100)  # the sweep's episodes have 20 steps
    for row in evaluations:
        assert float(row["return_mean"]) == payments.mean() and row["simulator"] == "Counter 1.0"
        assert (float(row["return_min"]), float(row["return_max"])) == (
            payments.min(),
            payments.max(),
        )
    assert len(rows(folder)) == 4 + 2
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    over_runs = next(line for line in lines if line.startswith("pendulum low rank 2 "))
    assert over_runs.endswith(f" {payments.mean():.1f} (0.0)")  # the same seeds: the same returns
    assert next(line for line in lines if line.startswith("car low rank 2 ")).endswith(" -")
    assert "native physics: Counter 1.0" in lines


def test_pass_at_k_beside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampled = find_policy(folder, "pendulum", "low rank", 1).sample_returns(8, 6, 2, 1.5)
    success = float(np.median(sampled[0]))  # half of the answers to one start, all or none to most
    options: dict[str, Any] = {"answers": 6, "temperature": 1.5, "success": success}
    evaluate.evaluate_policies(
        folder, env="pendulum", episodes=8, seed=2, pass_at=(1, 4), **options
    )
    row = next(r for r in rows(folder) if (r["label"], r["seed"]) == ("low rank", "1"))
    for k in (1, 4):
        assert float(row[f"pass_at_{k}"]) == pytest.approx(pass_at(sampled >= success, k))
    assert {name: float(row[name]) for name in options} == options
    assert float(row["pass_at_1"]) < float(row["pass_at_4"])
    evaluate.evaluate_policies(folder, env="pendulum", episodes=8, seed=2)
    names = ("return_mean", "return_max")
    plain = next(r for r in rows(folder) if r["run_id"] == row["run_id"])
    assert [plain[name] for name in names] == [row[name] for name in names]
    assert "pass_at_1" not in plain and "answers" not in plain
    line = next(x for x in capsys.readouterr().out.splitlines() if "pass@4" in x)
    assert "pass@1" in line


def test_native_seeds_are_a_function_of_the_seed() -> None:
    assert native_seeds(3, 9)[:4] == native_seeds(3, 4)
    assert len({*native_seeds(3, 9), *native_seeds(4, 9)}) == 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "pendulun"}, "no final policy of environment 'pendulun'; did you mean 'pendulum'"),
        ({"env": "car", "label": "low-rank"}, "of label 'low-rank'; did you mean 'low rank'"),
        ({"pass_at": (0,)}, "--pass-at: must be at least 1"),
        ({"pass_at": (2, 17)}, "--answers: must be at least 17; is 16"),
        ({"pass_at": (2,), "temperature": 0.0}, "--temperature: must be at least 0.01"),
        ({"stage": "finale"}, "unknown stage 'finale'; did you mean 'final'"),
        ({"episodes": 0}, "--episodes: must be at least 1"),
        ({"seed": -1}, "--seed: must be at least 0"),
        ({"env": "car", "native": True}, "native physics for MountainCarContinuous-v0; .*Pendulum"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: Path, counter: None, arguments: dict[str, Any], message: str
) -> None:
    (folder / "evaluations.csv").unlink(missing_ok=True)
    with pytest.raises(UserError, match=message) as error:
        evaluate.evaluate_policies(folder, **arguments)
    assert "\n" not in str(error.value)
    assert not (folder / "evaluations.csv").exists()


def test_folders_without_policies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        evaluate.evaluate_policies(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no final policies here"):
        evaluate.evaluate_policies(tmp_path)
    manifest = tmp_path / "policies" / "a" / "final.json"
    manifest.parent.mkdir(parents=True)
    text_files.write_json(manifest, {"env": "a", "label": "b", "seed": 0})
    with pytest.raises(UserError, match="not a readable policy manifest.*agent"):
        evaluate.evaluate_policies(tmp_path)
