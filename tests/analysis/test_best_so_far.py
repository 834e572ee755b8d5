"""The best so far: where it is asked for, and of what."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from rl_es.analysis.drawing import FigureOptions
from rl_es.analysis.figures import returns as best
from rl_es.analysis.figures.catalogue import KINDS, OPTIONAL
from rl_es.analysis.results import ResultTables, load_results
from rl_es.errors import UserError
from rl_es.results import text_files
from rl_es.results.figure_settings import OptionalFigure
from tests.looks import misplaced, named, texts, titles

Make = Callable[..., Path]
FALLING = np.array([5, 3, 4, 9, 8, 7, np.nan, 2, 10, 1, 0.0])
RISEN = [5, 5, 5, 9, 9, 9, 9, 10, 10, 10]  # without the one that is not finite


def ask(folder: Path, *figures: str) -> Path:
    manifest = {"sweep": {"name": "demo", "figures": figures}, "starts": []}
    text_files.write_json(folder / "manifest.json", manifest)
    return folder


def test_drawn_only_where_it_is_asked_for(results: Make) -> None:
    folder, reported = results(["a", "b"]), KINDS["best_so_far"].in_report
    assert not reported(load_results(folder)) and not reported(load_results(ask(folder)))
    text_files.write_json(
        folder / "manifest.json", {"sweep": {"name": "demo"}}
    )  # of an earlier version
    assert not reported(load_results(folder))
    assert reported(load_results(ask(folder, "best_so_far")))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"sweep": 1}'])
def test_a_damaged_manifest_is_named(results: Make, text: str) -> None:
    folder = results(["a"])
    (folder / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="not a readable manifest"):
        load_results(folder)


def test_what_a_sweep_may_ask_for_is_what_a_report_draws() -> None:
    assert set(get_args(OptionalFigure)) == set(OPTIONAL) <= set(KINDS)


@pytest.mark.parametrize(
    ("returns", "expected", "name", "scale"),
    [
        (FALLING, RISEN, "best return so far", "linear"),
        (FALLING - 11, [11 - value for value in RISEN], "lowest loss so far", "log"),
    ],
)
def test_the_best_of_each_seed_up_to_there(
    results: Make, returns: np.ndarray, expected: list[float], name: str, scale: str
) -> None:
    folder = results(["e"], ["pes"], 1, returns=returns, threshold=-20.0)
    figure = best.draw_best_so_far(load_results(folder), FigureOptions(replicates=50))
    (axes,) = figure.axes
    np.testing.assert_allclose(named(axes)["pes"].get_ydata(), expected)
    assert axes.get_ylabel() == name and axes.get_yscale() == scale and titles(figure) == ["e"]
    assert "each one's best evaluation so far" in texts(figure) and not misplaced(figure)
    low, high = axes.get_ylim()
    assert low < (20 if scale == "log" else -20) < high


def test_the_line_is_the_mean_of_the_seeds_bests(results: Make, add_run: Callable) -> None:
    folder = results(["e"], ["pes"], 0)
    curves = [np.random.default_rng(seed).normal(size=11) for seed in range(3)]
    for place, curve in enumerate(curves):
        add_run(folder, "e", "pes", 0, sweep=f"s{place}", returns=curve)
    found = load_results(folder)  # which names runs of other sweeps apart
    curves_of_all, runs = (table.assign(label="pes") for table in (found.curves, found.runs))
    styles = {"pes": next(iter(found.styles.values()))}
    expected = np.mean([np.maximum.accumulate(curve) for curve in curves], axis=0)
    figure = best.draw_best_so_far(
        ResultTables(curves_of_all, runs, styles), FigureOptions(replicates=50)
    )
    np.testing.assert_allclose(named(figure.axes[0])["pes"].get_ydata(), expected)
