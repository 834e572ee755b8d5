"""Printed plans: counts, times, what is not installed, and totals of several sweeps."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest

from rl_es import cli, registry
from rl_es.sweep import plan
from rl_es.tools import plan_tables
from rl_es.training.resources import Resources
from tests.running import sweep_of
from tests.sweep.small import PLANNED, PLANNED_PARAMETERS

PERSISTENT = "{name: pes, with: {window: 10}}, {name: truncated_es, with: {window: 10}}"

planned_sweep = partial(sweep_of, PLANNED)


def test_shown_without_probing(capsys: pytest.CaptureFixture[str]) -> None:
    plan_tables.show_plans([planned_sweep(f"agents=[eggroll, {PERSISTENT}]")], probe=False)
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines() if line.startswith("Pendulum-v1 / ")]
    assert [row[2] for row in rows] == ["eggroll", "pes", "truncated_es"]
    assert rows[0][3:] == ["3", "4", str(PLANNED_PARAMETERS), "640", "2"]
    total = 3 * 2 * (320 + 160 + 240)
    assert f"9 cells in 3 groups, 8 compiled programs, {total:,} environment steps." in output
    assert "Estimated" not in output and "compile " not in output


def test_shown_with_probing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PROBE_SECONDS", 0.05)
    sweep = planned_sweep("defaults.budget={env_steps: 1e6}")
    plan_tables.show_plans([sweep], Resources(lanes=2))
    output = capsys.readouterr().out
    assert ">= 3,125" in output and "Runs that share a call of their program: 2." in output
    assert "run" in output and "Estimated on cpu" in output and "peak memory" in output


def test_chunks_are_chosen_by_the_memory_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    large = ("defaults.agent.population=65536", "defaults.policy.widths=[256, 256]")
    plan_tables.show_plans([planned_sweep(*large)], Resources(memory=2**29), probe=False)
    output = " ".join(capsys.readouterr().out.split())
    assert "evaluated in 2 chunks of 32,768 members" in output
    assert "0.5 GiB may be used (--memory, --population-chunk)" in output


def write_sweeps(folder: Path, second_agent: str) -> list[str]:
    """Writes two sweep files, of eggroll and of another agent; returns their paths."""
    paths = [folder / "first.yaml", folder / "second.yaml"]
    text = PLANNED.replace("{generations: 2}", "{env_steps: 1e9}")
    paths[0].write_text(text)
    paths[1].write_text(
        text.replace("  agent: {population: 16}\n", "").replace("eggroll", second_agent)
    )
    return list(map(str, paths))


def test_several_files_are_totalled_for_a_stated_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", *write_sweeps(tmp_path, "open_es"), "--steps-per-second", "1e4"]) == 0
    output = capsys.readouterr().out
    assert output.count("Estimated at 10,000 environment steps per second: 3 d 11 h for the") == 2
    assert "2 sweeps: 6 cells in 2 groups, 8 compiled programs, 6,000,000,000 env" in output
    assert "Estimated at 10,000 environment steps per second: 6 d 22 h for all sweeps" in output


def test_a_plan_needs_no_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_sweeps(tmp_path, "ppo")  # its library is an extra
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "rejax" else find_spec(name)
    )
    assert cli.main(["plan", paths[1], "--steps-per-second", "1e4"]) == 0
    output = capsys.readouterr().out
    row = next(line for line in output.splitlines() if line.startswith("Pendulum-v1 / ppo"))
    assert row.split()[3:] == ["3", "-", "-", "1,000,000,000", "-"]
    command = registry.install_command("rejax")
    assert f"Libraries of 1 group are not installed; to run them: {command}" in output
    assert "3 d 11 h for the whole sweep" in output
    assert cli.main(["plan", paths[1], "--no-probe"]) == 0
    assert cli.main(["run", paths[1]]) == 2


def test_columns_are_whole_at_100_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = plan_tables.plain_console()
    console.width = 100
    monkeypatch.setattr(plan_tables, "plain_console", lambda: console)
    sweep = planned_sweep(
        "defaults.budget={env_steps: 5e8}", "environments.0.name=MountainCarContinuous-v0"
    )
    plan_tables.show_plans([sweep], probe=False)
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("MountainCarContinuous-v0 / eggroll")]
    assert "500,000,000" in row and len(row) <= 100
    assert lines[1].split()[-5:] == ["env", "steps", "a", "run", "generations"]


def test_without_a_file_it_says_what_it_needs(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan"]) == 2
    assert "plan: needs SWEEP; see " in capfd.readouterr().err
