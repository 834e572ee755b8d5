"""Whole benchmarks, small: what is written, what is not run again, what a failure leaves."""

import io
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pytest

from rl_es.errors import UserError
from rl_es.results import text_files, timings
from rl_es.speed import execution, sampling
from rl_es.speed.execution import SpeedProgress
from rl_es.speed.sampling import ContestantSampler
from rl_es.speed.schema import Benchmark
from tests.speed.benchmarks import benchmark_of


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' cache stays configured."""
    monkeypatch.setattr(execution, "prepare_jax", lambda devices: None)


def _run(benchmark: Benchmark, folder: Path) -> tuple[int, str]:
    stream = io.StringIO()
    progress = SpeedProgress(stream)
    try:
        code = execution.run_benchmark(benchmark, folder, progress)
    finally:
        progress.end()
    return code, stream.getvalue()


def test_samples(tmp_path: Path) -> None:
    benchmark = benchmark_of("parts=true", "rounds=3", "min_seconds=0.001")
    code, output = _run(benchmark, tmp_path)
    samples, programs, manifest = timings.load(tmp_path)
    assert code == 0 and "1 of 1 workloads done, 0 failures" in output
    counts = samples.groupby(["contestant", "part"], sort=False).size().to_dict()
    generation_counts = {(label, "generation"): 3 for label in ("bare", "inference", "eggroll")}
    assert counts == generation_counts | {("eggroll", part): 3 for part in timings.PARTS}
    generations = samples[samples["part"] == "generation"]
    assert (generations["env_steps"] == 4 * 8).all()
    assert sorted(generations[generations["round"] == 1]["place"]) == [0, 1, 2]
    assert (samples["seconds"] > 0).all() and (samples["repeats"] >= 1).all()
    assert list(programs["contestant"]) == ["bare", "inference", "eggroll"]
    assert (programs["status"] == "finished").all() and (programs["memory_bytes"] > 0).all()
    assert programs[["compile_cold_seconds", "compile_cached_seconds"]].isna().all(axis=None)
    assert manifest["benchmark"]["name"] == "toy" and len(manifest["starts"]) == 1


def test_persistent_agents_take_their_window(tmp_path: Path) -> None:
    pair = "[{name: pes, with: {window: 2}}, {name: truncated_es, with: {window: 2}}]"
    assert _run(benchmark_of(f"contestants={pair}", "parts=true"), tmp_path)[0] == 0
    samples, _, _ = timings.load(tmp_path)
    env_steps = samples[samples["part"] == "generation"].groupby("contestant")["env_steps"].max()
    assert env_steps.to_dict() == {"pes": 4 * 2, "truncated_es": 4 * 2 + 2 * 2}


def test_what_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(benchmark_of("contestants=[bare]"), tmp_path)
    (first,) = (tmp_path / "workloads").iterdir()
    before = first.read_bytes()
    larger = benchmark_of("contestants=[bare]", "workloads.populations=[4, 6]")
    populations: list[int] = []
    measure = execution.measure_workload

    def interrupted(workload: Any, *rest: Any) -> Any:
        populations.append(workload.population)
        if len(populations) == 1:
            raise KeyboardInterrupt
        return measure(workload, *rest)

    monkeypatch.setattr(execution, "measure_workload", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(larger, tmp_path)
    assert len(timings.load(tmp_path)[1]) == 1
    assert _run(larger, tmp_path)[0] == 0 and populations == [6, 6]
    assert first.read_bytes() == before and len(timings.load(tmp_path)[1]) == 2
    assert _run(larger, tmp_path)[1].startswith("0 of 2 workloads") and populations == [6, 6]


def test_a_failure_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = ContestantSampler.sample

    def failing(self: ContestantSampler) -> Any:
        if self.program["contestant"] == "late" and failing.calls > 2:
            raise MemoryError("out of memory allocating a lot")
        failing.calls += self.program["contestant"] == "late"
        return sample(self)

    failing.calls = 0
    monkeypatch.setattr(ContestantSampler, "sample", failing)
    runners = "[bare, {name: pes, with: {window: 9}}, {name: bare, label: late}, {name: bare, "
    runners += "label: small, up_to: 2}]"
    code, output = _run(benchmark_of(f"contestants={runners}", "rounds=5"), tmp_path)
    samples, programs, _ = timings.load(tmp_path)
    statuses = dict(zip(programs["contestant"], programs["status"], strict=True))
    assert statuses == {"bare": "finished", "pes": "failed", "late": "failed", "small": "skipped"}
    reasons = dict(zip(programs["contestant"], programs["reason"], strict=True))
    assert "window: 9 steps" in reasons["pes"] and "out of memory" in reasons["late"]
    assert reasons["small"] == "not run with a population above 2"
    assert code == 1 and "pes failed: window" in output and "2 failures" in output
    assert set(samples["contestant"]) == {"bare"} and len(samples) == 5
    assert _run(benchmark_of(f"contestants={runners}", "rounds=5"), tmp_path)[0] == 1


def test_an_accelerator_compiles_contestants_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(execution, "compile_threads", lambda: 3)
    threads: list[str] = []
    compile_contestant = execution._compile

    def compile_and_record(*inputs: Any) -> ContestantSampler:
        threads.append(threading.current_thread().name)
        return compile_contestant(*inputs)

    monkeypatch.setattr(execution, "_compile", compile_and_record)
    runners = "[bare, inference, {name: pes, with: {window: 9}}, {name: eggroll, grid: {rank: [1, "
    runners += "2]}}, full_rank_es]"
    code, _ = _run(benchmark_of(f"contestants={runners}"), tmp_path)
    samples, programs, _ = timings.load(tmp_path)
    assert code == 1 and threading.main_thread().name not in threads and len(threads) == 6
    labels = ["bare", "inference", "pes", "eggroll rank=1", "eggroll rank=2", "full_rank_es"]
    assert list(programs["contestant"]) == labels
    assert list(programs["status"]) == [*["finished"] * 2, "failed", *["finished"] * 3]
    assert samples.groupby("contestant").size().to_dict() == dict.fromkeys(
        [label for label in labels if label != "pes"], 2
    )


def test_calls_that_threads_have_begun_are_not_waited_for() -> None:
    release, calls = threading.Event(), []

    def wait(name: str) -> str:
        calls.append(name)
        release.wait(60)
        return name

    def fail() -> str:
        raise ValueError("none")

    results = execution.begin_calls({"first": fail, **{n: partial(wait, n) for n in "abcd"}}, 2)
    name, result = next(results)
    with pytest.raises(ValueError, match="none"):
        result()
    results.close()  # pyright: ignore
    release.set()
    assert name == "first" and len(calls) < 4


def test_a_contestant_that_no_device_can_hold_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full-rank noise of 4 x 4 + 4 x 2 weights and 6 biases with its scale, for two pairs."""
    noise_bytes = 2 * 4 * (4 * 4 + 4 * 2 + 6 + 1)
    monkeypatch.setattr(sampling, "device_capacity", lambda devices: 2 * noise_bytes - 1)
    lower = "[inference, full_rank_es, {name: eggroll, with: {rank: 1}}]"
    code, _ = _run(benchmark_of(f"contestants={lower}"), tmp_path)
    _, programs, _ = timings.load(tmp_path)
    assert code == 0 and list(programs["status"]) == ["finished", "skipped", "finished"]
    assert "in 2 copies, and a device has" in programs["reason"][1]
    monkeypatch.setattr(sampling, "device_capacity", lambda devices: 2 * noise_bytes)
    assert _run(benchmark_of(f"contestants={lower}"), tmp_path / "enough")[0] == 0
    assert set(timings.load(tmp_path / "enough")[1]["status"]) == {"finished"}


def test_a_missing_peer_is_said_before_anything_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "evosax.algorithms", None)
    with pytest.raises(UserError, match="pip install"):
        _run(benchmark_of("contestants=[bare, evosax]"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_results_are_not_overwritten(tmp_path: Path) -> None:
    for content, name in (
        ({"benchmark": {"name": "other"}}, "benchmark 'other'"),
        ({"sweep": {"name": "toy"}}, "sweep 'toy', not benchmark 'toy'"),
    ):
        text_files.write_json(tmp_path / "manifest.json", {**content, "starts": []})
        with pytest.raises(UserError, match=f"holds the results of {name}"):
            _run(benchmark_of(), tmp_path)
