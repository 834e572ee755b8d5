"""`benchmarks.gpu_check` on a CPU: each of its steps, and steps that fail or are too slow."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import gpu_check
from benchmarks.gpu_check import Step

ORIGIN = {"device": "gpu (toy)", "processor": "toy", "revision": "abc", "versions": {"jax": "1"}}
STEPS = ["doctor", "tests", "speed", "ant", "products", "cartpole"]


def program(name: str, text: str, weight: float = 1.0, folder: Path | None = None) -> Step:
    return Step(name, ("-c", text), weight, gpu_check.read_last_line, folder)


def run(steps: list[Step], out: Path, seconds: float = 300.0) -> int:
    names = [step.name for step in steps]
    return gpu_check.run_steps(steps, names, out, ORIGIN, gpu_check.time.monotonic() + seconds)


def statuses(out: Path) -> Mapping[str, str]:
    rows = json.loads((out / "steps.json").read_text())
    return {row["step"]: row["status"] for row in rows}


def test_every_step_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    options = ["--scale", "small", "--minutes", "60", "--out", str(tmp_path)]
    # The doctor times a training for seconds; its own tests try it.
    assert gpu_check.main([*options, "--steps", *STEPS[1:]]) == 0
    assert statuses(tmp_path) == dict.fromkeys(STEPS[1:], "passed")
    figures = {row["step"]: row["figure"] for row in json.loads(_read(tmp_path, "steps.json"))}
    assert re.fullmatch(r"2 passed, \d+ deselected", figures["tests"])
    shares = [
        f"{name} \\d+ to \\d+ %" for name in ("eggroll", "full_rank_es", "inference bfloat16")
    ]
    assert re.fullmatch(f"of inference: {'; '.join(shares)}", figures["speed"])
    assert re.fullmatch(r"bare: [\d,]+ steps/s; eggroll: [\d,]+ steps/s", figures["ant"])
    assert re.fullmatch(r"16, 1: .+, \d+ %", figures["products"])
    assert re.match(r"2 of 2 runs finished, [\d,]+ steps, [\d,]+ a second", figures["cartpole"])
    for path in ("speed/index.md", "ant/speed.csv", "cartpole/curves.parquet", "cartpole/runs.csv"):
        assert (tmp_path / path).exists(), path
    assert not (tmp_path / "cartpole" / "cells").exists()
    index = _read(tmp_path, "index.md")
    assert "[speed](speed/index.md)" in index and "sweeps/paper/cartpole.yaml" in index
    assert all(f"logs/{name}.txt" in index for name in STEPS[1:])


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text()


def test_steps_after_one_that_fails_run_and_the_exit_code_tells(tmp_path: Path) -> None:
    steps = [
        program("first", "print('12 apples')"),
        program("broken", "raise SystemExit('no | pears')"),
        program("last", "print('3 plums')"),
    ]
    assert run(steps, tmp_path) == 1
    assert statuses(tmp_path) == {"first": "passed", "broken": "failed", "last": "passed"}
    index = _read(tmp_path, "index.md")
    assert "| passed |" in index and "12 apples" in index and "exit code 1; no / pears" in index
    assert run([*steps[:1], program("broken", "print('pears')"), steps[2]], tmp_path) == 0


def test_outcomes_of_other_steps_are_kept(tmp_path: Path) -> None:
    steps = [program("first", "print(1)"), program("second", "print(2)")]
    assert gpu_check.run_steps(steps, ["second"], tmp_path, ORIGIN, 1e9) == 0
    assert gpu_check.run_steps(steps, ["first"], tmp_path, ORIGIN, 1e9) == 0
    assert list(statuses(tmp_path)) == ["first", "second"]
    (tmp_path / "steps.json").write_text("{")
    assert gpu_check.run_steps(steps, ["second"], tmp_path, ORIGIN, 1e9) == 0
    assert list(statuses(tmp_path)) == ["second"]


def test_time_that_is_left_passes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    clock = iter([0.0, 10.0, 100.0])
    monkeypatch.setattr(gpu_check.time, "monotonic", lambda: next(clock))

    def record(step: Step, seconds: float, log: Path) -> gpu_check.Outcome:
        limits.append(seconds)
        return gpu_check.Outcome(step.name, "passed", 1.0, "", "")

    monkeypatch.setattr(gpu_check, "run_step", record)
    steps = [program("a", "", 1), program("b", "", 2), program("c", "", 1)]
    assert gpu_check.run_steps(steps, ["a", "b", "c"], tmp_path, ORIGIN, 400.0) == 0
    assert limits == [100.0, 260.0, 300.0]


def test_a_slow_step_is_interrupted_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.py"
    report.write_text("import sys; print('report of', *sys.argv[1:])")
    monkeypatch.setattr(gpu_check, "PROGRAM", str(report))
    wait = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    log = tmp_path / "log.txt"
    outcome = gpu_check.run_step(program("slow", wait, folder=tmp_path), 8.0, log)
    assert outcome.status == "partial"
    assert outcome.figure == f"its time was over; report of report {tmp_path}"
    assert log.read_text().startswith("begun") and "KeyboardInterrupt" in log.read_text()
    assert gpu_check.run_step(program("slow", wait), 4.0, log).status == "failed"
    report.write_text("raise SystemExit(2)")
    assert gpu_check.run_step(program("slow", wait, folder=tmp_path), 4.0, log).status == "failed"


def test_a_step_that_ignores_the_interrupt_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "GRACE", 0.5)
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)"
    assert gpu_check.run_step(program("deaf", deaf), 6.0, tmp_path / "log").status == "failed"


def test_without_a_gpu_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gpu_check, "ORIGIN", "import json; print(json.dumps({'device': 'cpu (toy)'}))"
    )
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(SystemExit, match="error: jax finds no GPU, but cpu .toy.; .*doctor"):
        gpu_check.main([])
    monkeypatch.setattr(gpu_check, "ORIGIN", "raise ValueError('no driver')")
    with pytest.raises(SystemExit, match="error: jax does not start: ValueError: no driver"):
        gpu_check.main([])


def test_a_part_of_the_tests_is_chosen_that_exists() -> None:
    assert all((gpu_check.ROOT / name).is_file() for name in gpu_check.DEVICE_TESTS)


def test_figures_are_read_from_what_steps_print() -> None:
    counts = gpu_check.read_test_counts(
        "..F\n1 failed, 63 passed, 2 skipped in 91.23s (0:01:31)\n", Path()
    )
    assert counts == "1 failed, 63 passed, 2 skipped"
    table = "| width, rank | a | b |\n|---|---:|---:|\n| 64, 1 | 70 | 81 |\n| 64, 4 | 60 | 50 |\n"
    assert gpu_check.read_products(table, Path()) == "64, 1: b, 81 %; 64, 4: a, 60 %"
