"""Success rates: which seeds count, when, and what is drawn of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_es.analysis import sweep_tables
from rl_es.analysis.curves import Curve, last_values, success_curve
from rl_es.analysis.drawing import FigureOptions
from rl_es.analysis.figures.returns import draw_success, threshold_environments
from rl_es.analysis.results import load_results
from rl_es.analysis.statistics.intervals import wilson
from rl_es.results import tables
from tests.looks import legend, misplaced, texts, titles

Results = Callable[..., Path]
HALF = np.array([0, 0, 60, 60, 40, 60, 0, 60, 60, 60, 60.0])  # beside a threshold of 50


def rates(folder: Path) -> tuple[np.ndarray, np.ndarray, int]:
    grid, share = success_curve(*tables.load_tables(folder))
    return grid, share.estimate, share.n


def test_the_share_follows_the_last_evaluation(results: Results, add_run: Callable) -> None:
    folder = results(["e"], ["pes"], 0)
    for seed, curve in enumerate((HALF, np.zeros(11), np.full(11, 50.0), np.full(11, np.nan))):
        # Seeds of equal steps, as `write_run` spaces them by seed.
        add_run(folder, "e", "pes", 0, sweep=f"s{seed}", returns=curve, threshold=50.0)
    grid, share, n = rates(folder)
    np.testing.assert_array_equal(grid, np.arange(11) * 1000)
    assert n == 4
    np.testing.assert_array_equal(4 * share, 1 + (HALF >= 50))


def test_between_evaluations_the_last_one_holds(results: Results, add_run: Callable) -> None:
    folder = results(["e"], ["pes"], 0)
    for seed in (0, 10):  # every 1,000 and every 1,070 steps
        rising = np.where(np.arange(11) >= 5, 100.0, 0.0)
        add_run(folder, "e", "pes", seed, returns=rising, threshold=50.0)
    grid, share, _ = rates(folder)
    assert set(share) == {0.0, 0.5, 1.0}
    np.testing.assert_array_equal(share == 0, grid < 5000)
    np.testing.assert_array_equal(share == 1, grid >= 5350)


def test_a_run_that_diverged_is_no_success_from_then_on(results: Results) -> None:
    ends = {("e", "pes", 0): "diverged", ("e", "pes", 1): "failed"}
    folder = results(["e"], ["pes"], 3, ends=ends, returns=np.full(11, 60.0), threshold=50.0)
    _, share, n = rates(folder)
    assert n == 2 and share[0] == 1.0 and share[-1] == 0.5


def test_the_summary_has_the_final_share(results: Results) -> None:
    ends = {("e", "pes", 0): "diverged", ("e", "pes", 1): "failed", ("e", "pes", 2): "running"}
    returns = np.linspace(0, 100, 11)  # a running one has come to 50
    folder = results(["e", "f"], ["pes"], 6, ends=ends, returns=returns, threshold=50.0)
    overview = sweep_tables.summarise(*tables.load_tables(folder), replicates=10).set_index("env")
    row, interval = overview.loc["e"], wilson(np.array(4), 5)
    assert row.success_rate == 0.8 and row.success_low == interval.low
    assert row.success_high == interval.high and overview.loc["f"].success_rate == 1.0


def test_without_a_threshold_there_is_no_rate(results: Results) -> None:
    overview = sweep_tables.summarise(*tables.load_tables(results()), replicates=10)
    assert overview[["success_rate", "success_low", "success_high"]].isna().all(axis=None)


def test_a_row_an_environment_that_has_a_threshold(results: Results, add_run: Callable) -> None:
    folder = results(["a", "b"], threshold=50.0)
    add_run(folder, "c", "pes", 0)
    content = load_results(folder)
    assert threshold_environments(content, FigureOptions()) == ["a", "b"]
    figure = draw_success(content.within(["a", "b"]), FigureOptions(replicates=50))
    assert titles(figure) == ["a", "a", "b", "b"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["return", "success rate"] * 2
    assert legend(figure) == ["eggroll", "pes", "threshold"]
    assert "Wilson score interval" in texts(figure) and "bootstrap interval" in texts(figure)
    assert not misplaced(figure)
    rate = figure.axes[1].lines[0]
    curves, runs = content.curves, content.runs
    label_runs = runs[(runs.env == "a") & (runs.label == "eggroll")]
    _, share = success_curve(curves, label_runs)
    np.testing.assert_array_equal(np.asarray(rate.get_ydata(), float), share.estimate)


@pytest.mark.parametrize("status", ["failed", "diverged", "running"])
def test_any_state_can_be_drawn(results: Results, status: str) -> None:
    folder = results(["e"], ["pes"], 1, ends={("e", "pes", 0): status}, threshold=50.0)
    draw_success(load_results(folder), FigureOptions(replicates=10))


def test_held() -> None:
    curve = Curve(0, "finished", np.array([1.0, 3.0]), np.array([5.0, 7.0]))
    content = last_values(curve, np.array([0.0, 1.0, 2.9, 3.0, 9.0]))
    np.testing.assert_array_equal(content, [np.nan, 5, 5, 7, 7])


@pytest.mark.parametrize(("smallest", "name"), [(-1.0, "return"), (-1e-9, "loss")])
def test_losses_over_decades_are_on_a_logarithmic_axis(
    results: Results, smallest: float, name: str
) -> None:
    returns = np.linspace(-8.0, smallest, 11)
    figure = draw_success(
        load_results(results(["e"], returns=returns, threshold=-3.0)), FigureOptions(replicates=50)
    )
    left, right = figure.axes
    assert left.get_ylabel() == name and right.get_ylabel() == "success rate"
    assert left.get_yscale() == ("log" if name == "loss" else "linear")
