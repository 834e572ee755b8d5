"""Comparisons of folders whose difference is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rl_es.analysis.comparison import figures, report
from rl_es.analysis.comparison.findings import decide_verdict, seeds_needed
from rl_es.analysis.comparison.summary import Comparison, compare_folders
from rl_es.analysis.report import compose_page
from rl_es.analysis.statistics import Interval
from rl_es.cli.main import main
from rl_es.errors import UserError
from tests.looks import legend, misplaced, texts

ENVS = ("cartpole", "pendulum")
Write = Callable[..., None]
Folders = Callable[..., Path]


@pytest.fixture
def folder(add_run: Write, tmp_path: Path) -> Folders:
    """Makes a folder: returns rise from 0 to 100 plus `shift`, with noise of `spread` a run."""

    def make(
        name: str,
        shift: float = 0.0,
        labels: tuple[str, ...] = ("eggroll", "pes"),
        envs: tuple[str, ...] = ENVS,
        seeds: range = range(8),
        spread: float = 2.0,
        divergent: tuple[int, ...] = (),
        noise: int = 0,
        **changes: Any,
    ) -> Path:
        for env in envs:
            for label in labels:
                for seed in seeds:
                    random = np.random.default_rng([noise, seed, ENVS.index(env), len(label)])
                    end = 100 + shift + random.normal(0, spread)
                    values = dict(returns=np.linspace(0, end, 11), threshold=90.0, **changes)
                    if seed in divergent and label == labels[0]:
                        values |= dict(status="diverged", evaluations=4, reason="not finite")
                    add_run(tmp_path / name, env, label, seed, **values)
        return tmp_path / name

    return make


def compare(*folders: Path, **options: Any) -> Comparison:
    return compare_folders(folders, replicates=2000, **options)


def page_text(comparison: Comparison) -> str:
    return compose_page(report.page_sections(Path(), comparison, []))


def verdicts(comparison: Comparison) -> set[str]:
    return {finding.verdict for finding in comparison.findings}


def test_returns_that_are_higher_are_better_and_lower_ones_worse(folder: Folders):
    base, high = folder("base"), folder("high", shift=10, noise=1)
    comparison = compare(base, high)
    assert verdicts(comparison) == {"better"} and comparison.verdict == "better"
    for finding in comparison.findings:
        assert abs(finding.difference.estimate - 10) < 3  # a standard error is 1
        # 0 is the mean return before training (0), 1 the threshold (90).
        assert finding.normalised_gain.estimate == pytest.approx(finding.difference.estimate / 90)
        assert finding.is_paired and finding.p_adjusted >= finding.p
        assert float(finding.probability.low) > 0.5
    assert {total.verdict for total in comparison.totals} == {"better"}
    back = compare(high, base)
    assert verdicts(back) == {"worse"}
    np.testing.assert_allclose(
        [finding.difference.estimate for finding in back.findings],
        [-finding.difference.estimate for finding in comparison.findings],
    )


def test_of_like_returns_one_cannot_tell_but_how_many_seeds_would(folder: Folders):
    comparison = compare(folder("base"), folder("other", noise=1))
    assert verdicts(comparison) == {"cannot tell"}
    assert all(finding.seeds > 8 for finding in comparison.findings if finding.seeds)


def test_a_margin_wider_than_the_interval_makes_them_the_same(folder: Folders):
    base, candidate = folder("base"), folder("other", noise=1)
    assert verdicts(compare(base, candidate, margin=0.1)) == {"same"}
    # Half the margin lower, and told from none, yet no effect that matters.
    lower = folder("lower", shift=-4, noise=2)
    assert "worse" in verdicts(compare(base, lower))
    assert verdicts(compare(base, lower, margin=0.1)) == {"same"}
    with pytest.raises(UserError, match="--margin"):
        compare(base, candidate, margin=-1)


def test_equal_runs_are_the_same(folder: Folders):
    comparison = compare(folder("base"), folder("copy"))
    assert verdicts(comparison) == {"same"} and not comparison.differences


def test_labels_that_were_renamed_are_matched(folder: Folders):
    base = folder("base", labels=("eggroll", "pes"))
    candidate = folder("other", labels=("rank=1", "rank=4"), shift=10, noise=1)
    with pytest.raises(UserError, match="--map OLD=NEW"):
        compare(base, candidate)
    comparison = compare(base, candidate, renamings=["eggroll=rank=1", "eggroll=rank=4"])
    assert {(f.match.base_label, f.match.label) for f in comparison.findings} == {
        ("eggroll", "rank=1"),
        ("eggroll", "rank=4"),
    }
    assert comparison.left_out_pairs == {"base": [(env, "pes") for env in ENVS]}
    with pytest.raises(UserError, match=r"no label 'egroll'; did you mean 'eggroll'"):
        compare(base, candidate, renamings=["egroll=rank=1"])
    with pytest.raises(UserError, match="not OLD=NEW"):
        compare(base, candidate, renamings=["eggroll"])


def test_pairs_of_one_folder_alone_are_listed(folder: Folders):
    base, candidate = folder("base"), folder("other", labels=("eggroll", "nres"), envs=ENVS[:1])
    comparison = compare(base, candidate)
    assert [(f.match.env, f.match.label) for f in comparison.findings] == [("cartpole", "eggroll")]
    assert comparison.left_out_pairs["other"] == [("cartpole", "nres")]
    assert ("pendulum", "eggroll") in comparison.left_out_pairs["base"]
    text = page_text(comparison)
    assert "only in other: nres" in text and "only in base: " in text


def test_seeds_that_differ_are_not_paired(folder: Folders):
    base, candidate = folder("base"), folder("other", seeds=range(20, 26), shift=10)
    comparison = compare(base, candidate)
    assert not any(finding.is_paired for finding in comparison.findings)
    assert verdicts(comparison) == {"better"}
    assert {tuple(side.n for side in f.typical) for f in comparison.findings} == {(8, 6)}
    assert any(d.setting == "seeds" for d in comparison.differences)


def test_what_differs_besides_is_told_and_other_budgets_are_warned_of(folder: Folders):
    base = folder("base", hyper={"lr": 0.1, "rank": 1})
    candidate = folder(
        "other",
        shift=1,
        evaluations=6,
        hyper={"lr": 0.2, "rank": 1},
        device="gpu",
        versions='{"jax": "0.10.0"}',
    )
    comparison = compare(base, candidate)
    differences = {(d.setting, d.where): dict(d.values) for d in comparison.differences}
    assert differences["lr", "eggroll, pes"] == {"base": "0.1", "other": "0.2"}
    assert differences["device", ""] == {"base": "cpu", "other": "gpu"}
    assert differences["jax", ""] == {"base": "0.9.0", "other": "0.10.0"}
    assert not any(setting == "rank" for setting, _ in differences)
    budgets = [line for line in comparison.warnings if line.startswith("environment steps differ")]
    assert len(budgets) == 1 and "cartpole, pendulum" in budgets[0]
    assert any(line.startswith("evaluations differ") for line in comparison.warnings)


def test_a_run_that_diverged_is_counted_named_and_no_gain(folder: Folders):
    base, candidate = folder("base"), folder("other", shift=10, noise=1, divergent=(3,))
    comparison = compare(base, candidate)
    eggroll = [f for f in comparison.findings if f.match.label == "eggroll"]
    assert {(f.typical[0].n, f.typical[1].n, f.losses) for f in eggroll} == {(8, 7, (0, 1))}
    # What is left is better, but the run that is lost is not in it.
    assert {f.verdict for f in eggroll} == {"cannot tell"}
    assert {f.verdict for f in comparison.findings if f.match.label == "pes"} == {"better"}
    text = page_text(comparison)
    assert "eggroll on cartpole, seed 3 (diverged)" in text and "(1 lost)" in text


def test_where_nothing_is_left_or_a_seed_is_alone_one_cannot_tell(folder: Folders):
    base = folder("base", seeds=range(2))
    nothing_left = compare(base, folder("gone", seeds=range(2), divergent=(0, 1)))
    eggroll = next(f for f in nothing_left.findings if f.match.label == "eggroll")
    assert eggroll.verdict == "cannot tell" and eggroll.losses == (0, 2)
    assert eggroll.typical[1].n == 0
    json.loads(report.to_json(nothing_left), parse_constant=pytest.fail)
    alone = compare(base, folder("alone", seeds=range(1), shift=10, noise=1))
    assert verdicts(alone) == {"cannot tell"} and not any(f.seeds for f in alone.findings)


def test_of_times_less_is_better_and_machines_are_named(folder: Folders):
    base, candidate = folder("base"), folder("other", lanes=2, device="gpu")
    comparison = compare(base, candidate, metric="seconds")
    assert verdicts(comparison) == {"better"}
    assert all(f.relative == pytest.approx(-0.5) for f in comparison.findings)
    assert all(f.normalised_gain.estimate == pytest.approx(0.5) for f in comparison.findings)
    assert all(f.probability.estimate == 1 for f in comparison.findings)
    assert any("device: base: cpu, other: gpu" in line for line in comparison.warnings)


def test_earlier_arrivals_are_better(folder: Folders):
    base = folder("base", shift=5, spread=0.5)
    candidate = folder("other", shift=60, noise=1, spread=0.5)
    comparison = compare(base, candidate, metric="steps_to_threshold")
    assert verdicts(comparison) == {"better"}
    for finding in comparison.findings:
        # 90 of 105 is reached at the ninth of ten steps of about 1,000, of 160 at the sixth.
        base_steps, steps = (side.estimate for side in finding.typical)
        assert 9000 <= base_steps <= 9500 and 6000 <= steps <= 6400
    never = folder("never", shift=-50)
    comparison = compare(base, never, metric="steps_to_threshold")
    assert verdicts(comparison) == {"worse"}
    assert all(np.isinf(f.typical[1].estimate) for f in comparison.findings)


def test_areas_compare(folder: Folders):
    comparison = compare(folder("base"), folder("other", shift=10, noise=1), metric="auc")
    assert verdicts(comparison) == {"better"}
    # Curves are straight lines from 0, so their mean height is half of their end.
    assert all(abs(f.difference.estimate - 5) < 2 for f in comparison.findings)


def test_several_others_have_names_that_tell_them_apart(folder: Folders):
    base, first = folder("base"), folder("a/runs", shift=10, noise=1)
    second = folder("b/runs", shift=-10, noise=2)
    comparison = compare(base, first, second)
    assert {f.match.candidate.name: f.verdict for f in comparison.findings} == {
        "a/runs": "better",
        "b/runs": "worse",
    }
    (differences,) = figures.KINDS[figures.DIFFERENCES].figures(comparison)
    assert {"better", "worse", "a/runs", "b/runs"} <= set(legend(differences.figure))


def test_files_hold_the_numbers_and_figures_are_whole(folder: Folders):
    base, candidate = folder("base"), folder("other", shift=10, noise=1)
    comparison = compare(base, candidate)
    paths = report.publish(comparison, base.parent / "out")
    assert all(path.exists() for path in paths)
    table = pd.read_csv(base.parent / "out" / "compare.csv")
    assert len(table) == 6 and list(table["level"]).count("total") == 2
    row = table.iloc[0]
    assert row["difference"] == pytest.approx(row["other_estimate"] - row["base_estimate"])
    content = json.loads((base.parent / "out" / "compare.json").read_text())
    assert content["counts"]["better"] == 4 and content["verdict"] == "better"
    for kind in figures.KINDS.values():
        for drawing in kind.figures(comparison):
            assert not misplaced(drawing.figure)
            assert "n = 8 seeds" in texts(drawing.figure)
    before = {path: path.read_bytes() for path in paths}
    report.publish(compare(base, candidate), base.parent / "out")
    assert before == {path: path.read_bytes() for path in paths}


def test_the_exit_code_says_worse_when_asked(
    folder: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    base, low = folder("base", envs=ENVS[:1]), folder("low", envs=ENVS[:1], shift=-10, noise=1)
    monkeypatch.chdir(base.parent)
    call = ["compare", str(base), str(low)]
    assert main(call) == 0
    assert (base.parent / "results/compare/base-vs-low/compare.md").exists()
    assert main([*call, "--fail-if", "worse"]) == 1
    assert "2 worse" in capsys.readouterr().out
    assert main(["compare", str(low), str(base), "--fail-if", "worse"]) == 0
    assert main(["compare", str(base)]) == 2
    assert main([*call, "--env", "cartpol"]) == 2


@pytest.mark.parametrize(
    ("low", "high", "p", "options", "decision"),
    [
        (1, 2, 0.01, {}, "better"),
        (-2, -1, 0.01, {}, "worse"),
        (1, 2, 0.2, {}, "cannot tell"),
        (-1, 2, 0.01, {}, "cannot tell"),
        (-1, 2, 0.5, {"margin": 1.5}, "same"),
        (-2, 2, 0.5, {"margin": 1.5}, "cannot tell"),
        (-1, -0.5, 0.01, {"margin": 1.5}, "same"),
        (-9, -8, 0.01, {"margin": 1.5}, "worse"),
        (1, 2, 0.01, {"losses": (0, 1)}, "cannot tell"),
        (-2, -1, 0.01, {"losses": (1, 0)}, "cannot tell"),
        (-2, -1, 0.01, {"losses": (0, 1)}, "worse"),
        (0, 0, 1.0, {"equal": True}, "same"),
        (np.nan, np.nan, np.nan, {}, "cannot tell"),
    ],
)
def test_verdicts(low: float, high: float, p: float, options: dict[str, Any], decision: str):
    gain = Interval(np.float64((low + high) / 2), np.float64(low), np.float64(high), n=5)
    assert decide_verdict(gain, p, **options) == decision


def test_the_seeds_that_would_tell_would_tell():
    # A standard error of 1 at 4 seeds, a difference of 1: n such that 2.8 standard errors fit.
    z = 1.959964
    gain = Interval(np.float64(1.0), np.float64(1 - z), np.float64(1 + z), n=4)
    assert seeds_needed(gain, 4, 1) == 32  # 4 (1.95996 + 0.84162)^2 = 31.4
    assert seeds_needed(gain, 4, 10) == 54  # 4 (2.80703 + 0.84162)^2 = 53.3
    certain = Interval(np.float64(9.0), np.float64(8.9), np.float64(9.1), n=4)
    assert seeds_needed(certain, 4, 1) == 5


def test_runs_that_go_on_are_said(folder: Folders, add_run: Write) -> None:
    base, candidate = folder("base", labels=("pes",)), folder("other", labels=("pes",))
    assert not compare(base, candidate).warnings
    add_run(candidate, ENVS[0], "pes", 8, status="running", evaluations=6, threshold=90.0)
    add_run(candidate, ENVS[0], "eggroll", 0, status="running", evaluations=6, threshold=90.0)
    (warning,) = compare(base, candidate).warnings
    assert warning == "other: 1 running: counted with what it has so far"
