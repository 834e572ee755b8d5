"""Toy agents and environments, for tests that need no real one; and what several files share."""

from pathlib import Path

import pytest

from rl_es import registry
from tests.running import ran, sweep_of
from tests.sweep.small import ONE


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries hold the toys alone, which have settings and cannot be run."""
    monkeypatch.setattr(registry.agents, "packages", ["tests.sweep.toy_agents"])
    monkeypatch.setattr(registry.suites, "packages", ["tests.sweep.toy_suites"])


@pytest.fixture
def drifts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real agents, on environments that are quickly imported."""
    monkeypatch.setattr(registry.suites, "packages", ["tests.sweep.drift_suites"])


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one generation, and files written at every evaluation."""
    monkeypatch.setattr("rl_es.sweep.runs.CALL_SECONDS", 0.0)
    monkeypatch.setattr("rl_es.sweep.runs.WRITE_SECONDS", -1.0)


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of `ONE`: one agent on one environment, two seeds. Not to be written into."""
    return ran(tmp_path_factory.mktemp("short"), sweep_of(ONE))
