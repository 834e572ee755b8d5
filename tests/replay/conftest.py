"""A results folder with the trained policies of two small environments, made once."""

import shutil
from pathlib import Path

import pytest

from rl_es.sweep import execution
from rl_es.training import compilation
from tests.running import ran, sweep_of

TEXT = """
name: filmed
seeds: 2
defaults:
  budget: {generations: 3}
  evaluation: {points: 3, episodes: 2}
  policy: {network: linear}
  agent: {population: 4}
environments:
  - {name: Pendulum-v1, label: a/pendulum, episode_length: 30}
  - {name: Catch-bsuite, label: catch}
agents: [{name: eggroll, label: low rank}]
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written into."""
    folder = tmp_path_factory.mktemp("filmed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "prepare_jax", lambda devices: None)
        return ran(folder, sweep_of(TEXT))


@pytest.fixture(autouse=True)
def unprepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What prepares a process for a command would change jax's settings for all other tests."""
    monkeypatch.setattr(compilation, "prepare_jax", lambda devices=None: None)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    for name in ("cells", "policies"):
        shutil.copytree(trained / name, tmp_path / "results" / name)
    return tmp_path / "results"
