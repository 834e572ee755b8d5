"""Two processes on the loopback address run one sweep: the same curve, stopped and lost together.

One folder is started four times: a process is killed, one is interrupted, then the sweep is run to
its end, then it is started with different options. Only the folder of process 0 is ever there.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.results import tables
from rl_es.sweep.execution import stop_on_signal
from rl_es.training import multihost
from rl_es.training.multihost_options import MultihostOptions
from rl_es.training.sharding import ONE_DEVICE, to_host
from tests.running import ran, same, single_device, sweep_of

ROOT = Path(__file__).parents[2]
TEXT = """
name: pair
seeds: 1
defaults:
  budget: {generations: 6}
  evaluation: {points: 3, episodes: 4}
  policy: {widths: [8], normalise_observations: true}
  agent: {population: 256}
environments: [Drift-v0]
agents: [eggroll, {name: pes, with: {window: 5}}]
"""

# The command line without figures and films, one generation a call. Process 1 has a clock that runs
# fast, and sends itself a signal after some generation of an agent.
DOOR = f"""
import os, sys, time, types
sys.path.insert(0, {str(ROOT)!r})
agent, kind, wait = sys.argv[1:4]
from rl_es import cli, registry
registry.suites.add_package("tests.sweep.drift_suites")
from rl_es.sweep import runs
from rl_es.sweep.runs import ActiveRun
from rl_es.training import multihost

multihost.JOIN_SECONDS = float(wait)
from rl_es.cli import run_commands
run_commands.write_report = run_commands.write_films = lambda folder: None
runs.CALL_SECONDS = 0.0
advance = ActiveRun.advance

def advanced(lane, *args):
    advance(lane, *args)
    if lane.cell.agent == agent and lane.progress.generation == 3 and not multihost.is_first():
        os.kill(os.getpid(), int(kind))

ActiveRun.advance = advanced
if sys.argv[-1] == "1":
    fast = dict(monotonic=lambda: 1e3 * time.monotonic(), perf_counter=lambda: 0.0)
    runs.time = types.SimpleNamespace(**fast)
cli.leave(cli.main(sys.argv[4:]))
"""


class Ended(NamedTuple):
    code: int
    output: str
    errors: str


def start(
    folder: Path,
    processes: Sequence[int] = (0, 1),
    agent: str = "none",
    kind: int = 0,
    wait: float = 60,
    changes: Sequence[str] = (),
) -> list[Ended]:
    """Starts processes of two, each with one device; `changes` are those of process 1."""
    folder.mkdir(exist_ok=True)
    (folder / "pair.yaml").write_text(TEXT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = {**single_device(), "JAX_PLATFORMS": "cpu"}
    processes_started = []
    for process in processes:
        command = [sys.executable, "-c", DOOR, agent, str(int(kind)), str(wait), "run", "pair.yaml"]
        command += ["--out", str(process), *(changes if process else ())]
        command += ["--coordinator", address, "--processes", "2", "--process", str(process)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes_started.append(subprocess.Popen(command, cwd=folder, env=env, **pipes))
    try:
        texts = [process.communicate(timeout=150) for process in processes_started]
    finally:
        for process in processes_started:
            process.kill()
    codes = [process.returncode for process in processes_started]
    return [Ended(code, *text) for code, text in zip(codes, texts, strict=True)]


def messages(ended: Ended) -> list[str]:
    """What the suite itself said on standard error: lines of C++ begin otherwise."""
    return [line for line in ended.errors.splitlines() if line.startswith(("error", "interr"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where process 0 has its results below `0`, and process 1 would have them below `1`."""
    return tmp_path_factory.mktemp("together")


def test_the_processes_end_when_one_is_killed(folder: Path) -> None:
    first, second = start(folder, agent="eggroll", kind=signal.SIGKILL)
    assert second.code == -signal.SIGKILL
    # Most often the lost connection is seen; else jax sees the lost process, and ends this one.
    assert first.code in (1, -signal.SIGABRT) and "Traceback" not in first.errors, first
    if first.code == 1:
        assert len(messages(first)) == 1 and "another process has ended" in messages(first)[0]
    _, runs = tables.load_tables(folder / "0")
    assert list(runs.status) == ["running"]


def test_an_interrupt_at_one_process_stops_all(folder: Path) -> None:
    for ended in start(folder, agent="pes", kind=signal.SIGINT):
        assert ended.code == 130, ended
        assert len(messages(ended)) == 1 and "Traceback" not in ended.errors
    _, runs = tables.load_tables(folder / "0")
    assert list(runs.status) == ["finished", "running"] and list(runs.generations) == [6, 3]
    assert len(list((folder / "0" / "checkpoints").iterdir())) == 2


@pytest.mark.usefixtures("drifts")
def test_the_curve_is_that_of_one_process(folder: Path, tmp_path: Path) -> None:
    """Its second part is from a checkpoint that both went on from."""
    first, second = start(folder)
    assert (first.code, second.code) == (0, 0), (first, second)
    assert "finished" in first.output and not second.output
    assert not (folder / "1").exists()
    same(ran(tmp_path, sweep_of(TEXT)), folder / "0", but=("devices",), rtol=1e-5, atol=1e-6)
    curves, runs = tables.load_tables(tmp_path)
    assert (runs.status == "finished").all() and (curves.groupby("label").size() == 4).all()
    assert curves.update_norm.max() > 0
    assert curves.groupby("label").population_mean.nunique().min() > 1


def test_processes_started_differently_are_refused(folder: Path) -> None:
    before = (folder / "0" / "manifest.json").read_bytes()
    for ended in start(folder, changes=["--set", "seeds=2"]):
        assert ended.code == 2, ended
        assert messages(ended) == [
            "error: the processes were started with different sweeps, options, versions or devices"
        ]
    assert (folder / "0" / "manifest.json").read_bytes() == before


def test_waiting_for_the_others_ends(tmp_path: Path) -> None:
    (ended,) = start(tmp_path, [1], wait=1)
    assert ended.code == 2 and len(ended.errors.splitlines()) == 1, ended
    assert "process 1 of 2: waited 1 seconds for the other" in ended.errors


# --- without other processes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"coordinator": "a:1"}, "--processes: missing; --coordinator, --processes and --process"),
        ({"coordinator": "a:1", "processes": 2}, "--process: missing"),
        ({"process": 0}, "--coordinator: missing"),
        ({"cluster": True, "process": 0}, "--cluster: .* leave --process out"),
        ({"coordinator": "a", "processes": 2, "process": 0}, "must be HOST:PORT.*is 'a'"),
        ({"coordinator": "a:b", "processes": 2, "process": 0}, "must be HOST:PORT"),
        ({"coordinator": "a:70000", "processes": 2, "process": 0}, "must be HOST:PORT"),
        ({"coordinator": "a:1", "processes": 0, "process": 0}, "at least 1, is 0"),
        ({"coordinator": "a:1", "processes": 2, "process": 2}, "must be 0 to 1 .*is 2"),
    ],
)
def test_wrong_flags(flags: dict[str, str | int], message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        MultihostOptions(**flags).check()
    assert len(str(refusal.value).splitlines()) == 1


def test_right_flags() -> None:
    for meeting in (
        MultihostOptions(),
        MultihostOptions(cluster=True),
        MultihostOptions("[::1]:80", 2, 1),
    ):
        meeting.check()
    assert MultihostOptions().alone and not MultihostOptions(cluster=True).alone


def test_alone_nothing_is_sent() -> None:
    with multihost.join_processes(MultihostOptions()):
        assert multihost.is_first() and not multihost.is_multihost()
        assert multihost.call_on_first(lambda: (1, None)) == (1, None)
        assert multihost.read_on_first(lambda: b"x") == b"x"
        assert (
            multihost.any_process(True)
            and not multihost.any_process(False)
            and multihost.agree_on(0.1) == 0.1
        )
        multihost.check_same("a", "letters")
    with pytest.raises(ZeroDivisionError):
        multihost.call_on_first(lambda: 1 // 0)
    tree = to_host({"a": np.arange(3)})
    assert list(tree["a"]) == [0, 1, 2] and ONE_DEVICE.accept_host_arrays(max) is max


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_ask_to_stop(kind: signal.Signals) -> None:
    before = signal.getsignal(kind)
    with stop_on_signal() as stop:
        os.kill(os.getpid(), kind)
        assert stop.wait(5) and signal.getsignal(kind) is before
    assert signal.getsignal(kind) is before


def test_further_signals_are_ignored_where_the_second_must_not_end() -> None:
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        with stop_on_signal(end_at_second=False) as stop:
            for kind in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), kind)
            assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
