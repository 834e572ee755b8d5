"""What runs are judged by, and how numbers are written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_es.analysis import curves, formatting, metrics, results
from rl_es.analysis.statistics.intervals import Interval

Make = Callable[..., Path]


def interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(np.float64(estimate), np.float64(low), np.float64(high), n=5)


def test_the_area_under_a_straight_line_is_its_middle():
    curve = curves.Curve(0, "finished", np.array([0.0, 1.0, 4.0]), np.array([0.0, 2.0, 8.0]))
    assert curves.area(curve, 0, 4) == pytest.approx(4)
    assert curves.area(curve, 0.5, 3) == pytest.approx(3.5)
    assert curves.area(curve, 2, 2) == pytest.approx(4)
    assert np.isnan(curves.area(curve, 0, 5))


def test_areas_end_where_all_runs_of_all_folders_have_come(add_run: Make, tmp_path: Path):
    ramp = np.arange(11.0)
    for name, evaluations in (("long", 11), ("short", 6)):
        add_run(tmp_path / name, "e", "a", 0, returns=ramp, evaluations=evaluations)
    folders = [results.load_results(tmp_path / name) for name in ("long", "short")]
    alone, together = metrics.measure_runs(folders[:1], "auc"), metrics.measure_runs(folders, "auc")
    assert alone[0]["value"].tolist() == pytest.approx([5.0])
    assert [runs["value"].item() for runs in together] == pytest.approx([2.5, 2.5])


def test_best_final_and_seconds(add_run: Make, tmp_path: Path):
    returns = np.array([0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 7.5])
    changes = dict(returns=returns, best_return=9.0, lanes=4)
    add_run(tmp_path, "e", "a", 0, **changes)
    folder = results.load_results(tmp_path)
    values = {
        name: metrics.measure_runs([folder], name)[0]["value"].item()
        for name in ("final", "best", "seconds")
    }
    # The last row's 20 s shared by 4 lanes over 10,000 steps: 500 s for a million.
    assert values == pytest.approx({"final": 7.5, "best": 9.0, "seconds": 500.0})


def test_who_never_arrives_counts_up_to_where_all_are_known(add_run: Make, tmp_path: Path):
    early, never = np.array([0.0] * 3 + [9.0] * 8), np.zeros(11)
    add_run(tmp_path, "e", "a", 0, returns=early, threshold=5.0)
    add_run(tmp_path, "e", "a", 1, returns=never, threshold=5.0)
    add_run(tmp_path, "e", "b", 0, returns=never, threshold=5.0, status="diverged")
    (runs,) = metrics.measure_runs([results.load_results(tmp_path)], "steps_to_threshold")
    a, b = (runs[runs["label"] == label] for label in "ab")
    assert a["value"].tolist() == [3000.0, 10_070.0] and a["reached"].tolist() == [True, False]
    assert b["value"].tolist() == [np.inf]
    first, second = metrics.restrict_times([a, b])
    assert first["value"].tolist() == [3000.0, 10_070.0] and second["value"].tolist() == [10_070.0]


@pytest.mark.parametrize("name", ["auc", "steps_to_threshold"])
def test_a_run_that_has_just_begun_cuts_off_no_other(add_run: Make, tmp_path: Path, name: str):
    add_run(tmp_path, "e", "a", 0, returns=np.arange(11.0), threshold=5.0)
    (alone,) = metrics.measure_runs([results.load_results(tmp_path)], name)
    add_run(tmp_path, "e", "a", 1, status="running", evaluations=1, threshold=500.0)
    (runs,) = metrics.measure_runs([results.load_results(tmp_path)], name)
    assert runs["value"].tolist() == alone["value"].tolist() == [5.0 if name == "auc" else 5000.0]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ((475.3128, 470.12, 480.04), "475.3 [470.1, 480.0]"),
        ((189481.2, 150021.0, 220304.0), "189,000 [150,000, 220,000]"),
        ((-412.147, -618.2, -233.3), "−412 [−618, −233]"),
        ((500.0, 500.0, 500.0), "500 [500, 500]"),
        ((250.0, 250 - 1e-12, 250 + 1e-12), "250 [250, 250]"),
        ((0.00231, 0.0, 0.0081), "0.0023 [0.0000, 0.0081]"),
        ((95.0612345, np.nan, np.nan), "95.06"),
        ((np.inf, 703568.0, np.inf), "∞ [703,600, ∞]"),
        ((np.nan, np.nan, np.nan), "—"),
    ],
)
def test_digits_follow_the_interval(values: tuple[float, float, float], line: str):
    of = interval(*values)
    text = f"{formatting.format_estimate(of)} {formatting.format_bounds(of)}"
    assert text.rstrip() == line


def test_changes_and_p_values():
    assert [formatting.format_change(x) for x in (0.5, -0.013, np.nan)] == ["+50%", "−1.3%", "—"]
    assert [formatting.format_p_value(x) for x in (0.0421, 1e-5, np.nan)] == [
        "0.042",
        "<0.001",
        "—",
    ]
