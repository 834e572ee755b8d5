"""Parameters and loss against generations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es.analysis.curves import center_path, count_center_scalars
from rl_es.analysis.drawing import DEFAULT_OPTIONS, layout
from rl_es.analysis.figures import settings
from rl_es.analysis.results import load_results
from rl_es.results import tables
from tests.looks import legend, misplaced, named, texts, titles

Results = Callable[..., Path]
LOSSES = {"returns": -np.logspace(2, -12, 11)}


def ways(count: int, scale: float = 1.0) -> list[list[float]]:
    """[11] centers of so many scalars, from zero to `scale` times 10, 20, ..."""
    return [[scale * place * (i + 1) for i in range(count)] for place in range(11)]


def test_a_panel_a_parameter_and_one_for_the_loss(results: Results) -> None:
    folder = results(["a"], centers=ways(2), **LOSSES)
    results(["b"], centers=ways(1))
    found = load_results(folder)
    assert settings.parameter_environments(found, DEFAULT_OPTIONS) == ["a", "b"]
    figure = settings.draw_parameters(found, DEFAULT_OPTIONS)
    assert titles(figure) == ["a", "a", "a", "b"]
    names = [axes.get_ylabel() for axes in figure.axes]
    assert names == ["parameter 1", "parameter 2", "loss", "parameter"]
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "log", "linear"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"generation"}
    assert legend(figure) == ["eggroll", "pes"] and not misplaced(figure)
    ticks = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert "10⁻⁷" in ticks and "median over seeds" in texts(figure)


def test_the_thick_line_is_the_median_and_each_seed_is_there(
    results: Results, add_run: Callable
) -> None:
    folder = results(["e"], ["pes"], 0)
    for seed, scale in enumerate((1.0, 2.0, 30.0)):
        add_run(folder, "e", "pes", seed, centers=ways(1, scale), **LOSSES)
    first, loss = settings.draw_parameters(load_results(folder), DEFAULT_OPTIONS).axes
    np.testing.assert_allclose(named(first)["pes"].get_ydata(), np.arange(11) * 2.0)
    assert len(first.lines) == len(loss.lines) == 4
    np.testing.assert_array_equal(first.lines[0].get_xdata(), np.arange(11) * 10)
    np.testing.assert_allclose(loss.lines[0].get_ydata(), -LOSSES["returns"])


def test_one_run_far_off_does_not_hide_the_others(results: Results, add_run: Callable) -> None:
    folder = results(["e"], ["pes"], 2, centers=ways(1))
    add_run(folder, "e", "pes", 5, centers=ways(1, 9.0))
    figure = settings.draw_parameters(load_results(folder), DEFAULT_OPTIONS)
    assert figure.axes[0].get_ylim()[1] > 90 and "ends there" not in texts(figure)
    add_run(folder, "e", "nres", 5, centers=ways(1, -1e6))
    figure = settings.draw_parameters(load_results(folder), DEFAULT_OPTIONS)
    low, high = figure.axes[0].get_ylim()
    assert -60 < low < -40 and 40 <= high < 60 and "leaves its panel ends there" in texts(figure)
    gone = named(figure.axes[0])["nres"]
    np.testing.assert_array_equal(gone.get_ydata(), [0, -1e6])


def test_a_loss_of_zero_is_below_the_panel(results: Results) -> None:
    returns = np.array([-1.0, -1e-3, -1e-6, *np.zeros(8)])
    folder = results(["e"], centers=ways(1), returns=returns)
    figure = settings.draw_parameters(load_results(folder), DEFAULT_OPTIONS)
    low, high = figure.axes[1].get_ylim()
    assert 0 < low <= 1e-6 and high >= 1
    layout.encode_figure(figure, "png")


def test_a_lost_run_ends_in_a_cross_and_is_named(results: Results) -> None:
    ends = {("e", "pes", 0): "diverged"}
    folder = results(["e"], ["pes"], 3, ends=ends, centers=ways(1), **LOSSES)
    figure = settings.draw_parameters(load_results(folder), DEFAULT_OPTIONS)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert len(crosses) == 1 and list(crosses[0].get_xdata()) == [30]
    assert "crosses" in texts(figure) and "Not in the medians: pes on e, seed 0" in texts(figure)


def test_thresholds_stand_in_the_loss_only(results: Results) -> None:
    folder = results(["e"], ["pes"], 1, centers=ways(1), threshold=-1e-14, **LOSSES)
    first, loss = settings.draw_parameters(load_results(folder), DEFAULT_OPTIONS).axes
    assert loss.get_ylim()[0] < 1e-14
    assert len(first.lines) + 1 == len(loss.lines)


@pytest.mark.parametrize("count", [0, 5, 64])
def test_no_center_or_a_long_one_is_not_drawn(results: Results, count: int) -> None:
    changes: dict[str, Any] = {"centers": ways(count)} if count else {}
    assert settings.parameter_environments(load_results(results(**changes)), DEFAULT_OPTIONS) == []


def test_scalars() -> None:
    def rows(*found: list[float] | None) -> Any:
        import pandas as pd

        return pd.DataFrame({"center": pd.Series(found, dtype=object)})

    assert count_center_scalars(rows([1.0, 2.0], None, [3.0, 4.0])) == 2
    assert count_center_scalars(rows(None)) == count_center_scalars(rows([1.0], [1.0, 2.0])) == 0


def test_the_same_bytes_twice(results: Results) -> None:
    found = load_results(results(["e"], centers=ways(2), **LOSSES))
    first, second = (
        layout.encode_figure(settings.draw_parameters(found, DEFAULT_OPTIONS), "svg")
        for _ in range(2)
    )
    assert first == second and b"dc:date" not in first


def test_a_path_is_in_order(results: Results) -> None:
    curves, runs = tables.load_tables(results(["e"], ["pes"], 1, centers=ways(2)))
    shuffled = curves.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(center_path(shuffled, runs.run_id[0]), ways(2))
