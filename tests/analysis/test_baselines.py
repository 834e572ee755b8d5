"""Returns of other methods, which a sweep states: lines with names, near the runs' returns."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from rl_es.analysis import adaptation, merge
from rl_es.analysis.drawing import FigureOptions, paper_style
from rl_es.analysis.figures import returns, settings
from rl_es.analysis.results import ResultTables, load_results
from rl_es.results.figure_settings import FigureSettings
from rl_es.results.text_files import write_json
from tests.analysis.conftest import write_run
from tests.looks import misplaced, texts

FEW = FigureOptions(replicates=50)
NAMES = {"unigram": -4.4, "bigram": -3.5, "trigram": -2.85, "gzip": -2.93, "optimum": 40.0}
DRAWN = ["bigram", "gzip", "trigram", "unigram"]
DRAW = [returns.draw_learning_curves, returns.draw_final_returns, settings.draw_ablation]
AUSTEN = json.dumps({"name": "text/austen"})


def _results(folder: Path, baselines: dict[str, float] = NAMES, env: str = "text") -> ResultTables:
    """Loads a ladder of populations whose final returns are -5.5, -4.5 and -3.5."""
    for number, population in enumerate((2, 16, 64)):
        for seed in range(3):
            curve = np.linspace(-6.5, number - 5.5, 11) + 0.01 * seed
            changes = dict(returns=curve, hyper={"population": population}, environment=AUSTEN)
            write_run(folder, env, f"population {population}", seed, agent="egg", **changes)
    content = {"sweep": {"name": folder.name}, "baselines": {env: baselines}}
    write_json(folder / "manifest.json", content)
    return load_results(folder)


def _names(panel: Axes) -> dict[str, Annotation]:
    return {text.get_text(): text for text in panel.texts if isinstance(text, Annotation)}


def _lines(panel: Axes, across: bool) -> list[float]:
    """The returns at which a panel has lines from edge to edge."""
    lines = [line for line in panel.lines if line.get_transform() != panel.transData]
    data = [np.asarray(line.get_xdata() if across else line.get_ydata()) for line in lines]
    return sorted(float(values[0]) for values in data)


@pytest.mark.parametrize("draw", DRAW)
def test_near_ones_are_lines_with_names(draw: Callable[..., Figure], tmp_path: Path) -> None:
    figure = draw(_results(tmp_path), FEW)
    panel, across = figure.axes[0], draw is returns.draw_final_returns
    assert _lines(panel, across) == sorted(NAMES[name] for name in DRAWN)
    assert sorted(_names(panel)) == DRAWN
    low, high = panel.get_xlim() if across else panel.get_ylim()
    assert low < -5.6 and -2.85 < high < 1
    assert "far from the returns: optimum (40)." in texts(figure)
    if draw is settings.draw_ablation:
        assert not _names(figure.axes[1]), "seconds have no baselines"


@pytest.mark.parametrize("draw", DRAW)
def test_no_name_lies_on_another(draw: Callable[..., Figure], tmp_path: Path) -> None:
    close = {f"n{order}": -3.0 - 0.02 * order for order in range(5)}
    figure = draw(_results(tmp_path, close), FEW)
    with paper_style():
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in _names(figure.axes[0]).values()]
        frame = figure.axes[0].get_window_extent()
    assert len(boxes) == 5
    for first, second in combinations(boxes, 2):
        assert not first.padded(-1).overlaps(second.padded(-1))
    assert all(frame.x0 < box.x0 and box.x1 < frame.x1 + 1 for box in boxes)
    assert all(frame.y0 < box.y0 and box.y1 < frame.y1 + 1 for box in boxes)
    assert misplaced(figure) == []


def test_a_name_stands_beside_a_curve(tmp_path: Path) -> None:
    """The highest curve ends 0.1 above the line, where the name would be."""
    figure = returns.draw_learning_curves(_results(tmp_path, {"bigram": -3.6}), FEW)
    (name,) = _names(figure.axes[0]).values()
    with paper_style():
        figure.draw_without_rendering()
        box = name.get_window_extent().transformed(figure.axes[0].transData.inverted())
    for line in figure.axes[0].lines[:3]:
        x, y = (np.asarray(data, float) for data in line.get_data())
        inside = (box.x0 < x) & (x < box.x1) & (box.y0 < y) & (y < box.y1)
        assert not inside.any()


def test_names_stand_above_bars(tmp_path: Path) -> None:
    figure = returns.draw_final_returns(_results(tmp_path), FEW)
    panel = figure.axes[0]
    with paper_style():
        figure.draw_without_rendering()
        bars = max(bar.get_window_extent().y1 for bar in panel.patches)
        assert all(text.get_window_extent().y0 > bars - 1 for text in _names(panel).values())


def test_without_baselines_nothing_is_said(tmp_path: Path) -> None:
    figure = returns.draw_learning_curves(_results(tmp_path, {}), FEW)
    assert not _names(figure.axes[0]) and "aseline" not in texts(figure)


def test_they_follow_a_renamed_environment(tmp_path: Path) -> None:
    results = _results(tmp_path)
    adapted = adaptation.adapt_results(results, FigureSettings(rename={"text": "Austen"}))
    assert adapted.baselines == {"Austen": NAMES}


def test_a_merged_folder_has_those_of_all(tmp_path: Path) -> None:
    _results(tmp_path / "a", {"unigram": -4.4, "bigram": -3.5})
    write_run(tmp_path / "b", "text", "adam", 0, agent="bptt")
    content = {"sweep": {"name": "b"}, "baselines": {"text": {"gzip": -2.9}}}
    write_json(tmp_path / "b" / "manifest.json", content)
    merge.merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "both")
    write_run(tmp_path / "c", "other", "adam", 0, agent="bptt")
    merge.merge_folders([tmp_path / "both", tmp_path / "c"], tmp_path / "all")
    expected = {"text": {"unigram": -4.4, "bigram": -3.5, "gzip": -2.9}}
    assert load_results(tmp_path / "all").baselines == expected


def test_axes_say_what_a_return_measures(tmp_path: Path) -> None:
    results = _results(tmp_path)
    label = "log2-likelihood (bits/byte)"
    curves, bars, ablation = (draw(results, FEW).axes[0] for draw in DRAW)
    assert " ".join(curves.get_ylabel().split()) == label
    assert " ".join(bars.get_xlabel().split()) == f"final {label}"
    assert " ".join(ablation.get_ylabel().split()) == f"final {label}"
    for name in ("CartPole-v1", "unknown", "some/file.py:Env"):
        runs = results.runs.assign(environment=json.dumps({"name": name}))
        assert replace(results, runs=runs).return_label("text") == "return"


def test_two_quantities_are_named_panel_by_panel(tmp_path: Path) -> None:
    write_run(tmp_path, "cartpole", "population 2", 0, agent="egg")
    figure = returns.draw_learning_curves(_results(tmp_path), FEW)
    labels = [" ".join(panel.get_ylabel().split()) for panel in figure.axes]
    assert labels == ["return", "log2-likelihood (bits/byte)"]
