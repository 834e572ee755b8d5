"""Toy agents and environments, so that these tests know of no real one."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from rl_es import registry
from rl_es.sweep.loading import checked
from rl_es.sweep.overriding import override
from rl_es.sweep.reading import parse
from rl_es.sweep.schema import Sweep

BASE = """
name: toy
seeds: 2
defaults: {budget: {env_steps: 1e4}}
environments: [Toy-v0]
agents: [plain]
"""


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries hold the toys alone."""
    monkeypatch.setattr(registry.agents, "packages", ["toy_agents"])
    monkeypatch.setattr(registry.suites, "packages", ["toy_suites"])


@pytest.fixture
def sweep() -> Callable[..., Sweep]:
    """Makes a sweep from YAML text and overrides."""

    def make(text: str = BASE, *assignments: str) -> Sweep:
        document = parse(text, "toy.yaml")
        override(document, assignments)
        return checked(document)

    return make


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one generation, and files written at every evaluation."""
    monkeypatch.setattr("rl_es.sweep.batch.CALL_SECONDS", 0.0)
    monkeypatch.setattr("rl_es.sweep.lane.WRITE_SECONDS", -1.0)
