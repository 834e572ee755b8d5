"""A results folder with the trained policies of two small environments, made once."""

import shutil
from pathlib import Path

import pytest

from rl_es.sweep import execution
from rl_es.sweep.loading import checked
from rl_es.sweep.placing import Resources
from rl_es.sweep.reading import parse
from rl_es.training import platform
from tests.training.test_policies import Silent

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
    sweep = checked(parse(TEXT, "filmed.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "prepare", lambda devices: None)
        assert execution.run(sweep, folder, Silent(), Resources(lanes=1)) == 0
    return folder


@pytest.fixture(autouse=True)
def unprepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What prepares a process for a command would change jax's settings for all other tests."""
    monkeypatch.setattr(platform, "prepare", lambda devices=None: None)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    for name in ("cells", "policies"):
        shutil.copytree(trained / name, tmp_path / "results" / name)
    return tmp_path / "results"
