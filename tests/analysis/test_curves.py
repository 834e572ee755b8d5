"""Alignment of seeds on one grid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis import curves
from rl_es.analysis.curves import Curve, align
from rl_es.results import tables


def line(x: list[float], slope: float, status: str = "finished") -> Curve:
    along = np.array(x, float)
    return Curve(0, status, along, slope * along)


def test_shared_points_are_the_grid() -> None:
    grid, returns = align([line([0, 1, 5], 1.0), line([0, 1, 5], 3.0)])
    np.testing.assert_array_equal(grid, [0, 1, 5])
    np.testing.assert_array_equal(returns, [[0, 1, 5], [0, 3, 15]])


def test_only_the_common_range_and_straight_lines_between() -> None:
    grid, returns = align([line([0, 4, 10], 1.0), line([1, 6, 12], 2.0)])
    assert (grid[0], grid[-1]) == (1.0, 10.0)
    np.testing.assert_allclose(returns, [grid, 2 * grid])


def test_a_longer_seed_is_cut_without_interpolation() -> None:
    grid, returns = align([line([0, 1, 2, 3], 1.0), line([0, 1], 1.0)])
    np.testing.assert_array_equal(grid, [0, 1])
    assert returns.shape == (2, 2)


def test_no_common_range_no_points() -> None:
    assert align([line([0, 1], 1.0), line([2, 3], 1.0)])[0].size == 0
    assert align([])[0].size == 0
    grid, returns = align([line([0, 1], 1.0), line([1, 2], 1.0)])
    assert grid.size and (grid == 1).all() and returns.shape == (2, grid.size)


def test_long_curves_are_thinned() -> None:
    long = [float(x) for x in range(5_000)]
    grid, returns = align([line(long, 1.0)])
    assert grid.size == curves.MAX_GRID_POINTS
    np.testing.assert_allclose(returns[0], grid)


def test_lost_runs_do_not_count() -> None:
    status = ("finished", "running", "diverged", "failed")
    run_curves = curves.counted_curves([line([0], 1.0, name) for name in status])
    assert [curve.status for curve in run_curves] == ["finished", "running"]


def test_what_is_not_finite_is_no_evaluation(results: Callable[..., Path]) -> None:
    table, runs = tables.load_tables(results(envs=["e"], labels=["pes"], seeds=2))
    table.loc[3, "return_mean"] = np.nan
    table.loc[4, "return_mean"] = np.inf
    first, second = curves.curves_of_runs(table, runs, table["env_steps"])
    assert len(first.x) == 9 and len(second.x) == 11
    table.loc[runs.index, "return_mean"] = np.nan
    table["return_mean"] = np.nan
    assert curves.curves_of_runs(table, runs, table["env_steps"]) == []


def test_seconds_are_shared_by_lanes() -> None:
    rows = pd.DataFrame({"wall_seconds": [10.0, 10.0, 10.0], "lanes": [1, 5, None]})
    np.testing.assert_array_equal(curves.per_run_seconds(rows), [10, 2, 10])


def test_the_final_return_of_an_unfinished_run_is_its_last(results: Callable[..., Path]) -> None:
    folder = results(envs=["e"], labels=["pes"], seeds=2, ends={("e", "pes", 1): "running"})
    table, runs = tables.load_tables(folder)
    final = curves.final_returns(table, runs)
    assert final[0] == runs.final_return[0]
    assert final[1] == table[table.seed == 1].return_mean.iloc[-1]
