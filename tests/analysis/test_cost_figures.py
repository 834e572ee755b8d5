"""What cost, ablation and sensitivity figures compute before they draw."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_es.analysis.ablations import ablated_settings, find_ablations
from rl_es.analysis.drawing import FigureOptions, Style
from rl_es.analysis.figures import aggregates, settings
from rl_es.analysis.figures import cost as figures_cost
from rl_es.analysis.figures import returns as reach
from rl_es.analysis.figures.cost import (
    FrontierPoint,
    _frontier_points,
    cost_near_final,
    pareto_front,
)
from rl_es.analysis.results import load_results
from rl_es.analysis.statistics.intervals import Interval
from rl_es.errors import UserError
from tests.looks import legend, named, texts

Results = Callable[..., Path]
AddRun = Callable[..., None]
FEW = FigureOptions(replicates=50)
HEAD = "env,label,reference,ratio\n"


def point(cost: float, final: float) -> FrontierPoint:
    value = np.float64(final)
    return FrontierPoint(Style("#000000"), cost, Interval(value, value, value, 1))


def test_the_front_holds_what_no_other_is_above_for_less() -> None:
    points = [point(1, 0), point(2, 5), point(2, 4), point(3, 5), point(4, 6), point(9, 1)]
    found = [(p.cost, float(p.final.estimate)) for p in pareto_front(points)]
    assert found == [(1, 0), (2, 5), (4, 6)]


def test_nearly_there_is_where_the_line_crosses() -> None:
    grid = np.array([0.0, 10.0, 20.0, 30.0])
    assert cost_near_final(grid, np.array([0.0, 50, 100, 100])) == pytest.approx(19)
    assert cost_near_final(grid, np.array([0.0, 200, 100, 100])) == pytest.approx(4.75)
    assert cost_near_final(grid, np.array([5.0, 9, 9, 4])) == 30, "never above its start"


def test_ratios_pair_seeds_and_weigh_environments_alike(results: Results, add_run: AddRun) -> None:
    folder = results(["e", "f"], ["eggroll"], 3)
    for env, lanes in (("e", 1), ("f", 8)):
        for seed in range(3):
            # A run's time is the group's over its lanes.
            add_run(folder, env, "open_es", seed, lanes=lanes)
    found = load_results(folder)
    costs = figures_cost._time_costs(found)
    for what in ("per_step", "to_budget"):
        for envs, expected in ((["e"], 1), (["f"], 1 / 8), (["e", "f"], 8**-0.5)):
            ratio = figures_cost.time_ratios(costs, "open_es", "eggroll", envs, what, 50)
            assert float(ratio.estimate) == pytest.approx(expected)
            assert ratio.low == pytest.approx(ratio.high) == pytest.approx(expected)
    assert figures_cost.time_ratio_environments(found, FEW) == ["e", "f"]
    assert figures_cost.time_ratio_environments(found, FigureOptions(reference="open_es")) == [
        "e",
        "f",
    ]
    assert figures_cost.time_ratio_environments(found, FigureOptions(reference="pes")) == []
    said = texts(figures_cost.draw_time_ratio(found, FEW))
    assert "not a speed benchmark (lanes = 1 to 8" in said


def test_published_ratios_stand_beside_those_that_were_measured(
    results: Results, add_run: AddRun, tmp_path: Path
) -> None:
    folder, file = results(["e", "f"], ["eggroll", "open_es"], 2), tmp_path / "ratios.csv"
    file.write_text(
        f"{HEAD}e,open_es,eggroll,1.83\nf,open_es,pes,9\nelsewhere,open_es,eggroll,40\n"
    )
    figure = figures_cost.draw_time_ratio(load_results(folder), replace(FEW, published_file=file))
    stars = [line for ax in figure.axes for line in ax.lines if line.get_marker() == "*"]
    at = [float(line.get_xdata()[0]) for line in stars]
    assert at == [1.83] and "published" in legend(figure)
    assert "published" not in legend(figures_cost.draw_time_ratio(load_results(folder), FEW))


@pytest.mark.parametrize(
    "content, reason",
    [
        ("env,ratio\ne,1.83\n", "no column 'label'; it has env, ratio"),
        (f"{HEAD}e,open_es,eggroll,0\n", "e / open_es: the ratio must be above 0, is 0"),
        (f"{HEAD}e,open_es,eggroll,much\n", "row 2: must be a number, is 'much'"),
        (f"{HEAD}e,open_es,eggroll,1\ne,open_es,eggroll,2\n", "stands there twice"),
    ],
)
def test_a_table_that_holds_no_ratios_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "ratios.csv"
    file.write_text(content)
    with pytest.raises(UserError, match=reason):
        figures_cost.published_ratios(file, "eggroll")


def test_a_label_that_has_just_begun_is_no_point_of_the_front(
    results: Results, add_run: AddRun
) -> None:
    folder = results(["e"], ["eggroll"], 2)
    add_run(folder, "e", "pes", 0, status="running", evaluations=1)
    found = load_results(folder)
    (point,) = _frontier_points(found, found.runs, found.curves["env_steps"], 9)
    assert point.style == found.styles["eggroll"]


def test_without_common_seeds_there_is_no_ratio(results: Results, add_run: AddRun) -> None:
    folder = results(["e"], ["eggroll"], 2)
    add_run(folder, "e", "open_es", 7)
    costs = figures_cost._time_costs(load_results(folder))
    assert np.isnan(
        figures_cost.time_ratios(costs, "open_es", "eggroll", ["e"], "per_step", 9).estimate
    )


def test_a_seed_that_never_arrives_is_not_dropped(results: Results) -> None:
    ends = {("e", "pes", 0): "diverged", ("e", "pes", 1): "failed"}
    rising = np.linspace(0, 100, 11)
    folder = results(["e"], ["pes"], 5, ends=ends, returns=rising, threshold=50.0)
    figure = reach.draw_time_to_threshold(load_results(folder), FEW)
    line = named(figure.axes[0])["pes"]
    assert np.asarray(line.get_ydata())[-1] == pytest.approx(3 / 4)  # pyright: ignore
    assert "without (1 of 4 in all)" in texts(figure)


def test_ladders_keep_all_else_equal() -> None:
    rows = []
    for rank, lr in ((1, 0.1), (2, 0.1), (4, 0.1), (8, 0.2), (None, 0.1)):
        agent = "eggroll" if rank else "full_rank_es"
        row = {"agent": agent, "label": f"{agent} rank={rank}", "env": "e", "policy": "{}"}
        rows.append({**row, "hyper.rank": rank, "hyper.lr": lr})
    (ladder,) = find_ablations(pd.DataFrame(rows), "rank")
    assert ladder.values == (1, 2, 4, np.inf) and ladder.name == ladder.agent == "eggroll"
    assert find_ablations(pd.DataFrame(rows), "width") == []


def test_ladders_of_widths() -> None:
    rows = [
        {"agent": agent, "label": f"{agent} {width}", "env": "e", "hyper.lr": lr}
        | {"policy": f'{{"widths": [{width}, {width}], "network": "mlp"}}'}
        for agent, lr in (("eggroll", 0.1), ("eggroll", 0.2), ("pes", 0.1))
        for width in (8, 16, 32)
    ]
    rows.append({**rows[0], "policy": '{"widths": [64, 8]}'})
    found = find_ablations(pd.DataFrame(rows), "width")
    assert [ladder.agent for ladder in found] == ["eggroll", "pes"]
    assert all(ladder.values == (8, 16, 32) for ladder in found)


def test_ladders_of_populations() -> None:
    rows = [
        {"agent": "egg", "label": f"egg {lr} {population}", "env": "e", "policy": "{}"}
        | {"hyper.population": population, "hyper.lr": lr}
        for lr, populations in ((0.1, (2, 16, 64)), (0.2, (2, 16)))
        for population in populations
    ]
    (ladder,) = find_ablations(pd.DataFrame(rows), "population")
    assert ladder.values == (2, 16, 64) and ladder.name == "egg"
    assert ablated_settings(pd.DataFrame(rows)) == ["population"]
    ranks = [{**rows[0], "hyper.rank": rank, "hyper.population": 8} for rank in (1, 2, 4)]
    assert ablated_settings(pd.DataFrame([*rows, *ranks])) == ["rank"]
    assert ablated_settings(pd.DataFrame(rows[:2])) == []


def test_final_returns_are_drawn_against_population(results: Results, add_run: AddRun) -> None:
    for population in (2, 16, 64):
        for seed in range(3):
            hyper = {"population": population}
            add_run(results([]), "e", f"egg {population}", seed, agent="egg", hyper=hyper)
    found = load_results(results([]))
    assert settings.ablation_environments(found, FEW) == ["e"]
    figure = settings.draw_ablation(found, FEW)
    panel = figure.axes[0]
    assert panel.get_xlabel() == "population" and panel.get_xscale() == "log"
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["2", "16", "64"]
    dots = [line for line in panel.lines if line.get_marker() == "."]
    assert [len(np.asarray(line.get_xdata())) for line in dots] == [3, 3, 3]
    assert "Population varies at otherwise equal settings" in texts(figure)


def test_the_running_median_counts_values_not_runs() -> None:
    x = np.repeat([1.0, 2, 3, 4, 5, 6], 2)
    y = np.array([0.0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 100, 100])
    values, medians = settings.running_median(x, y)
    np.testing.assert_array_equal(values, [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(medians, [1, 1.5, 2, 3, 3.5, 4])


def test_a_budget_is_what_finished_runs_took(results: Results) -> None:
    ends = {("e", "pes", 0): "running", ("f", "pes", 0): "running"}
    found = load_results(results(["e", "f"], ["pes"], 1, ends={("f", "pes", 0): "running"}))
    budgets = aggregates._budgets(found.runs, found.curves)
    taken = found.runs.set_index("run_id")
    assert budgets[taken[taken.env == "e"].index[0]] == 10_000
    assert budgets[taken[taken.env == "f"].index[0]] == 5_000, "of its own, where none finished"
    found = load_results(results(["e"], ["pes"], 2, ends=ends))
    budgets = aggregates._budgets(found.runs, found.curves)
    assert set(budgets[found.runs[found.runs.env == "e"].run_id]) == {10_070}
