"""The guided search: what it proposes, and that it goes on where it stopped."""

import importlib
import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rl_es import registry
from rl_es.errors import UserError
from rl_es.sweep import execution, groups
from rl_es.sweep.cells import Cell
from rl_es.sweep.progress import ProgressLines
from rl_es.sweep.queue import GroupQueue
from rl_es.sweep.schema import AgentEntry, Sweep
from rl_es.sweep.store import Store
from rl_es.sweep.variants import expand_variants
from rl_es.tuning import search, trials
from rl_es.tuning.studies import Study, import_optuna, make_studies, next_trial
from tests.running import sweep_of
from tests.tuning.runs import SEARCH, write

pytestmark = pytest.mark.extra("hpo")

SPACE = """
      lr: {log_uniform: [1e-4, 1]}
      sigma: {uniform: [0, 1]}
      shaping: {choice: [z_score, raw]}
"""
TINY = """
name: tiny
seeds: [1000]
defaults:
  budget: {generations: 2}
  evaluation: {points: 1, episodes: 2}
  policy: {widths: [4]}
  agent: {population: 8}
environments: [{name: CartPole-v1, episode_length: 10, agents: {eggroll: {episodes: 2}}}]
agents:
  - {name: eggroll, random: {samples: 3, lr: {log_uniform: [0.001, 0.5]}}}
"""


def entry(seed: int = 0, samples: int = 20, more: str = "") -> AgentEntry:
    random = f"    random:\n      samples: {samples}\n      seed: {seed}{SPACE}"
    agents = f"agents:\n  - name: eggroll\n{more}{random}"
    return sweep_of(SEARCH.split("agents:\n")[0] + agents).agents[0]


def objective(settings: Any) -> float | None:
    """Best, 0, at lr 0.01, sigma 0.3 and raw; none where lr is above 0.3: diverged."""
    lr, sigma = math.log10(settings["lr"]), settings["sigma"]
    lost = settings["lr"] > 0.3
    return None if lost else -((lr + 2) ** 2) - (sigma - 0.3) ** 2 - (settings["shaping"] != "raw")


def run_study(
    study: Study, value: Callable[[Any], float | None] = objective
) -> list[dict[str, Any]]:
    proposals, last_value = [], None
    while (proposal := next_trial(study, last_value)) is not None:
        proposals.append(dict(proposal.settings))
        last_value = value(proposal.settings)
    return proposals


def test_guided_trials_are_better_than_the_random_ones_before_them():
    def mean(proposals: list[dict[str, Any]]) -> float:
        values = [objective(settings) for settings in proposals]
        return sum(-9.0 if value is None else value for value in values) / len(values)

    gains = []
    for seed in range(5):
        (study,) = make_studies("CartPole-v1", entry(seed, samples=40), startup=10)
        proposals = run_study(study)
        assert len(proposals) == 40
        gains.append(mean(proposals[20:]) - mean(proposals[:10]))
    assert min(gains) > 0, gains


def test_the_first_trials_are_those_of_random_search():
    (study,) = make_studies("CartPole-v1", entry(), startup=6)
    samples = [variant.settings for variant in expand_variants(entry())]
    proposals = run_study(study)
    assert proposals[:6] == samples[:6] and proposals[6:] != samples[6:]


def test_a_study_is_reproducible_and_one_of_its_own_in_each_environment():
    def proposals(env: str) -> list[dict[str, Any]]:
        (study,) = make_studies(env, entry(), startup=5)
        return run_study(study)

    assert proposals("CartPole-v1") == proposals("CartPole-v1") != proposals("Pendulum-v1")


def test_each_grid_point_has_a_study_and_labels_differ():
    made_studies = list(
        make_studies("CartPole-v1", entry(samples=3, more="    grid: {rank: [1, 2]}\n"), startup=2)
    )
    labels = [
        proposal.label
        for study in made_studies
        for _ in range(3)
        if (proposal := next_trial(study, None))
    ]
    assert len(made_studies) == 2 and len(set(labels)) == 6 == len(labels)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=re.escape(registry.install_command("hpo"))):
        import_optuna()


def quick(
    monkeypatch: pytest.MonkeyPatch, until: int = 10**6
) -> tuple[list[str], Callable[[Sweep, Path], int]]:
    """The run_ids of what is run, and a search whose runs take no time; it stops after `until`."""
    ran: list[str] = []

    def run_groups(queue: GroupQueue, runner: Any) -> int:
        while (taken := queue.take()) is not None:
            cells = (cell for cell in taken.work.group.cells if cell.run_id in taken.run_ids)
            try:
                for cell in cells:
                    run(runner.store, cell)
            finally:
                taken.release()
        return 0

    def run(store: Store, cell: Cell) -> None:
        if len(ran) == until:
            raise KeyboardInterrupt
        ran.append(cell.run_id)
        lost = cell.settings["lr"] > 0.3 and cell.seed == 1000
        write(store, cell, [-abs(cell.settings["lr"] - 0.1)], "failed" if lost else "finished")

    monkeypatch.setattr(
        groups, "make_placed_group", lambda group, resources: SimpleNamespace(group=group)
    )
    monkeypatch.setattr(execution, "run_groups", run_groups)
    return ran, lambda sweep, out: search.run_search(
        sweep, out, ProgressLines(io.StringIO()), startup=4
    )


def test_an_interrupted_search_goes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sweep = sweep_of(SEARCH.replace("samples: 4", "samples: 8"))
    ran, run = quick(monkeypatch)
    assert run(sweep, tmp_path / "whole") == 0
    once = sorted(ran)
    assert len(once) == 2 * (8 + 4) * 2
    first, run = quick(monkeypatch, until=19)
    with pytest.raises(KeyboardInterrupt):
        run(sweep, tmp_path / "parts")
    assert any(
        t.missing
        for ts in trials.read_tuning_results(tmp_path / "parts").trials.values()
        for t in ts
    )
    second, run = quick(monkeypatch)
    assert run(sweep, tmp_path / "parts") == 0
    failed = {cell for cell in first if first.count(cell) + second.count(cell) > 1}
    assert sorted({*first, *second}) == sorted({*once})
    assert trials.read_trials(tmp_path / "parts") == trials.read_trials(tmp_path / "whole")
    tuned = trials.read_tuning_results(tmp_path / "parts")
    assert tuned.search == "tpe" and not any(
        trial.missing for pair_trials in tuned.trials.values() for trial in pair_trials
    )
    lost = sum(trial.lost_runs for pair_trials in tuned.trials.values() for trial in pair_trials)
    assert lost and len(failed) <= lost  # those alone are tried again


def test_a_search_runs_its_trials(tmp_path: Path):
    assert search.run_search(sweep_of(TINY), tmp_path, ProgressLines(io.StringIO()), startup=2) == 0
    tuned = trials.read_tuning_results(tmp_path)
    pair_trials = tuned.trials["CartPole-v1", "eggroll"]
    assert [len(trial.final) for trial in pair_trials] == [1, 1, 1]
    assert [trial.run["hyper.lr"] for trial in pair_trials] == [
        t.settings["lr"] for t in pair_trials
    ]
    assert {trial.run["hyper.episodes"] for trial in pair_trials} == {2.0}
    assert {trial.run["compile_seconds"] for trial in pair_trials} == {
        pair_trials[0].run["compile_seconds"]
    }
