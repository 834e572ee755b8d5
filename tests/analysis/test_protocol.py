"""A report says what was run, and the command in it makes equal numbers."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rl_es.analysis import merge, protocol, sweep_report
from rl_es.analysis.formatting import Table
from rl_es.analysis.results import load_results
from rl_es.cli import main
from rl_es.cli.parsing import command_words
from rl_es.cli.run_commands import NOT_RECORDED, RunCommand
from rl_es.results import tables, text_files
from rl_es.results.manifest import SweepManifest, read_sweep_manifest
from tests.running import same

SWEEP = """
name: small
seeds: 2
defaults:
  budget: {generations: 9}
  evaluation: {points: 3, episodes: 2}
  policy: {widths: [4]}
  agent: {population: 4}
environments:
  - name: CartPole-v1
    episode_length: 20
    agents: {open_es: {lr: 0.2}}
  - {name: Acrobot-v1, episode_length: 10, budget: {env_steps: 200}, policy: {activation: relu}}
agents:
  - {name: open_es, label: our strategy}
  - {name: eggroll, grid: {lr: [0.1, 0.02]}}
"""
OVERRIDES = ("seeds=1", "environments=[CartPole-v1]", "budget.generations=3")
Results = Callable[..., Path]


def _commands(page: Path) -> list[list[str]]:
    """Returns the words of each command of a page, without the program."""
    text = page.read_text().partition("## Run it again")[2]
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [shlex.split(line.removeprefix("rl_es ")) for line in lines]


def _rows(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.heads, (cell.text for cell in row), strict=True)) for row in table.rows]


def test_the_command_of_a_report_makes_equal_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my sweep.yaml").write_text(SWEEP)
    overrides = [word for override in OVERRIDES for word in ("--set", override)]
    first = ["run", "my sweep.yaml", *overrides, "--quiet", "--no-replays"]
    assert main([*first, "--out", "a folder"]) == 0
    command, report = _commands(Path("a folder/index.md"))
    assert command == ["run", "my sweep.yaml", "--out", "a folder", *overrides]
    assert report == ["report", "a folder"]
    command[command.index("--out") + 1] = "again"
    assert main([*command, "--no-replays"]) == 0
    same(Path("a folder"), Path("again"))
    assert len(tables.load_tables(Path("again"))[1]) == 3
    # The page in the browser holds the same command and the same protocol.
    page = Path("again/report.html").read_text()
    assert "run &#39;my sweep.yaml&#39; --out again --set seeds=1" in page
    assert "3 generations" in page.partition('id="protocol"')[2].partition("</table>")[0]


def test_options_that_decide_no_result_are_not_recorded() -> None:
    command = RunCommand(
        Path("a b.yaml"), set=("x=1", "y=-2"), workers=2, quiet=True, retry_failed=True
    )
    words = command_words("run", command, omit=NOT_RECORDED, out=Path("c"))
    assert " ".join(words) == "run a b.yaml --out c --set x=1 --set y=-2 --workers 2"
    assert command_words("run", RunCommand(Path("a"))) == ("run", "a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was run in two steps, the second one with more seeds."""
    place = tmp_path_factory.mktemp("protocol")
    (place / "small.yaml").write_text(SWEEP)
    for seeds in ("1", "2"):
        words = ["run", str(place / "small.yaml"), "--set", f"seeds={seeds}", "--quiet"]
        assert main([*words, "--no-replays", "--out", str(place / "small")]) == 0
    return place / "small"


def test_every_start_has_its_command(folder: Path) -> None:
    commands = _commands(folder / "index.md")
    assert [command[-1] for command in commands] == ["seeds=1", "seeds=2", str(folder)]


def test_budget_evaluation_and_network_of_each_environment(folder: Path) -> None:
    manifest, runs = read_sweep_manifest(folder), load_results(folder).runs
    cart_pole, acrobot = _rows(protocol.protocol_table(runs, manifest))
    assert cart_pole == {
        "environment": "CartPole-v1",
        "budget": "9 generations",
        "evaluations": "3",
        "episodes of each": "2",
        "network": "mlp",
        "widths": "4",
        "activation": "tanh",
        "head": "auto",
        "observations normalised": "no",
        "parameters": cart_pole["parameters"],
        "environment settings": "episode_length 20",
    }
    assert acrobot["budget"] == "200 steps" and acrobot["activation"] == "relu"
    assert "- Tuned: no" in (folder / "index.md").read_text()


def test_settings_have_a_column_each_and_rows_in_the_order_of_the_sweep(folder: Path) -> None:
    manifest, runs = read_sweep_manifest(folder), load_results(folder).runs
    settings = protocol.settings_tables(runs, manifest)
    rows = _rows(settings[protocol.SETTINGS])
    assert [(row["label"], row["environments"], row["lr"]) for row in rows] == [
        ("our strategy", "CartPole-v1", "0.2"),
        ("our strategy", "Acrobot-v1", "0.01"),
        ("eggroll lr=0.1", "all", "0.1"),
        ("eggroll lr=0.02", "all", "0.02"),
    ]
    constants = {row["setting"]: row for row in _rows(settings[protocol.CONSTANTS])}
    assert constants["population"] == {"setting": "population", "value": "4", "agents": "all"}
    assert constants["rank"]["agents"] == "eggroll"
    assert not set(constants) & set(settings[protocol.SETTINGS].heads)


def test_policies_of_single_agents_have_rows(results: Results, add_run: Any) -> None:
    place = results(["a"], ["pes"], 1, policy={"network": "mlp", "widths": [8, 8]})
    add_run(place, "a", "nres", 0, policy={"network": "gru", "widths": [4]})
    runs = load_results(place).runs
    rows = _rows(protocol.protocol_table(runs, SweepManifest(labels=("nres", "pes"))))
    assert rows == [
        {"environment": "a", "agents": "nres", "network": "gru", "widths": "4"},
        {"environment": "a", "agents": "pes", "network": "mlp", "widths": "8 8"},
    ]


def test_old_folders_show_what_can_be_derived(results: Results) -> None:
    place = results(["a", "b"], ["pes", "eggroll"], 1)
    evaluation = {"points": 40, "episodes": 16}
    sweep = {
        "name": "demo",
        "defaults": {"budget": {"env_steps": 1000, "seconds": None}, "evaluation": evaluation},
        "environments": [
            {"name": "b", "label": None, "budget": None, "evaluation": evaluation},
            {"name": "a", "budget": {"seconds": 2.5}, "evaluation": {"points": 20, "episodes": 16}},
        ],
        "agents": [{"name": "pes", "label": None}, {"name": "eggroll"}],
    }
    text_files.write_json(place / "manifest.json", {"sweep": sweep, "starts": [{"time": "now"}]})
    manifest, runs = read_sweep_manifest(place), load_results(place).runs
    assert _rows(protocol.protocol_table(runs, manifest)) == [
        {
            "environment": "b",
            "budget": "1,000 steps",
            "evaluations": "40",
            "episodes of each": "16",
        },
        # Whether the environment overrides the 40 or has a default of its own is not known.
        {"environment": "a", "budget": "2.5 seconds", "evaluations": "—", "episodes of each": "16"},
    ]
    sweep_report.write(place)
    assert _commands(place / "index.md") == [
        ["run", "sweeps/demo.yaml"],
        ["report", f"results/{place.name}"],
    ]
    assert "overrides by --set may be missing" in (place / "index.md").read_text()


def test_a_merged_folder_has_the_commands_of_all(
    folder: Path, results: Results, tmp_path: Path
) -> None:
    other = results(["c"], ["pes"], 1)
    start = {"command": ["run", "demo.yaml", "--out", "x"]}
    content = {"sweep": {"name": "demo"}, "starts": [start], "labels": ["pes"]}
    text_files.write_json(other / "manifest.json", content)
    merge.merge_folders([other, folder], tmp_path / "both")
    manifest = read_sweep_manifest(tmp_path / "both")
    lines, _ = protocol.command_lines(tmp_path / "both", pd.DataFrame(), manifest)
    assert lines[0] == "rl_es run demo.yaml --out x" and len(lines) == 5
    assert lines[3:] == [
        f"rl_es merge {other} {folder} --out results/both",
        "rl_es report results/both",
    ]
    assert manifest.labels == ("pes", "our strategy", "eggroll lr=0.1", "eggroll lr=0.02")
