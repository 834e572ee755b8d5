"""What a run writes of an evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es.interfaces import Snapshot
from rl_es.results import tables
from rl_es.sweep.cells import expand_cells
from rl_es.sweep.runs import ActiveRun, GroupRecord
from rl_es.sweep.store import Store
from tests.running import sweep_of

BASE = """
name: toy
seeds: 1
defaults: {budget: {generations: 4}}
environments: [Toy-v0]
agents: [plain]
"""


@pytest.fixture
def lane(toys: None, tmp_path: Path) -> ActiveRun:
    """A run before its first evaluation, that keeps no policy."""
    return ActiveRun(
        expand_cells(sweep_of(BASE))[0], Store(tmp_path), GroupRecord(1, 0.0, 1, first_seed=-1)
    )


def center(lane: ActiveRun, params: Any) -> Any:
    lane.add_evaluation(np.ones(2), Snapshot(params))
    return lane.rows[-1]["center"]


def test_the_center_is_flat_in_the_trees_order(lane: ActiveRun) -> None:
    params = {"b": np.float32([[3, 4], [5, 6]]), "a": np.float32([1, 0.1])}
    parameters = center(lane, params)
    assert parameters == [1, float(np.float32(0.1)), 3, 4, 5, 6]
    (row,), _ = tables.read_cell(lane.store.cell_path(lane.cell))
    assert row["center"] == parameters


def test_many_parameters_are_not_written(lane: ActiveRun) -> None:
    most = np.ones(tables.MOST_CENTER, np.float32)
    assert len(center(lane, {"a": most})) == tables.MOST_CENTER
    assert center(lane, {"a": most, "b": np.ones(1, np.float32)}) is None


def test_parameters_that_are_not_finite_are_not_written(lane: ActiveRun) -> None:
    assert center(lane, {"a": np.float32([1, np.inf])}) is None


def test_a_policy_that_is_not_finite_ends_its_run_whatever_its_returns(lane: ActiveRun) -> None:
    """An argmax of outputs that are no numbers is an action, and may even be a good one."""
    lane.add_evaluation(np.zeros(2), Snapshot({"a": np.zeros(1, np.float32)}))
    lane.progress.generation = 3
    lane.add_evaluation(np.full(2, 1e3), Snapshot({"a": np.float32([np.nan])}))
    rows, record = tables.read_cell(lane.store.cell_path(lane.cell))
    assert record["status"] == "diverged"
    assert record["reason"] == "the policy after generation 3 is not finite"
    assert [row["return_mean"] for row in rows] == [0, None] and record["best_return"] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_return_that_is_not_finite_ends_its_run(lane: ActiveRun, value: float) -> None:
    lane.add_evaluation(np.float64([1, value]), Snapshot({"a": np.zeros(1, np.float32)}))
    (row,), record = tables.read_cell(lane.store.cell_path(lane.cell))
    assert record["status"] == "diverged" and "a return after generation 0" in record["reason"]
    assert row["return_mean"] is None and row["return_std"] is None


def test_a_curve_goes_on_after_rows_that_have_no_center(lane: ActiveRun) -> None:
    center(lane, {"a": np.ones(1, np.float32)})
    rows, _ = tables.read_cell(lane.store.cell_path(lane.cell))
    lane.rows.clear()
    lane._restore_rows([{name: row[name] for name in row if name != "center"} for row in rows])
    center(lane, {"a": np.zeros(1, np.float32)})
    assert [row["center"] for row in lane.rows] == [None, [0.0]]
