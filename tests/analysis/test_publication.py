"""Tables for papers and pages, and what stands in bold."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rl_es.analysis import publication, results
from rl_es.analysis.formatting import (
    count_cell,
    escape_latex,
    make_table,
    text_cell,
    to_latex,
)
from rl_es.analysis.metrics import significant_best_label, significant_best_labels
from rl_es.analysis.statistics.aggregates import Scores
from rl_es.cli.main import main

Write = Callable[..., None]
ENVS = ("cart_pole & co", "pendulum")


@pytest.fixture
def folder(add_run: Write, tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of labels with given means in one environment, or in both."""

    def make(means: dict[str, float], divergent: tuple[str, ...] = (), seeds: int = 8) -> Path:
        for env in ENVS:
            for label, mean in means.items():
                for seed in range(seeds):
                    random = np.random.default_rng([seed, ENVS.index(env), len(label)])
                    end = mean + (random.normal(0, 2) if env == ENVS[0] else 0)
                    changes: dict[str, Any] = dict(returns=np.linspace(-7, end, 11), threshold=90.0)
                    if label in divergent and seed == 3:
                        changes |= dict(status="diverged", evaluations=4, reason="not finite")
                    add_run(tmp_path / "demo", env, label, seed, **changes)
        return tmp_path / "demo"

    return make


def scores(values: list[float]) -> Scores:
    n = len(values)
    return Scores(np.array(values, dtype=float), np.full(n, "e"), np.arange(n))


def test_the_best_is_told_from_every_rival():
    clear = {"a": scores([9, 10, 11, 10]), "b": scores([0, 2, 0, 3]), "c": scores([0, 1, 0, 1])}
    assert significant_best_label(clear, {}) == "a"
    assert significant_best_label(clear, {}, lower=True) is None  # b and c are not told apart
    close = clear | {"b": scores([9, 11, 10, 9.5])}
    assert significant_best_label(close, {}) is None
    assert significant_best_label({"a": clear["a"]}, {}) is None
    assert significant_best_label(clear, {"a": 1}) is None
    assert significant_best_label(clear, {"a": 1, "b": 1, "c": 2}) == "a"


def test_a_best_by_chance_is_rare():
    rng = np.random.default_rng(0)

    def has_best() -> bool:
        labels = {name: scores(list(rng.normal(size=6))) for name in "abcdef"}
        return significant_best_label(labels, {}) is not None

    assert sum(has_best() for _ in range(200)) < 10


def test_supported_best_of_a_folder(folder: Callable[..., Path]):
    demo = results.load_results(folder({"eggroll": 80, "pes": 60, "nres": 40}))
    assert significant_best_labels(demo) == dict.fromkeys(ENVS, "eggroll")
    assert significant_best_labels(demo, "auc") == dict.fromkeys(ENVS, "eggroll")
    assert set(significant_best_labels(demo, "steps_to_threshold").values()) == {
        None
    }  # none gets there


def test_markdown_has_bold_only_where_it_is_supported(folder: Callable[..., Path]):
    text = publication.compose(folder({"eggroll": 80, "pes": 80}), "markdown", "final")
    assert "**" not in text and "so none is bold" in text
    text = publication.compose(folder({"eggroll": 80, "pes": 60}), "markdown", "final")
    assert text.count("**") == 4 and "**80 \\[80, 80\\]" not in text and "**80**" in text
    assert "n = 8 seeds" in text and "50,000 replicates" in text
    assert re.search(r"\| \*total\* \| 0\.\d+ \\\[0\.\d+, 0\.\d+\\\] \|", text)


def test_diverged_runs_stand_in_the_footnote(folder: Callable[..., Path]):
    demo = folder({"eggroll": 80, "pes": 60}, divergent=("eggroll",))
    for form in ("markdown", "latex"):
        text = publication.compose(demo, form, "final")
        assert "seed 3 (diverged)" in text and ("†" in text or r"$^\dagger$" in text)
        # What lost a run is not the best for what is left of it.
        assert r"\textbf" not in text and "**" not in text
    table = pd.read_csv(demo.parent / _csv(demo))
    assert table[table["label"] == "eggroll"]["lost"].dropna().tolist() == [1, 1]


def _csv(demo: Path) -> str:
    (demo.parent / "table.csv").write_text(publication.compose(demo, "csv", "final"))
    return "table.csv"


def test_latex_is_balanced_and_escaped(folder: Callable[..., Path]):
    demo = folder({"eggroll": -1234.5, "pes_{50%}": -2000})
    for rows in ("environments", "labels"):
        for interval in (True, False):
            text = publication.compose(demo, "latex", "final", rows, interval=interval)
            _check(text)
            assert r"cart\_pole \& co" in text and r"pes\_\{50\%\}" in text
            assert r"\textbf{$-$1,23" in text and "−" not in text
            assert ("[$-$1,23" in text) == interval
            for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
                assert rule in text


def _check(text: str) -> None:
    """Braces and environments close, math opens and closes, rows have as many cells as columns."""
    bare = re.sub(r"\\[\\{}$&%#_]", "", text)
    depth = 0
    for sign in re.sub(r"(?m)^%.*$", "", bare):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0 and bare.count("$") % 2 == 0
    assert re.findall(r"\\begin\{(\w+)", text) == re.findall(r"\\end\{(\w+)", text)[::-1]
    (columns,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert body
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
        assert not line.lstrip().startswith("[")


def test_latex_escapes_each_special_sign():
    assert escape_latex("a_b ~^\\ 5 % {x} #$&") == (
        r"a\_b \textasciitilde{}\textasciicircum{}\textbackslash{} 5 \% \{x\} \#\$\&"
    )
    table = make_table(["label", "x"], [[text_cell("[a]"), count_cell(1)]])
    assert "\n    {[a]} & 1" in to_latex(table, "", "", "x")
    assert escape_latex("a|b") == r"a\textbar{}b"  # else a dash in TeX's own fonts
    assert escape_latex("−1.5 → ∞\n<") == r"$-$1.5 $\rightarrow$ $\infty$ \textless{}"


def test_labels_may_have_the_rows_and_intervals_be_left_out(folder: Callable[..., Path]):
    demo = folder({"eggroll": 80, "pes": 60})
    text = publication.compose(demo, "markdown", "final", "labels", interval=False)
    lines = text.splitlines()
    assert lines[0] == r"| label | cart\_pole &amp; co | pendulum | total |"
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| eggroll", "| pes"]
    assert "[" not in text and "In brackets" not in text


def test_the_command_writes_a_file_or_to_standard_output(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    demo = folder({"eggroll": 80, "pes": 60})
    assert main(["table", str(demo), "--format", "latex", "--no-interval"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("% needs") and "In brackets" not in output
    out = tmp_path / "table.tex"
    assert main(["table", str(demo), "--format", "latex", "--no-interval", "--out", str(out)]) == 0
    assert out.read_text() == output
    assert main(["table", str(tmp_path / "nothing")]) == 2
    assert main(["table", str(demo), "--normalise", "untraned", "best"]) == 2


def test_runs_that_go_on_are_said(folder: Callable[..., Path], add_run: Write) -> None:
    place = folder({"a": 40, "b": 60}, seeds=3)
    assert "running" not in publication.compose(place, "markdown", "final", replicates=9)
    add_run(place, ENVS[0], "a", 3, status="running", evaluations=6, threshold=90.0)
    text = publication.compose(place, "latex", "final", replicates=9)
    assert "1 running: counted with what it has so far." in text
