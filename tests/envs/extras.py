"""Tests of suites whose libraries are extras: skipped without them, unless all are demanded."""

import importlib.util
import os

import pytest

from envs import _mujoco
from rl_es.errors import UserError

# Suites that are extras, and the module that each needs.
LIBRARIES = {
    "craftax": "craftax",
    "jumanji": "jumanji",
    "kinetix": "kinetix",
    "navix": "navix",
    "playground": "mujoco_playground",
}


def require(module: str, extra: str) -> None:
    """Skips the calling test where a library is missing; under RL_ES_EXTRAS=1 it fails."""
    if importlib.util.find_spec(module) is None:
        said = f"no {module}: pip install -e '.[{extra}]'"
        pytest.fail(said) if os.environ.get("RL_ES_EXTRAS") == "1" else pytest.skip(said)


def require_for(environment: str) -> None:
    """The same for the suite that an environment is of, if that is an extra."""
    suite = environment.partition("/")[0]
    if suite in LIBRARIES:
        require(LIBRARIES[suite], suite)


def require_rendering() -> None:
    """Skips the calling test where there is nothing to render robots with; under CI it fails."""
    try:
        _mujoco.backend()
    except UserError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
