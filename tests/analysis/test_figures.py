"""Figures of returns: complete, alike, honest about what is missing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from rl_es import registry
from rl_es.analysis.drawing import FigureOptions, layout, wrap_text
from rl_es.analysis.figures import returns
from rl_es.analysis.formatting import format_tick
from rl_es.analysis.results import load_results
from rl_es.errors import UserError
from rl_es.results.text_files import write_json
from tests.analysis.conftest import write_run
from tests.looks import legend, texts

Results = Callable[..., Path]
ALL = [returns.draw_learning_curves, returns.draw_final_returns, returns.draw_over_time]
FEW: dict[str, Any] = {"options": FigureOptions(replicates=200)}


@pytest.mark.parametrize("draw", ALL)
def test_a_panel_an_environment_and_every_agent_named(
    results: Results, draw: Callable[..., Figure]
) -> None:
    figure = draw(load_results(results(envs=["a", "b", "c", "d", "e"])), **FEW)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", "d", "e"]
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    named = ticks if draw is returns.draw_final_returns else legend(figure)
    assert named == ["eggroll", "pes"]
    assert "n = 3 seeds" in texts(figure)
    assert "95% stratified bootstrap interval" in texts(figure)
    assert "200 replicates" in texts(figure)


def test_one_look_a_label_in_all_figures_and_panels(results: Results) -> None:
    loaded = load_results(results(labels=["eggroll", "pes", "eggroll r4"]))
    declared = registry.declarations("STYLE", ["eggroll", "pes"])
    eggroll, pes = (declared[agent].colour.lower() for agent in ("eggroll", "pes"))
    for draw in (returns.draw_learning_curves, returns.draw_over_time):
        for axes in draw(loaded, **FEW).axes:
            colours = {line.get_label(): to_hex(str(line.get_color())) for line in axes.lines}
            assert colours["eggroll"] == eggroll
            assert colours["pes"] == pes
            assert len({colours[name] for name in ("eggroll", "pes", "eggroll r4")}) == 3
    bars = returns.draw_final_returns(loaded, **FEW).axes[0].patches
    assert to_hex(bars[0].get_facecolor()) == eggroll


def test_a_plug_in_is_drawn_in_its_own_style(results: Results) -> None:
    folder = results(envs=["e"], labels=["pes"])
    write_run(folder, "e", "Mine", 0, agent="./mine.py:Mine")
    style = {"colour": "#123456", "line": "long", "marker": "v"}
    content = {"sweep": {"name": "demo"}, "styles": {"./mine.py:Mine": style}}
    write_json(folder / "manifest.json", content)
    (axes,) = returns.draw_learning_curves(load_results(folder), **FEW).axes
    line = next(line for line in axes.lines if line.get_label() == "Mine")
    assert (line.get_color(), line.get_marker()) == ("#123456", "v")
    style["line"] = "--"
    write_json(folder / "manifest.json", content)
    with pytest.raises(UserError, match=r"manifest\.json: .*line must be one of"):
        load_results(folder)


def test_the_line_is_the_mean_over_seeds(results: Results) -> None:
    found = load_results(results(envs=["e"], labels=["pes"]))
    curves = found.curves.assign(env_steps=found.curves["generation"] * 100)
    (axes,) = returns.draw_learning_curves(replace(found, curves=curves), **FEW).axes
    mean = curves.groupby("env_steps")["return_mean"].mean()
    np.testing.assert_array_equal(np.asarray(axes.lines[0].get_xdata()), mean.index)
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata(), float), mean)


@pytest.mark.parametrize("draw", ALL)
def test_what_is_missing_is_said(results: Results, draw: Callable[..., Figure]) -> None:
    ends = {
        ("cartpole", "pes", 0): "failed",
        ("pendulum", "eggroll", 1): "diverged",
        ("pendulum", "pes", 2): "running",
    }
    said = texts(draw(load_results(results(ends=ends)), **FEW))
    assert "pes on cartpole: 2; eggroll on pendulum: 2" in said
    assert "1 running: counted with what it has so far" in said
    assert "pes on cartpole, seed 0 (failed" in said
    assert "eggroll on pendulum, seed 1 (diverged after 3020 steps)" in said


def test_one_seed_has_no_interval(results: Results) -> None:
    figure = returns.draw_learning_curves(load_results(results(seeds=1)), **FEW)
    assert "no interval from a single seed" in texts(figure)
    assert "shaded" not in texts(figure)


@pytest.mark.parametrize("draw", ALL)
def test_thresholds_lie_inside(results: Results, draw: Callable[..., Figure]) -> None:
    figure = draw(load_results(results(threshold=300.0)), **FEW)
    across = draw is returns.draw_final_returns
    for axes in figure.axes:
        assert (axes.get_xlim() if across else axes.get_ylim())[1] > 300
    assert legend(figure)[-1] == "threshold"


def test_shared_time_is_said(results: Results) -> None:
    figure = returns.draw_over_time(load_results(results(lanes=5)), **FEW)
    assert "divided by the runs that ran at once (lanes = 5)" in texts(figure)
    assert max(np.asarray(line.get_xdata()).max() for line in figure.axes[0].lines) == 4.0


def test_names_are_text_not_formulas(results: Results) -> None:
    figure = returns.draw_learning_curves(load_results(results(["$e"], ["_a $x_1$"])), **FEW)
    assert legend(figure) == [" _a $x_1$"]
    assert b"PNG" in layout.encode_figure(figure, "png")[:8]


@pytest.mark.parametrize(
    "number, largest, text",
    [(5e5, 1e6, "0.5M"), (0, 1e6, "0"), (250_000, 9e5, "250k"), (-120, 500, "\N{MINUS SIGN}120"),
     (2.5e9, 3e9, "2.5B"), (0.25, 1, "0.25")],
)  # fmt: skip
def test_numbers_on_axes(number: float, largest: float, text: str) -> None:
    assert format_tick(number, largest) == text


def test_long_names_are_broken_after_a_joint() -> None:
    with layout.paper_style():
        assert wrap_text("MountainCarContinuous-v0", 1.25, 7) == "MountainCarContinuous-\nv0"
        assert wrap_text("MountainCarContinuous-v0", 0.9, 7) == "MountainCar\nContinuous-v0"
        assert wrap_text("two words", 0.4, 7) == "two\nwords"
        assert "".join(wrap_text("x" * 50, 1.0, 7).split("\n")) == "x" * 50
