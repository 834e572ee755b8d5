"""Environments of the suites whose libraries are extras."""

import functools
from collections.abc import Callable

import pytest

from rl_es.interfaces import Environment
from tests.envs import extras


@pytest.fixture(scope="module")
def make(request: pytest.FixtureRequest) -> Callable[[str], Environment]:
    """Makes an environment of the module's `suite` by name, once; skips without its library."""
    suite = request.module.suite
    extras.require_for(suite.NAMES[0])
    return functools.cache(lambda name: suite.make(name, suite.Options()))
