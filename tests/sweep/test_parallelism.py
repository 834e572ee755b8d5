"""How `run` uses the cores of a CPU by default: workers, devices, or neither."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from rl_es.cli import run_commands
from rl_es.cli.arguments import MachineOptions
from rl_es.cli.run_commands import RunCommand
from rl_es.results import tables
from rl_es.sweep import execution, parallelism
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.queue import make_placed_group
from rl_es.tools import plan_tables
from rl_es.training import resources
from rl_es.training.resources import Resources
from tests.running import Said, alike, ran, single_device, sweep_of
from tests.sweep.small import ONE, TINY

ROOT = Path(__file__).parents[2]
GIB = 2**30
PLENTY: Mapping[str, Any] = {
    "groups": 12, "seconds": 100.0, "cores": 2, "devices": 1, "worker_bytes": 2 * GIB,
    "memory": 24 * GIB,
}  # fmt: skip


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may use two cores, and everything is worth dividing."""
    monkeypatch.setattr(parallelism, "usable_cores", lambda: 2)
    monkeypatch.setattr(parallelism, "LEAST_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("changes", "workers", "devices", "reason"),
    [
        ({}, 2, 1, "2 worker processes share 12 groups, one for each core (--workers 1: "),
        ({"memory": 4 * GIB, "groups": 2}, 2, 1, "share 2 groups, one for each core"),
        ({"cores": 64, "memory": 99 * GIB}, 12, 1, "share 12 groups, one for each group"),
        ({"cores": 64}, 12, 1, "share 12 groups, one for each group"),
        ({"cores": 64, "memory": 9 * GIB}, 4, 1, "as many as fit in memory, at 2.0 GiB each"),
        ({"memory": 3 * GIB}, 1, 1, "memory does not suffice for two workers of 2.0 GiB"),
        ({"seconds": 14.0}, 1, 1, "too little is left"),
        ({"cores": 1}, 1, 1, "it may use one core"),
        ({"groups": 1, "devices": 2}, 1, 2, "2 devices share one group, one for each core"),
        ({"groups": 1, "devices": 5, "cores": 8}, 1, 5, "as many as can share it equally"),
        ({"groups": 1}, 1, 1, "devices cannot share its population or its runs"),
    ],
)
def test_what_is_chosen(changes: Mapping[str, Any], workers: int, devices: int, reason: str):
    choice = parallelism.divide_work(**{**PLENTY, **changes})
    assert (choice.workers, choice.devices) == (workers, devices)
    assert reason in choice.reason


def test_the_estimate_counts_what_is_left() -> None:
    (group,) = group_cells(expand_cells(sweep_of(ONE, "defaults.budget={env_steps: 1e6}")))
    work = make_placed_group(group, Resources())
    first, second = (cell.run_id for cell in group.cells)
    seconds = parallelism.rough_seconds([work, work], {first: 1.0, second: 0.25})
    assert seconds == pytest.approx(
        2 * (parallelism.GROUP_SECONDS + 1.25e6 / parallelism.STEPS_PER_SECOND)
    )
    (timed,) = group_cells(expand_cells(sweep_of(ONE, "defaults.budget={seconds: 30}")))
    whole = {cell.run_id: 1.0 for cell in timed.cells}
    seconds = parallelism.rough_seconds([make_placed_group(timed, Resources())], whole)
    assert seconds == parallelism.GROUP_SECONDS + 60


def test_a_container_s_limit_bounds_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    for text, cores in (("250000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 64)):
        monkeypatch.setattr(resources.Path, "read_text", lambda path, text=text: text)
        assert resources.usable_cores() == cores


def test_several_groups_are_given_to_workers(two_cores: None, tmp_path: Path) -> None:
    progress, numbers = Said(), list[int]()

    def make_workers(number: int) -> Any:
        numbers.append(number)
        return lambda sweep, runner: SimpleNamespace(run=lambda works, versions: 0)

    sweep = sweep_of(TINY)
    execution.run_sweep(sweep, tmp_path, progress, Resources(), make_workers=make_workers)
    assert numbers == [2]
    assert any(note.startswith("2 worker processes share 4 groups") for note in progress.notes)


def test_one_group_is_run_on_devices(two_cores: None, tmp_path: Path) -> None:
    progress = Said()
    assert not execution.run_sweep(
        sweep_of(ONE), tmp_path, progress, Resources(), make_workers=pytest.fail
    )
    assert set(tables.load_tables(tmp_path)[1].devices) == {2}
    assert any(note.startswith("2 devices share one group") for note in progress.notes)
    expected = ran(tmp_path / "expected", sweep_of(ONE))
    alike(expected, tmp_path, but=("devices", "lanes"))


def test_devices_are_prepared_for_one_group_only(two_cores: None) -> None:
    assert parallelism.devices_to_prepare(sweep_of(ONE)) == 2
    assert parallelism.devices_to_prepare(sweep_of(TINY)) is None
    assert parallelism.devices_to_prepare(sweep_of(TINY), sweep_of(ONE)) == 2


def test_nothing_is_chosen_where_the_backend_is_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    (group,) = group_cells(expand_cells(sweep_of(ONE)))
    works = [make_placed_group(group, Resources())]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert parallelism.choose_parallelism(works, {}, Resources()) is None


@pytest.mark.parametrize(
    ("options", "variables", "is_open"),
    [
        ({}, {}, True),
        ({"shard": "0/1"}, {}, True),
        ({"workers": 1}, {}, False),
        ({"machine": MachineOptions(devices=1)}, {}, False),
        ({"machine": MachineOptions(lanes=2)}, {}, False),
        ({}, {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, False),
        ({}, {"JAX_NUM_CPU_DEVICES": "1"}, False),
    ],
)
def test_what_was_asked_for_is_done(
    options: Mapping[str, Any],
    variables: Mapping[str, str],
    is_open: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XLA_FLAGS")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    given: dict[str, Any] = {}
    monkeypatch.setattr(execution, "run_sweep", lambda *args, **kwargs: given.update(kwargs) or 0)
    monkeypatch.setattr(run_commands, "write_report", lambda folder: None)
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert RunCommand(tmp_path / "tiny.yaml", tmp_path / "out", **options)() == 0
    assert (given["make_workers"] is not None) == is_open and given["make_executor"] is None


def test_a_plan_says_what_run_does(two_cores: None, capsys: pytest.CaptureFixture[str]) -> None:
    for is_open in (True, False):
        plan_tables.show_plans([sweep_of(TINY), sweep_of(ONE)], probe=False, is_open=is_open)
        output = " ".join(capsys.readouterr().out.split())
        sentence = "`run` on these cores: 2 worker processes share 4 groups, one for each core"
        assert (sentence in output) == is_open
        assert ("2 devices share one group" in output) == is_open
        assert ("Devices: 2 share the runs." in output) == is_open


@pytest.mark.slow
@pytest.mark.skipif(resources.usable_cores() < 2, reason="one core")
def test_the_command_gives_the_tables_of_one_process(tmp_path: Path) -> None:
    """In processes of their own, without the environment's choice of two devices."""
    sweep = tmp_path / "long.yaml"
    sweep.write_text(TINY.replace("{generations: 4}", "{env_steps: 5e4}"))
    messages = {}
    for name, options in {"default": (), "one": ("--workers", "1")}.items():
        command = [sys.executable, "run_benchmark.py", "run", str(sweep), "--no-replays"]
        command += ["--out", str(tmp_path / name), *options]
        run = subprocess.run(
            command, cwd=ROOT, env=single_device(), check=True, capture_output=True, text=True
        )
        messages[name] = run.stdout
    assert "worker processes share 4 groups" in messages["default"]
    assert "worker processes" not in messages["one"]
    alike(tmp_path / "one", tmp_path / "default")
