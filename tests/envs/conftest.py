"""Environments of the suite that a module tests."""

import functools
from collections.abc import Callable

import pytest

from rl_es.interfaces import Environment


@pytest.fixture(scope="module")
def make(request: pytest.FixtureRequest) -> Callable[[str], Environment]:
    """Makes an environment of the module's `suite` by name, once."""
    suite = request.module.suite
    return functools.cache(lambda name: suite.make(name, suite.Options()))
