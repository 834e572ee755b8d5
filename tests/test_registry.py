"""What the registry says of libraries that are not installed."""

import importlib.util
from pathlib import Path

import pytest

from rl_es import cli, registry
from tests.extras import REJAX


@pytest.fixture
def missing_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the libraries of all extras."""
    find_spec = importlib.util.find_spec
    hidden = {"craftax", "evosax", "jaxmarl", "jumanji", "kinetix", "navix", "mujoco_playground"}
    hidden |= {"rejax"}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in hidden else find_spec(name, *rest),
    )


def test_in_a_clone_the_command_keeps_the_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    monkeypatch.setattr(registry, "_CLONE", clone)
    assert registry.install_command("rejax") == "pip install 'rl_es[rejax]'"  # of a wheel
    for name in ("constraints.txt", "pyproject.toml"):
        (clone / name).touch()
    assert registry.install_command("rejax") == (
        f"pip install -c '{clone}/constraints.txt' -e '{clone}[rejax]'"
    )
    monkeypatch.chdir(clone)
    assert (
        registry.install_command("rejax", "hpo")
        == "pip install -c constraints.txt -e '.[rejax,hpo]'"
    )


def test_what_is_not_installed_is_marked(
    missing_libraries: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = {line.split()[0] for line in lines if "(not installed) " in line}
    suites = ["craftax", "jaxmarl", "jumanji", "kinetix", "navix", "playground"]
    family = {name for name in registry.agents.names() if name.startswith("evosax/")}
    assert family and marked == {*suites, *family, *REJAX}
    commands = [line.strip() for line in lines if "to install: " in line]
    assert commands == [
        f"to install: {registry.install_command(*extras)}"
        for extras in (["rejax", "evosax"], suites)
    ]


def test_a_missing_library_is_refused_but_where_that_is_allowed(missing_libraries: None) -> None:
    with pytest.raises(registry.MissingExtra, match="ppo needs rejax's library: pip install"):
        registry.agents.load("ppo").check()
    with registry.allow_missing_extras():
        registry.agents.load("ppo").check()
    assert registry.missing_extra(registry.agents.load("ppo")) == "rejax"
    assert registry.missing_extra(registry.agents.load("eggroll")) is None
    assert registry.missing_extra(registry.suites.load("brax")) is None
