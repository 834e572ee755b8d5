"""One small training for all tests of a process."""

from pathlib import Path
from typing import Any

import pytest

import rl_es

ENV = {"name": "CartPole-v1", "episode_length": 30}
SMALL: dict[str, Any] = {  # with ENV and eggroll: what `tests.sweep.small.ONE` says
    "name": "one",
    "seeds": 2,
    "generations": 6,
    "population": 16,
    "policy": {"widths": [8]},
    "evaluation": {"points": 3, "episodes": 4},
    "progress": False,
}


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the training."""
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="session")
def trained(out: Path) -> rl_es.Results:
    """Two seeds of eggroll on a short CartPole."""
    return rl_es.train(ENV, "eggroll", out=out, **SMALL)
