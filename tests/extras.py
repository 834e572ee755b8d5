"""Extras that a test needs beyond `dev`.

A test that needs one carries the mark `extra`, with the extra's name. Where the extra is missing,
the test is skipped; under RL_ES_EXTRAS=1 it fails. `make test-extras` selects the marked tests.
What `dev` installs, with the extras inside it, every test may use.
"""

import importlib.util
import os

import pytest

from rl_es.envs import _mujoco
from rl_es.errors import UserError

# The suites of environments that are extras, and the module that each extra installs.
SUITES = {
    "craftax": "craftax",
    "jaxmarl": "jaxmarl",
    "jumanji": "jumanji",
    "kinetix": "kinetix",
    "navix": "navix",
    "playground": "mujoco_playground",
}
REJAX = ("dqn", "ppo", "pqn", "sac", "td3")  # agents that are an extra's
MODULES = {
    **SUITES,
    "evosax": "evosax",
    "hpo": "optuna",
    "notebooks": "nbclient",
    "rejax": "rejax",
    "ray": "ray",
    "reasoning": "reasoning_gym",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}


def require(extra: str) -> None:
    """Skips the calling test where an extra is missing; under RL_ES_EXTRAS=1 it fails."""
    if importlib.util.find_spec(MODULES[extra]) is None:
        message = f"no {MODULES[extra]}: pip install -e '.[{extra}]'"
        pytest.fail(message) if os.environ.get("RL_ES_EXTRAS") == "1" else pytest.skip(message)


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Returns the marks of a test of an agent or an environment, by its name in sweep files."""
    extra = "rejax" if name in REJAX else name.partition("/")[0]
    is_needed = extra in {*SUITES, "evosax", "rejax"}  # reasoning/ works without its
    return [pytest.mark.extra(extra)] if is_needed else []


def require_rendering() -> None:
    """Skips the calling test where there is nothing to render robots with; under CI it fails."""
    try:
        _mujoco.backend()
    except UserError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
