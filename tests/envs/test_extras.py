"""Suites whose libraries are not installed."""

import functools
import importlib.util

import pytest

from rl_es import registry
from rl_es.errors import UserError
from tests.envs import extras


@pytest.mark.parametrize("suite", extras.LIBRARIES)
def test_every_name_is_refused_at_once(suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = registry.suites.load(suite)
    refusing = [module.check, module.make]
    if hasattr(module, "drawing"):
        refusing.append(functools.partial(module.drawing, width=8, height=8))
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    for name in module.NAMES:
        for refuses in refusing:
            said = rf"^{name} needs {suite}'s library: pip install 'rl_es\[{suite}\]'$"
            with pytest.raises(UserError, match=said):
                refuses(name, module.Options())
