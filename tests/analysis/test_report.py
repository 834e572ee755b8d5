"""The report, end to end, over whole and partial results."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from rl_es.analysis import sweep_report
from rl_es.analysis.drawing import FigureOptions
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.formatting import (
    DAGGER,
    TableCell,
    count_cell,
    escape_markdown,
    format_number,
    make_table,
    text_cell,
    to_latex,
    to_markdown,
)
from rl_es.analysis.report import Section, compose_page
from rl_es.analysis.results import separate_variants
from rl_es.analysis.sweep_tables import summarise
from rl_es.errors import UserError
from rl_es.results import tables, text_files

Results = Callable[..., Path]
TOLD = ("summary.csv", "aggregates.csv", "comparisons.csv")
ALWAYS = ("learning_curves", "final_returns", "wall_clock")
ENDS = {
    ("cartpole", "pes", 0): "failed",
    ("pendulum", "eggroll", 1): "diverged",
    ("pendulum", "pes", 2): "running",
}


def _quickly(draw: Callable[..., Figure], results: object, options: FigureOptions) -> Figure:
    return draw(results, replace(options, replicates=100))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here hangs neither on the number of replicates nor on further kinds."""
    for name, kind in KINDS.items():
        in_report = kind.in_report if name in ALWAYS else lambda results: False
        few = replace(kind, draw=partial(_quickly, kind.draw), in_report=in_report)
        monkeypatch.setitem(KINDS, name, few)


def test_everything_is_written_and_named(results: Results) -> None:
    folder = results(ends=ENDS)
    paths = sweep_report.write(folder)
    names = [str(path.relative_to(folder)) for path in paths]
    figures = [f"figures/{n}.{k}" for n in ALWAYS for k in ("png", "svg")]
    before = ["curves.parquet", "runs.parquet", "runs.csv", *TOLD]
    assert names == [*before, *figures, "index.md", "report.html"]
    assert all(path.stat().st_size for path in paths)
    page = (folder / "index.md").read_text()
    assert "12 runs: 9 finished, 1 running, 1 diverged, 1 failed." in page
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert (folder / link).exists(), link
    assert "jax 0.9.0" in page and "Seeds: 0 to 2" in page and "| lr | 0.1 | all |" in page
    assert "rl_es run sweeps/demo.yaml" in page


def test_settings_that_all_share_are_said_once(
    results: Results, add_run: Callable[..., None]
) -> None:
    folder = results(["cartpole"], ["pes", "nres"], 1, hyper={"lr": 0.1, "window": 20})
    add_run(folder, "cartpole", "eggroll", 0, hyper={"lr": 0.1, "rank": 4})
    sweep_report.write(folder)
    page = (folder / "index.md").read_text()
    for row in ("| lr | 0.1 | all |", "| rank | 4 | eggroll |", "| window | 20 | nres, pes |"):
        assert page.count(row) == 1
    assert "Settings that differ" not in page


def test_text_from_data_stays_text(results: Results) -> None:
    folder = results(envs=["a|b", "pendulum"], ends={("a|b", "pes", 0): "failed"})
    sweep_report.write(folder)
    page = (folder / "index.md").read_text()
    assert r"\`lr\` \| &lt;b&gt;too large&lt;/b&gt; \$x\$ |" in page
    assert r"| a\|b | pes |" in page
    rows = [line for line in page.splitlines() if line.startswith("| a")]
    for row in rows[:2]:
        assert len(re.findall(r"(?<!\\)\|", row)) == 11


def test_twice_is_the_same(results: Results) -> None:
    folder = results()
    first = {path: path.read_bytes() for path in sweep_report.write(folder)}
    assert {path: path.read_bytes() for path in sweep_report.write(folder)} == first


def test_figures_of_what_is_gone_go_and_others_stay(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(KINDS["learning_curves"], max_subjects=1)
    monkeypatch.setitem(KINDS, "learning_curves", few)
    folder = results()
    sweep_report.write(folder)
    assert (folder / "figures" / "learning_curves_2.svg").exists()
    (folder / "figures" / "mine.png").write_bytes(b"x")
    for path in tables.cell_paths(folder):
        if tables.read_cell(path)[1]["env"] == "pendulum":
            path.unlink()
    sweep_report.write(folder)
    left = {path.name for path in (folder / "figures").iterdir()}
    assert left == {"mine.png"} | {f"{n}.{k}" for n in ALWAYS for k in ("png", "svg")}


@pytest.mark.parametrize("status", ["failed", "diverged", "running"])
def test_a_folder_without_a_finished_run(results: Results, status: str) -> None:
    ends = {("e", "pes", 0): status}
    folder = results(["e"], ["pes"], 1, ends=ends)
    sweep_report.write(folder)
    row = pd.read_csv(folder / "summary.csv").iloc[0]
    assert row[status] == 1 and row["n"] == (status == "running")


def test_no_cells_is_the_readers_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results here"):
        sweep_report.write(tmp_path)


def test_shards_merge(results: Results, add_run: Callable[..., None]) -> None:
    folder = results(["cartpole"], ["pes"], 2)
    add_run(folder, "cartpole", "pes", 2, sweep="other")
    sweep_report.write(folder)
    overview = pd.read_csv(folder / "summary.csv")
    assert list(overview.n) == [3]
    assert "Sweep: demo, other" in (folder / "index.md").read_text()


def test_other_settings_of_other_seeds_are_not_averaged(
    results: Results, add_run: Callable[..., None]
) -> None:
    folder = results(["cartpole"], ["pes"], 2)
    for seed in (5, 6):
        add_run(folder, "cartpole", "pes", seed, hyper={"lr": 0.5})
    sweep_report.write(folder)
    overview = pd.read_csv(folder / "summary.csv")
    assert dict(zip(overview.label, overview.n, strict=True)) == {
        "pes (lr=0.1)": 2,
        "pes (lr=0.5)": 2,
    }


def test_the_page_says_what_the_sweep_is_for(results: Results) -> None:
    folder = results(["cartpole"], seeds=1)
    about = {"sweep": {"name": "demo", "description": "ranks, and *why*"}, "starts": []}
    text_files.write_json(folder / "manifest.json", about)
    sweep_report.write(folder)
    assert "\n\nranks, and \\*why\\*\n\n" in (folder / "index.md").read_text()


def test_variants_under_one_label_are_not_averaged(
    results: Results, add_run: Callable[..., None]
) -> None:
    folder = results(["cartpole"], ["pes"], 2)
    add_run(folder, "cartpole", "pes", 0, hyper={"lr": 0.2})
    add_run(folder, "cartpole", "pes", 1, hyper={"lr": 0.2})
    _, runs = separate_variants(*tables.load_tables(folder))
    assert sorted(runs.label.unique()) == ["pes (lr=0.1)", "pes (lr=0.2)"]
    add_run(folder, "cartpole", "pes", 0, sweep="late", hyper={"lr": 0.1})
    curves, runs = separate_variants(*tables.load_tables(folder))
    assert not runs.duplicated(["env", "label", "seed"]).any()
    assert set(curves.label) == set(runs.label)


def test_variants_are_called_by_what_differs_in_an_environment(
    results: Results, add_run: Callable[..., None]
) -> None:
    folder = results(["cartpole"], [], 0)
    for env, network in (("cartpole", "mlp"), ("pendulum", "linear")):
        policy = {"network": network, "widths": [32]}
        for lr in (0.1, 0.2):
            add_run(folder, env, "pes", 0, hyper={"lr": lr}, policy=policy)
    _, runs = separate_variants(*tables.load_tables(folder))
    assert set(runs.label) == {"pes (lr=0.1)", "pes (lr=0.2)"}
    add_run(folder, "cartpole", "pes", 0, run_id="0" * 16, policy={"network": "gru", "widths": [8]})
    _, runs = separate_variants(*tables.load_tables(folder))
    assert runs.set_index("run_id").label["0" * 16] == "pes (network=gru, widths=[8], lr=0.1)"


def test_code_of_a_plug_in_that_was_changed_is_another_variant(
    results: Results, add_run: Callable[..., None]
) -> None:
    folder = results(["cartpole"], [], 0)
    for sign in "01":
        for seed in range(2):
            versions = {"jax": "0.9.0", "./mine.py:Mine": 16 * sign}
            run_id = f"{sign}{seed}" + "a" * 14
            add_run(folder, "cartpole", "Mine", seed, run_id=run_id, versions=versions)
    _, runs = separate_variants(*tables.load_tables(folder))
    counts = runs.label.value_counts()
    assert set(counts) == {2}
    assert set(counts.index) == {f"Mine (code of ./mine.py:Mine={n * 8})" for n in "01"}


def test_summary_numbers(results: Results) -> None:
    ends = {("cartpole", "pes", 0): "failed", ("cartpole", "eggroll", 1): "diverged"}
    folder = results(["cartpole"], seeds=4, ends=ends, lanes=2, threshold=50.0)
    curves, runs = tables.load_tables(folder)
    overview = summarise(curves, runs, replicates=100).set_index("label")
    assert list(overview.index) == ["eggroll", "pes"]
    complete = runs[(runs.label == "eggroll") & (runs.status == "finished")]
    row = overview.loc["eggroll"]
    assert (row.n, row.finished, row.diverged, row.failed) == (3, 3, 1, 0)
    np.testing.assert_allclose(row.final_mean, complete.final_return.mean())
    assert row.ci_low <= row.final_mean <= row.ci_high
    assert row.wall_seconds_mean == 10.0 and row.compile_seconds_mean == 3.0
    first = curves[curves.run_id.isin(complete.run_id) & (curves.generation == 0)]
    np.testing.assert_allclose(row.first_mean, first.return_mean.mean())
    arrivals = curves[curves.return_mean >= 50].groupby(["label", "seed"]).env_steps.min()
    assert row.reached_threshold == len(arrivals["eggroll"]) >= 3
    assert row.steps_to_threshold_median == sorted(arrivals["eggroll"])[1]  # two of four are half
    assert (
        row.steps_to_threshold_low <= row.steps_to_threshold_median <= row.steps_to_threshold_high
    )
    # Of two lanes that shared it, an evaluation each 2 seconds.
    steps = row.steps_to_threshold_median
    assert (
        row.seconds_to_threshold_median
        == curves[curves.env_steps == steps].wall_seconds.iloc[0] / 2
    )
    none = summarise(curves, runs.assign(threshold=500.0), replicates=100).set_index("label")
    assert none.loc["pes"].reached_threshold == 0
    assert none.loc["pes"].steps_to_threshold_median == np.inf


def test_markdown_pieces() -> None:
    assert escape_markdown("a_b\n `c` <d> & [e](f)") == r"a\_b \`c\` &lt;d&gt; &amp; \[e\](f)"
    table = make_table(["x", "n"], [[text_cell("a"), count_cell(1)]])
    assert to_markdown(table) == "| x | n |\n| --- | ---: |\n| a | 1 |"
    texts = [format_number(value) for value in (None, float("nan"), -1234.5, 0.5, 999.99)]
    assert texts == ["—", "—", "\N{MINUS SIGN}1,234", "0.5000", "1000"]


def test_a_page_leaves_out_what_is_empty_but_its_title() -> None:
    sections = [Section("A", [""], level=1), Section("B", ["", "b"]), Section("C", [])]
    assert compose_page([*sections, Section("", ["d"])]) == "# A\n\n## B\n\nb\n\nd\n"


def test_numbers_and_text_are_escaped_in_each_format() -> None:
    cell = TableCell("<0.001", 0.0001, strong=True, bounds="[0, 1]", mark=DAGGER)
    table = make_table(["a_b", "p"], [[text_cell("x|y"), cell]], total=[text_cell("*"), cell])
    number = r"**&lt;0.001**† \[0, 1\]"
    assert to_markdown(table).splitlines() == [
        r"| a\_b | p |",
        "| --- | ---: |",
        rf"| x\|y | {number} |",
        rf"| *\** | {number} |",
    ]
    latex = to_latex(table, "", "", "t").splitlines()
    assert r"    x\textbar{}y & \textbf{\textless{}0.001}$^\dagger$ \\" in latex
    assert r"     & {\scriptsize [0, 1]} \\" in latex
    assert r"    {*} & \textbf{\textless{}0.001}$^\dagger$ \\" in latex


def test_a_report_loads_nothing_heavy() -> None:
    heavy = ("jax", "seaborn", "scipy", "matplotlib.pyplot", "agents", "envs")
    code = f"import sys, rl_es.analysis.sweep_report; print(sys.modules.keys() & {set(heavy)!r})"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "set()"
