"""Scores on a scale of references, and what is told of labels over all environments."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_es.analysis import scores, sweep_tables
from rl_es.analysis.drawing import FigureOptions
from rl_es.analysis.figures import aggregates
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.results import load_results
from rl_es.analysis.statistics import aggregate
from rl_es.errors import UserError
from tests.looks import misplaced, texts

Results = Callable[..., Path]
LEVELS = {"pes": 60.0, "eggroll": 80.0}


@pytest.fixture
def folder(tmp_path: Path, add_run: Callable[..., None]) -> Path:
    """Two environments in which eggroll ends 20 above pes; all start at 0, the threshold is 100."""
    for env in ("a", "b"):
        for label, level in LEVELS.items():
            for seed in range(4):
                rise = np.linspace(0, level + seed, 11)
                add_run(tmp_path, env, label, seed, returns=rise, threshold=100.0)
    return tmp_path


@pytest.mark.parametrize(
    ("low", "high", "mean"),
    [
        ("untrained", "threshold", 0.815),
        ("untrained", None, 0.815),
        ("untrained", "best", 1.0),
        ("pes", "eggroll", 1.0),
        ("pes", "threshold", 20 / 38.5),
    ],
)
def test_references(folder: Path, low: str, high: str | None, mean: float) -> None:
    content = load_results(folder)
    on = scores.score_scale(content, low, high)
    values = scores.final_scores(content, on)["eggroll"].in_task("a").values
    np.testing.assert_allclose(values.mean(), mean)
    assert on.environments == ["a", "b"] and on.left_out == ()
    assert on.description == f"0 is {low}, 1 is {high or 'threshold'}"


def test_references_of_a_file(folder: Path) -> None:
    path = folder / "published.csv"
    path.write_text("env,random,expert\na,0,200\nb,5,5\n")
    content = load_results(folder)
    on = scores.score_scale(content, f"{path}:random", f"{path}:expert")
    assert on.environments == ["a"] and on.left_out == ("b",)  # there both references are equal
    np.testing.assert_allclose(on.score(["a"] * 3, [0.0, 50.0, 200.0]), [0, 0.25, 1])
    assert on.description == "0 is random of published.csv, 1 is expert of published.csv"
    assert set(scores.final_scores(content, on)["pes"].tasks) == {"a"}


def test_a_better_return_never_scores_less(folder: Path) -> None:
    path = folder / "turned.csv"
    path.write_text("env,low,high\na,0,200\nb,200,0\n")
    content = load_results(folder)
    on = scores.score_scale(content, f"{path}:low", f"{path}:high")
    assert on.environments == ["a"] and on.left_out == ("b",)
    assert scores.score_scale(content, "eggroll", "pes").environments == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pse", "unknown reference 'pse'; did you mean 'pes'"),
        ("threshhold", "did you mean 'threshold'"),
        ("nowhere.csv:x", "nowhere.csv: not a readable table"),
    ],
)
def test_unknown_references(folder: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scores.score_scale(load_results(folder), high=name)


def test_bad_files_of_references(folder: Path) -> None:
    path = folder / "published.csv"
    path.write_text("env,random\na,0\na,1\n")
    with pytest.raises(UserError, match="no column 'expert'; it has env, random"):
        scores.score_scale(load_results(folder), f"{path}:expert")
    with pytest.raises(UserError, match="environment 'a' stands there twice"):
        scores.score_scale(load_results(folder), f"{path}:random")


def test_runs_that_are_lost_have_no_score(results: Results) -> None:
    ends = {("cartpole", "pes", 0): "diverged", ("pendulum", "pes", 1): "failed"}
    content = load_results(results(ends=ends, threshold=90.0))
    by_label = scores.final_scores(content, scores.score_scale(content))
    assert len(by_label["eggroll"].values) == 6 and len(by_label["pes"].values) == 4
    assert list(by_label["pes"].in_task("cartpole").seeds) == [1, 2]


def test_totals(folder: Path) -> None:
    content = load_results(folder)
    on = scores.score_scale(content)
    table = scores.aggregate_scores(content, on, replicates=200).set_index(["label", "statistic"])
    np.testing.assert_allclose(table.loc[("eggroll", "mean"), "estimate"], 0.815)
    np.testing.assert_allclose(table.loc[("pes", "optimality_gap"), "estimate"], 1 - 0.615)
    assert (table.n == 8).all() and (table.environments == 2).all()
    assert (table.low < table.estimate).all() and (table.estimate < table.high).all()


def test_every_pair_is_compared(folder: Path) -> None:
    content = load_results(folder)
    table = scores.compare_scores(content, scores.score_scale(content))
    assert list(table.env) == ["all", "a", "b"]
    assert (table["first"] == "eggroll").all() and (table["second"] == "pes").all()
    assert (table.probability == 1).all() and table.paired.all()
    apart = table[table.env != "all"]
    assert (apart.p == 0).all()  # eggroll is 20 above in every seed
    assert (apart.p_adjusted == 0).all() and table.p[table.env == "all"].isna().all()


def test_of_many_labels_each_is_compared_with_the_best(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "MAX_PAIRED_LABELS", 2)
    content = load_results(results(labels=["eggroll", "pes", "nres"], threshold=90.0))
    table = scores.compare_scores(content, scores.score_scale(content))
    assert table["first"].nunique() == 1 and table["second"].nunique() == 2


def test_figures_have_the_scale_of_the_whole_folder(
    folder: Path, add_run: Callable[..., None]
) -> None:
    for label in LEVELS:
        for seed in range(2):  # no threshold, and worse than before: not on the scale
            add_run(folder, "c", label, seed, returns=np.linspace(0, -9, 11))
    content = load_results(folder)
    assert (
        aggregates.scale_environments(content, FigureOptions())
        == aggregates.improvement_environments(content, FigureOptions())
        == ["a", "b"]
    )
    options = FigureOptions(low="pes", high="eggroll")
    assert (
        aggregates.scale_environments(content, options)
        == aggregates.improvement_environments(content, options)
        == ["a", "b"]
    )
    assert aggregates.scale_environments(content, FigureOptions(low="eggroll", high="pes")) == []
    for kind in ("normalised", "improvement"):
        (figure,) = KINDS[kind].figures(content)
        assert "where 0 is untrained, 1 is best, so not here: c." in texts(figure.figure)
    part = content.within(["a", "b"])
    assert (
        scores.score_scale(part).description
        == scores.score_scale(content).description
        == "0 is untrained, 1 is best"
    )


def test_only_labels_in_every_environment_are_told_in_total(
    folder: Path, add_run: Callable[..., None]
) -> None:
    for seed in range(4):
        add_run(folder, "a", "nres", seed, returns=np.linspace(0, 99, 11), threshold=100.0)
    digest = sweep_tables.make_digest(load_results(folder))
    assert [row[0].text for row in sweep_tables.totals_table(digest).rows] == ["eggroll", "pes"]
    message = sweep_tables.totals_legend(digest)
    assert "Without a score in each of them: nres." in message and "50,000 replicates" in message
    (figure,) = KINDS["improvement"].figures(load_results(folder))
    assert "environments that both have runs in" in texts(figure.figure)


def test_each_environment_has_a_row_of_scores(folder: Path, add_run: Callable[..., None]) -> None:
    for env, level in (("far", 900.0), ("near", 50.0)):  # 900 is far beyond the threshold
        for seed in range(4):
            add_run(
                folder, env, "nres", seed, returns=np.linspace(0, level + seed, 11), threshold=100.0
            )
    (figure,) = KINDS["scores"].figures(load_results(folder))
    (panel,) = figure.figure.axes
    rows = [tick.get_text() for tick in panel.get_yticklabels()]
    assert rows == ["all (IQM)", "a", "b", "far", "near"]
    dots = {}
    for line in panel.lines:
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("None", ""):
            ((x, y),) = line.get_xydata()
            dots.setdefault(rows[round(y)], []).append((round(float(x), 3), line.get_marker()))
    assert [x for x, _ in dots["a"]] == [x for x, _ in dots["b"]] == [0.815, 0.615]
    assert dots["near"][0][0] == 0.515
    assert dots["far"] == [(aggregates.MAX_SCORE, ">")]
    assert "all (IQM)" not in dots  # no label has runs in every environment
    assert "Arrows: beyond the end of the axis." in texts(figure.figure)
    assert not misplaced(figure.figure)


def test_scores_over_all_environments_are_their_interquartile_mean(folder: Path) -> None:
    (figure,) = KINDS["scores"].figures(load_results(folder))
    (panel,) = figure.figure.axes
    content = load_results(folder)
    values = scores.final_scores(content, scores.score_scale(content))["eggroll"]
    expected = float(aggregate(values, "interquartile_mean", replicates=2).estimate)
    dots = [line.get_xydata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
    total = [x for x, y in dots if y < 0.5]
    assert len(total) == len(LEVELS) and max(total) == pytest.approx(expected)
    assert "Arrows" not in texts(figure.figure)
