"""The objective as a heat map, and the ways of the centers over it."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from rl_es.analysis.drawing import DEFAULT_OPTIONS, layout
from rl_es.analysis.figures import surface
from rl_es.analysis.results import load_results
from rl_es.results import surfaces
from tests.looks import legend, misplaced, texts, titles

Results = Callable[..., Path]
WAYS = [[-4.0 + 0.5 * place, 3.0] for place in range(11)]


def bowl(first: float, second: float) -> float:
    """A return whose best point is (1, -2); always below zero."""
    return -1.0 - (first - 1) ** 2 - (second + 2) ** 2


def write(folder: Path, env: str, function: Callable[[float, float], float] = bowl) -> None:
    """A surface of 9 x 11 points on [-4, 4] x [-5, 5]."""
    rows = []
    for first in range(-4, 5):
        for second in range(-5, 6):
            mean = function(first, second)
            rows.append(dict(first=first, second=second, return_mean=mean, return_std=0.0))
    record = {"env": env, "settings": "x", "points": [9, 11], "episodes": 1}
    surfaces.write(surfaces.path_of(folder, env), rows, record)


def test_a_panel_an_environment_that_has_one(results: Results) -> None:
    folder = results(["a/b", "c"], centers=WAYS)
    assert surface.surface_environments(load_results(folder), DEFAULT_OPTIONS) == []
    write(folder, "a/b")
    write(folder, "gone")
    found = load_results(folder)
    assert surface.surface_environments(found, DEFAULT_OPTIONS) == ["a/b"]
    figure = surface.draw_surface(found.within(["a/b"]), DEFAULT_OPTIONS)
    assert titles(figure) == ["a/b"] and not misplaced(figure)
    assert legend(figure) == ["eggroll", "pes", "start", "best grid point"]
    assert "1 episode at each of 9 x 11 points" in texts(figure)


def drawn(folder: Path) -> tuple:
    """The figure of the only environment, its panel, and the image in it."""
    figure = surface.draw_surface(load_results(folder), DEFAULT_OPTIONS)
    panel = figure.axes[0]
    return figure, panel, panel.images[0]


def test_each_value_stands_at_its_point(results: Results) -> None:
    folder = results(["e"], centers=WAYS)
    write(folder, "e")
    figure, panel, image = drawn(folder)
    assert image.get_extent() == [-4.5, 4.5, -5.5, 5.5]
    shown = np.asarray(image.get_array())  # [second, first], from below
    assert shown.shape == (11, 9) and image.origin == "lower"
    assert shown[5 - 2, 4 + 1] == 1.0 and shown[5 + 5, 4 - 4] == -bowl(-4, 5)
    assert isinstance(image.norm, LogNorm) and image.norm.vmin == 1.0
    star = next(line for line in panel.lines if line.get_marker() == "*")
    assert (*star.get_xdata(), *star.get_ydata()) == (1, -2)
    assert figure.axes[1].get_ylabel() == "loss"


def test_the_first_seeds_way_and_the_ends_of_all(results: Results, add_run: Callable) -> None:
    folder = results(["e"], ["pes"], 1, centers=WAYS)
    other = [[x, -y] for x, y in WAYS]
    add_run(folder, "e", "pes", 3, centers=other)
    write(folder, "e")
    _, panel, _ = drawn(folder)
    ways = [line for line in panel.lines if len(line.get_xdata()) == 11]
    assert len(ways) == 2  # one, and the white below it
    for way in ways:
        np.testing.assert_array_equal(np.column_stack(way.get_data()), WAYS)
    ends = [(*p.get_xdata(), *p.get_ydata()) for p in panel.lines if p.get_marker() == "D"]
    assert ends == [(1.0, 3.0), (1.0, -3.0)]
    starts = [(*p.get_xdata(), *p.get_ydata()) for p in panel.lines if p.get_marker() == "o"]
    assert set(starts) == {(-4.0, 3.0), (-4.0, -3.0)}


@pytest.mark.parametrize(
    ("function", "log", "label"),
    [
        (lambda first, second: -first * second, False, "minus the return"),
        (lambda first, second: -abs(first), False, "loss"),
        (lambda first, second: 5.0, False, "minus the return"),
        (lambda first, second: None, False, "loss"),
        (lambda first, second: -1.0 if first else None, False, "loss"),
    ],
)
def test_any_surface_can_be_drawn(
    results: Results, function: Callable, log: bool, label: str
) -> None:
    folder = results(["e"])  # without centers
    write(folder, "e", function)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, _, image = drawn(folder)
        layout.encode_figure(figure, "png")
    assert isinstance(image.norm, LogNorm) == log and figure.axes[1].get_ylabel() == label
    assert ("not finite" in texts(figure)) == (function(0, 0) is None)


def test_colours_reach_twice_as_far_as_the_start_lies(results: Results) -> None:
    folder = results(["e"], centers=WAYS, returns=np.linspace(-6.0, -1.0, 11))
    write(folder, "e")
    _, _, image = drawn(folder)
    assert (image.norm.vmin, image.norm.vmax) == (1.0, 36.0)  # 6 is halfway on a logarithmic axis
    assert image.colorbar.extend == "max"


def test_a_few_points_far_off_do_not_take_the_colours(results: Results) -> None:
    folder = results(["e"])
    write(
        folder,
        "e",
        lambda first, second: -1e30 if (first, second) == (4, 5) else bowl(first, second),
    )
    _, _, image = drawn(folder)
    assert image.norm.vmax < 1e3 and image.colorbar.extend == "max"


def test_the_same_bytes_twice(results: Results) -> None:
    folder = results(["e"], centers=WAYS)
    write(folder, "e")
    first, second = (
        layout.encode_figure(surface.draw_surface(load_results(folder), DEFAULT_OPTIONS), "svg")
        for _ in range(2)
    )
    assert first == second and b"dc:date" not in first
