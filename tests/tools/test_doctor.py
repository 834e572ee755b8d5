"""What the checks say of machines that are well, and of those that are not."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from packaging.requirements import Requirement
from rich.console import Console

from rl_es import cli, registry
from rl_es.terminal import FAIL, OK, WARN, CheckResult, conclude, run_check, run_checks
from rl_es.tools import doctor


class Device(NamedTuple):
    platform: str
    device_kind: str = "kind"


def result_of(check: Callable[..., str | Iterable[CheckResult]], *args: Any, **options: Any) -> Any:
    (result,) = run_check("it", partial(check, *args, **options))
    return result


def test_python() -> None:
    assert result_of(doctor.check_python).state == OK
    old = result_of(doctor.check_python, "3.9.1")
    assert old.state == FAIL and "3.9.1, needs >=3.11" in old.detail and old.remedy


ASKED = [
    Requirement(text)
    for text in (
        "jax>=0.9,<0.11",
        "numpy>=2",
        'optuna>=4; extra == "hpo"',
        'jinja2>=3; extra == "report"',
    )
]


@pytest.mark.parametrize(
    ("versions", "rows"),
    [
        ({"jax": "0.9.0", "numpy": "2.1"}, [("packages", OK, "2 that it needs", "")]),
        (
            {"jax": "0.8.0", "numpy": "2.1"},
            [("jax", FAIL, "0.8.0, needs <0.11,>=0.9", "pip install 'jax<0.11,>=0.9'")],
        ),
        (
            {"jax": "0.9.0"},
            [("numpy", FAIL, "is not installed", "pip install 'numpy>=2'")],
        ),
    ],
)
def test_packages(versions: dict[str, str], rows: list[tuple[str, ...]]) -> None:
    results = [*doctor.check_core(ASKED, versions.get)]
    assert len(results) == len(rows)
    for result, (subject, state, detail, remedy) in zip(results, rows, strict=True):
        assert (result.subject, result.state, result.remedy) == (subject, state, remedy)
        assert detail in result.detail


def test_extras() -> None:
    versions = {"optuna": "3.0"}
    results = {result.subject: result for result in doctor.check_extras(ASKED, versions.get)}
    assert (
        results["extra hpo"].state == WARN and "3.0; needs optuna>=4" in results["extra hpo"].detail
    )
    assert results["extra report"] == CheckResult(
        "extra report", OK, "not installed: jinja2", registry.install_command("report")
    )
    versions |= {"optuna": "4.1"}
    results = {result.subject: result for result in doctor.check_extras(ASKED, versions.get)}
    assert results["extra hpo"] == CheckResult("extra hpo", OK, "optuna 4.1")


def test_every_extra_of_the_suite_is_named() -> None:
    results = {result.subject for result in doctor.check_extras(doctor.required_packages())}
    assert {"extra craftax", "extra report", "extra dev"} <= results and "extra all" not in results


def test_tried_versions(tmp_path: Path) -> None:
    path = tmp_path / "constraints.txt"
    assert not [*doctor.check_tried_versions(path)]
    path.write_text("jax==0.9.0\nnumpy==2.4.6\nabsent==1\n")
    versions = {"jax": "0.9.0", "numpy": "2.4.6"}
    assert result_of(doctor.check_tried_versions, path, versions.get).state == OK
    other = result_of(doctor.check_tried_versions, path, {**versions, "jax": "0.9.1"}.get)
    assert other.state == WARN and other.detail == "jax 0.9.1 (tried: 0.9.0)"
    assert other.remedy == f"pip install --upgrade --constraint {path} jax"


def test_devices(tmp_path: Path) -> None:
    driver = tmp_path / "version"
    cpus = [Device("cpu", "cpu"), Device("cpu", "cpu")]
    assert result_of(doctor.check_devices, cpus, driver) == CheckResult("it", OK, "2 x cpu (cpu)")
    driver.write_text("NVRM version")
    result = result_of(doctor.check_devices, cpus, driver)
    assert result.state == WARN and "does not see the NVIDIA GPU" in result.detail
    assert (
        result_of(doctor.check_devices, [Device("gpu", "H100")], driver).detail == "1 x gpu (H100)"
    )
    assert result_of(doctor.check_devices).state in (OK, WARN)


def test_memory() -> None:
    assert result_of(doctor.check_cores_and_memory, 8 * doctor.GIB).state == OK
    little = result_of(doctor.check_cores_and_memory, doctor.GIB // 4)
    assert little.state == WARN and "0.2 GiB" in little.detail and little.remedy
    assert "cores" in result_of(doctor.check_cores_and_memory).detail


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    well = result_of(doctor.check_cache, tmp_path)
    assert well.state == OK and "1 files" in well.detail
    inside = result_of(doctor.check_cache, tmp_path / "a" / "b")
    assert inside.state == WARN and "RL_ES_CACHE" in inside.remedy
    monkeypatch.setenv("RL_ES_CACHE", "")
    assert result_of(doctor.check_cache).detail.startswith("off: RL_ES_CACHE is empty")
    monkeypatch.setenv("RL_ES_CACHE", str(tmp_path / "there"))
    assert str(tmp_path / "there") in result_of(doctor.check_cache).detail


def test_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1 << 16
    well = result_of(doctor.check_results, tmp_path / "not" / "yet", size, 1 << 40, 0.0)
    assert well.state == OK and str(tmp_path) in well.detail and "1,024.0 GiB free" in well.detail
    full = result_of(doctor.check_results, tmp_path, size, free=0)
    assert full.state == WARN and "free some room" in full.remedy
    slow = result_of(doctor.check_results, tmp_path, size, 1 << 40, slow=1e30)
    assert slow.state == WARN and "--out" in slow.remedy

    def refuse(folder: Path, size: int) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor, "_write", refuse)
    assert result_of(doctor.check_results, tmp_path).state == FAIL
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("params", "state", "text"),
    [
        ([[1.0, 2.0], [1.0, 2.0]], OK, "1,234 environment steps a second"),
        ([[1.0, np.nan], [1.0, np.nan]], FAIL, "not finite"),
        ([[1.0, 2.0], [1.0, 2.5]], FAIL, "the same key gave other parameters"),
    ],
)
def test_training(params: Any, state: str, text: str) -> None:
    first, second = ([np.array(run)] for run in params)
    result = result_of(doctor.check_training, lambda: (first, second, 1234.0))
    assert result.state == state and text in result.detail


def test_it_trains_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SECONDS", 0.1)
    assert "environment steps a second" in doctor.check_training()
    first, second, rate = doctor.train_once()
    assert rate > 0 and len(first) == len(second) == 4
    assert any(np.abs(leaf).max() > 0 for leaf in first)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (
            {"float32": [2.0, 9.0, 4.0], "bfloat16": [1.0, 3.0, 2.0]},
            "0.50 of float32's time in bfloat16; set policy.precision: bfloat16 where",
        ),
        ({"float32": [1.0, 2.0], "bfloat16": [0.95, 2.1]}, "bfloat16; nothing to gain here"),
        (
            {"float32": [1.0], "bfloat16": [0.5], "tf32": [0.4]},
            "in bfloat16 and 0.40 of float32's time in tf32; set policy.precision: tf32",
        ),
    ],
)
def test_what_a_precision_gains(seconds: dict[str, list[float]], text: str) -> None:
    assert text in doctor.check_precisions(lambda: seconds)


def test_precisions_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TIMED_WIDTHS", (8, 8))
    monkeypatch.setattr(doctor, "TIMED_ROWS", 16)
    seconds = doctor.time_precisions()
    assert [*seconds] == ["float32", "bfloat16"]
    assert all(len(times) == doctor.TIMED_ROUNDS and min(times) > 0 for times in seconds.values())


def test_a_check_that_breaks_is_a_failure() -> None:
    def breaking() -> Iterator[CheckResult]:
        yield CheckResult("first", OK, "fine")
        raise RuntimeError("no such device\nand more")

    results = list(run_check("devices", breaking))
    assert [result.state for result in results] == [OK, FAIL]
    assert re.fullmatch(r"RuntimeError: no such device \(test_doctor\.py:\d+\)", results[1].detail)


WELL = CheckResult("a", OK, "fine", "pip install 'more'")
ODD = CheckResult("b", WARN, "odd", "look at it")
ILL = CheckResult("c", FAIL, "ill", "mend it")


def test_conclusion() -> None:
    assert conclude([WELL]) == "all well"
    assert conclude([WELL, ODD, ILL]) == "to do: c: mend it; b: look at it"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    ("results", "code", "last"),
    [
        ([WELL], 0, "all well"),
        ([ODD], 0, "to do: b: look at it"),
        ([ODD, ILL], 1, "to do: c: mend"),
    ],
)
def test_what_is_printed(
    terminal: bool,
    results: list[CheckResult],
    code: int,
    last: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(force_terminal=terminal, width=200, color_system=None)
    assert run_checks({"x": lambda: results}, console) == code
    lines = capsys.readouterr().out.splitlines()
    assert last in lines[-1]
    for result in results:
        line = next(line for line in lines if result.detail in line)
        assert result.subject in line and result.state in line and result.remedy in line


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All checks of this machine but the training, which has tests of its own."""
    monkeypatch.setattr(doctor, "train_once", None)
    monkeypatch.setattr(doctor, "check_training", lambda: "left out")
    assert cli.main(["doctor", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for subject in (
        "python",
        "packages",
        "devices",
        "cache",
        "results folder",
        "training: left out",
    ):
        assert subject in text
    assert text.splitlines()[-1].startswith(("all well", "to do: "))
    assert not list(tmp_path.iterdir())
