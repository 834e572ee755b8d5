"""Suites whose libraries are not installed, and the extras that tests may need."""

import functools
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rl_es import registry
from rl_es.errors import UserError
from tests import extras

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("suite", extras.SUITES)
def test_every_name_is_refused_at_once(suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = registry.suites.load(suite)
    refusing = [module.check, module.make]
    if hasattr(module, "drawing"):
        refusing.append(functools.partial(module.drawing, width=8, height=8))
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    for name in module.NAMES:
        for refuses in refusing:
            command = re.escape(registry.install_command(suite))
            message = rf"^{name} needs {suite}'s library: {command}$"
            with pytest.raises(UserError, match=message):
                refuses(name, module.Options())


def test_tests_know_every_extra_that_dev_does_not_install() -> None:
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())
    groups = project["project"]["optional-dependencies"]

    def members(group: str) -> set[str]:
        text = next(part for part in groups[group] if part.startswith("rl_es["))
        return set(re.findall(r"\w+", text.removeprefix("rl_es")))

    assert set(extras.MODULES) == members("all") - members("dev")


@pytest.mark.parametrize(
    "module",
    [
        "_mujoco_rendering",
        pytest.param("_playground_adapter", marks=pytest.mark.extra("playground")),
    ],
)
def test_libraries_do_not_print_what_they_miss(module: str) -> None:
    """Without warp, MJX prints two lines at its import; messages to standard error are kept."""
    program = (
        "import sys\n"
        "sys.modules['warp'] = None\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mujoco.mjx.warp':\n"
        "            print('a true error', file=sys.stderr)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"import rl_es.envs.{module}\n"
        "assert 'mujoco.mjx.warp' in sys.modules\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (ended.stdout, ended.stderr) == ("", "a true error\n")
