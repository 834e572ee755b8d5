"""What is told of versions that differ, and what is not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rl_es.analysis import sweep_report
from rl_es.analysis.comparison.summary import compare_folders
from rl_es.results import manifest
from tests.analysis import kinds
from tests.analysis.conftest import write_run


def texts(*several: dict[str, str]) -> list[str]:
    return [json.dumps(one) for one in several]


def test_what_differs_between_runs_is_told_in_one_line() -> None:
    made = texts({"jax": "0.9.0", "numpy": "2.4"}, {"jax": "0.9.1", "numpy": "2.4"})
    told = manifest.describe_mixed([*made, None], ["abc", "def", None])
    assert told == "Runs of different versions: jax 0.9.0 and 0.9.1, revision abc and def"
    assert manifest.describe_mixed(made[:1], ["abc"]) == ""


def test_an_extra_that_came_later_is_no_difference() -> None:
    made = texts({"jax": "0.9.0"}, {"jax": "0.9.0", "navix": "0.7.4"})
    assert manifest.describe_mixed(made, [None, None]) == ""


NOW = {"versions": {"jax": "0.9.1", "numpy": "2.4"}, "git_revision": "def"}


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (NOW, ""),
        ({}, ""),
        ({"versions": None, "git_revision": None}, ""),
        ({"versions": {"navix": "0.7"}, "git_revision": "def"}, ""),
        ({"versions": {"jax": "0.9.0", "numpy": "2.4"}}, "jax 0.9.0 then, 0.9.1 now"),
        (
            {"versions": {"jax": "0.9.0"}, "git_revision": "abc"},
            "jax 0.9.0 then, 0.9.1 now, revision abc then, def now",
        ),
    ],
)
def test_what_changed_since_a_start(before: dict, told: str) -> None:
    found = manifest.changed_versions(before, NOW)
    start = "versions differ from those of the last start here: "
    assert found == (start + told if told else "")


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder whose runs have these versions of jax, in turn."""

    def make(name: str, *of_jax: str) -> Path:
        for seed in range(4):
            told = json.dumps({"jax": of_jax[seed % len(of_jax)]})
            write_run(tmp_path / name, "cartpole", "pes", seed, versions=told, sweep=name)
        return tmp_path / name

    return make


def test_a_report_of_mixed_runs_says_so(folder: Callable[..., Path]) -> None:
    said: list[str] = []
    with kinds.only("learning_curves"):
        sweep_report.write(folder("mixed", "0.9.0", "0.9.1"), said.append)
        assert said == ["Runs of different versions: jax 0.9.0 and 0.9.1"]
        for name in ("index.md", "report.html"):
            assert said[0] in (folder("mixed", "0.9.0", "0.9.1") / name).read_text()
        sweep_report.write(folder("same", "0.9.0"), said.append)
    assert (
        len(said) == 1
        and "different versions" not in (folder("same", "0.9.0") / "index.md").read_text()
    )


def test_a_comparison_warns_of_versions(folder: Callable[..., Path]) -> None:
    base, same = folder("base", "0.9.0"), folder("same", "0.9.0")
    other, mixed = folder("other", "0.9.1"), folder("mixed", "0.9.0", "0.9.1")

    def warnings(*folders: Path) -> list[str]:
        return compare_folders(folders, replicates=200).warnings

    assert not [said for said in warnings(base, same) if "version" in said]
    assert "versions differ: jax: base: 0.9.0, other: 0.9.1" in warnings(base, other)
    assert "mixed: Runs of different versions: jax 0.9.0 and 0.9.1" in warnings(base, mixed)
