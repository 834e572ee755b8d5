"""Sweeps in which simulations break down: what is counted, what is said, how runs end."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rl_es import gradients
from rl_es.analysis import sweep_tables
from rl_es.results import manifest, tables
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.queue import make_group_training
from rl_es.sweep.store import RunProgress, Store, cell_identity
from tests.running import Said, ran, sweep_of

TEXT = """
name: breaking
seeds: 2
defaults:
  budget: {generations: 40}
  evaluation: {points: 4, episodes: 2}
  policy: {network: parameters}
environments: [Breaking-v0]
agents:
  - {name: open_es, with: {population: 16, lr: 0.1}}
  - {name: pes, with: {population: 16, window: 1, lr: 0.1}}
"""
pytestmark = pytest.mark.usefixtures("drifts")
make_sweep = partial(sweep_of, TEXT)


def results(folder: Path, *assignments: str) -> tuple[Any, Any, list[str]]:
    """The tables of a run that no cell failed in, and the notes."""
    reports = Said()
    return *tables.load_tables(ran(folder, make_sweep(*assignments), reports)), reports.notes


def test_runs_go_on_and_say_what_broke_down(tmp_path: Path) -> None:
    curves, runs, notes = results(tmp_path)
    assert (runs.status == "finished").all()
    counts = curves.groupby("run_id").nonfinite_members
    assert counts.first().notna().all() and counts.apply(lambda n: n.isna().sum()).eq(1).all()
    assert (curves.nonfinite_members.isna() == (curves.generation == 0)).all()
    assert counts.apply(lambda n: n.dropna().is_monotonic_increasing).all()
    assert (counts.first() >= 8).all()  # one of each pair, in the first generation
    totals = runs.set_index("run_id").nonfinite_members
    pd.testing.assert_series_equal(counts.last(), totals, check_dtype=False)
    assert (runs.final_return > -0.5).all()
    of_pes = int(runs[runs.label == "pes"].nonfinite_members.sum())
    assert len(notes) == 2 and notes[1] == (
        f"Breaking-v0 / pes: {of_pes:,} times a member's return was not finite and counted as the "
        "worst of its generation (seeds 0, 1)"
    )
    reports = sweep_tables.description_text(runs, manifest.read_sweep_manifest(tmp_path))[
        "Returns not finite"
    ]
    assert f"pes on Breaking-v0: {of_pes:,} members in 2 runs" in reports


def test_the_count_goes_on_with_the_run(tmp_path: Path) -> None:
    totals = results(tmp_path / "whole")[1]
    results(tmp_path / "parts", "budget.generations=10", "defaults.evaluation.points=1")
    parts = results(tmp_path / "parts")[1]
    assert list(parts.nonfinite_members) == list(totals.nonfinite_members)


def test_where_everything_breaks_down_the_run_ends_with_its_curve(tmp_path: Path) -> None:
    curves, runs, notes = results(tmp_path, "environments.0.options={edge: 1e9}")
    assert (runs.status == "diverged").all() and not notes
    assert set(runs.reason) == {"a return after generation 0 is not finite"}
    assert list(curves.generation) == [0] * 4 and curves.return_mean.isna().all()


def test_a_run_that_steps_over_the_edge_ends_with_its_curve(tmp_path: Path) -> None:
    """From above the edge a large step leads below it, where the evaluation breaks down."""
    curves, runs, _ = results(
        tmp_path,
        "environments.0.options={edge: -0.5}",
        "agents=[{name: open_es, with: {population: 16, lr: 100, weight_decay: 0}}]",
    )
    assert set(runs.status) == {"diverged"} and runs.reason.str.contains("is not finite").all()
    assert curves.groupby("seed").generation.max().gt(0).all()
    assert (curves[curves.generation == 0].return_mean == -8).all()
    assert curves.groupby("seed").return_mean.last().notna().all()  # what was known before


def test_runs_of_before_it_was_counted_are_kept(tmp_path: Path) -> None:
    """They have no count; with a new label their files are written again."""
    sweep = make_sweep("budget.generations=1", "seeds=1", "agents=[{name: pes, with: {window: 1}}]")
    ran(tmp_path, sweep)
    (cell,), store = expand_cells(sweep), Store(tmp_path)
    rows, record = store.read(cell)
    old = {name: value for name, value in record.items() if name != "nonfinite_members"}
    assert RunProgress.from_record(old).nonfinite_members is None
    tables.write_cell(store.cell_path(cell), {**cell_identity(cell), "label": "x"}, {}, rows, old)
    store.refresh(cell)
    _, runs = tables.load_tables(tmp_path)
    assert list(runs.label) == ["pes"] and runs.nonfinite_members.isna().all()


def test_a_gradient_that_a_broken_member_is_in_is_not_estimated() -> None:
    """What stands for its return has no expectation that estimates could be compared with."""
    (group,) = group_cells(
        expand_cells(make_sweep("agents=[{name: pes, with: {window: 1, population: 16}}]"))
    )
    learner = make_group_training(group).learner
    row = gradients.measure_estimates(group.cells[0], gradients.sampler(group.cells[0], learner))
    assert np.isnan(row["mean"]).all() and row["env_steps"] > 0
