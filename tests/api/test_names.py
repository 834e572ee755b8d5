"""What `import rl_es` gives: stable names, loaded on first use, and the packages that it finds."""

import ast
import importlib.metadata
import inspect
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import rl_es
from rl_es import registry
from rl_es.api import arguments
from rl_es.errors import UserError

ROOT = Path(__file__).parents[2]


def say(code: str, folder: Path, *path: Path) -> str:
    """What a Python of its own prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, rl_es\n"
        "names = dir(rl_es)\n"
        "heavy = {'jax', 'flax', 'pandas', 'pyarrow', 'matplotlib', 'pydantic'} & {*sys.modules}\n"
        "print(sorted(heavy), {*rl_es.__all__} <= {*names}, 'jax' in sys.modules)"
    )
    assert say(code, tmp_path, ROOT) == "[] True False"


def test_every_name_is_there_typed_and_documented() -> None:
    (block,) = (n for n in ast.parse(Path(rl_es.__file__).read_text()).body if type(n) is ast.If)
    modules = {
        a.name: f.module for f in block.body if isinstance(f, ast.ImportFrom) for a in f.names
    }
    assert modules == rl_es._MODULES and {*modules, "__version__"} == {*rl_es.__all__}
    for name in modules:
        value = getattr(rl_es, name)
        assert value.__name__ == name and inspect.getdoc(value)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="'rl_es' has no attribute 'trian'"):
        _ = rl_es.trian


def test_agents_and_environments_are_found_without_an_installation(tmp_path: Path) -> None:
    """A checkout on the path is enough: no metadata says where they are."""
    code = (
        "import sys\nfrom rl_es import registry\n"
        "from rl_es.api.arguments import import_packages\nimport_packages()\n"
        "print('eggroll' in registry.agents.names(), 'gymnax' in registry.suites.names())\n"
        "print('jax' in sys.modules)"
    )
    assert say(code, tmp_path, ROOT).split() == ["True", "True", "False"]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (["nonesuch_package"], "nonesuch_package: is installed .* cannot be imported"),
        (["rl_es.errors:nonesuch"], "rl_es.errors:nonesuch: .* cannot be imported"),
    ],
)
def test_packages_that_are_not_there(
    points: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [EntryPoint("x", value, arguments.GROUP) for value in points]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: entries)
    with pytest.raises(UserError, match=message):
        arguments.import_packages()


def test_a_checkout_without_its_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.agents, "packages", ["nonesuch_package"])
    with pytest.raises(UserError, match="no agent is known: .* install this package again"):
        registry.agents.names()
