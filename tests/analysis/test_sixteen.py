"""The tables of the comparison over the EGGROLL paper's environments."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import sixteen
from rl_es.analysis.statistics import Scores

SEEDS = 10


def make_scores(values: np.ndarray, env: str = "a") -> Scores:
    """Returns scores [S] of one environment, with seeds from 0."""
    return Scores(values, np.array([env] * len(values)), np.arange(len(values)))


@pytest.mark.parametrize(
    ("gap", "interval", "errors"),
    [
        (0.0, "competitive", "competitive"),
        (0.8, "competitive", "better"),  # standard errors are narrower than 95 % intervals
        (3.0, "better", "better"),
        (-3.0, "worse", "worse"),
    ],
)
def test_outcomes(gap: float, interval: str, errors: str) -> None:
    spread = np.linspace(-1, 1, SEEDS)
    first, second = make_scores(spread + gap * spread.std(ddof=1)), make_scores(spread[::-1])
    assert sixteen.interval_outcome(first, second) == interval
    assert sixteen.standard_error_outcome(first, second) == errors


def test_page(tmp_path: Path, add_run: Callable[..., None]) -> None:
    levels = {"eggroll r1 sphere": 90, "eggroll r1": 50, "full_rank_es": 50, "open_es": 10}
    for env in ("suite/a", "suite/b"):
        for label, level in (levels | {"ppo": 100}).items():
            for seed in range(SEEDS):
                rise = np.linspace(0, level + seed / 10, 11)
                add_run(tmp_path, env, label, seed, returns=rise)
    references, published = tmp_path / "references.csv", tmp_path / "published.csv"
    references.write_text("env,random\nsuite/a,0\nsuite/b,0\n")
    published.write_text("env,label,reference,ratio\nsuite/a,open_es,eggroll r1,1.83\n")
    page = sixteen.compose_page(tmp_path, references, published)
    lines = page.splitlines()
    assert lines[0] == "# 2 environments"
    (row,) = (line for line in lines if line.startswith(r"| eggroll r1 sphere against open\_es"))
    assert row.endswith("| 2, 0, 0 | 2, 0, 0 |")
    (row,) = (line for line in lines if line.startswith(r"| eggroll r1 against full\_rank\_es"))
    assert row.endswith("| 0, 2, 0 | 0, 2, 0 |")
    assert r"- eggroll r1 sphere against open\_es, by interval: better on a, b." in lines
    costs = page.split("## Cost of a run")[1]
    assert "1.830" in costs and costs.count("| a |") == costs.count("| b |") == 1
    scores = page.split("## Scores")[1].split("##")[0]
    assert "0.900" in scores and "ppo" not in scores
