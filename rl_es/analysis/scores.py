"""Returns of several environments on one scale: 0 and 1 are named references of each environment.

A reference is one of

`untrained`  the mean return before any training, over all runs in the environment;
`threshold`  the return that the sweep counts as solved;
`best`       the mean final return of the label that has the highest;
`LABEL`      the mean final return of a label that has runs here, such as ppo or random_search;
`FILE:NAME`  the column NAME of a CSV file with a column `env`.

References are taken as exact: intervals of scores do not include their uncertainty. An environment
that lacks a reference, or whose reference for 1 is not above that for 0 (a better return would
score less), is left out and named. Runs that diverged or failed have no score.

Axis letters: S runs (of all environments).

CSV files that people or other programs wrote, read as tables of text, then of numbers.

A file is UTF-8 text of no more than some bytes, whatever its name ends in.

Labels over all environments of a folder: aggregates of scores, and labels against each other.

`aggregates`   one row per (label, statistic): mean, median, interquartile mean and optimality gap
               of normalised final returns;
`comparisons`  one row per (first label, second label, environment), and one over all environments.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis import curves
from rl_es.analysis.drawing.palette import natural_order
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics import aggregates
from rl_es.analysis.statistics.aggregates import MANY_REPLICATES, Scores
from rl_es.analysis.statistics.intervals import Interval
from rl_es.analysis.statistics.two_samples import (
    are_paired,
    common_seeds,
    comparisons,
    probability_of_improvement,
)
from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results import text_files

MAX_BYTES = 64 * 2**20


def read_scale(path: Path, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The rows of a file, every cell as text.

    Args:
      path: the file.
      columns: that it must have; it may have others.
      what: its kind, for messages.

    Raises:
      UserError: it cannot be read, a row has more or fewer cells than the head, or a column is
        missing or there twice.
    """
    head, rows = text_files.read_csv(path, what, MAX_BYTES)
    for name in columns:
        if name not in head:
            there = ", ".join(map(brief, head[:20])) or "none"
            raise UserError(f"{path}: no column '{brief(name)}'; it has {there}")
        if head.count(name) > 1:
            raise UserError(f"{path}: column '{brief(name)}' stands there twice")
    return pd.DataFrame(rows, columns=head, dtype=str)


def read_numbers(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    """A column as numbers; NaN where a cell is empty.

    Raises:
      UserError: a cell holds something else.
    """
    cells = table[column].str.strip()
    found = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = cells[found.isna() & ~cells.str.lower().isin(["", "nan", "none", "null", "na"])]
    if len(wrong):
        place = int(wrong.index[0]) + 2
        raise UserError(
            f"{path}: column '{brief(column)}', row {place}: must be a number, "
            f"is '{brief(wrong.iloc[0])}'"
        )
    return found


UNTRAINED, THRESHOLD, BEST = "untrained", "threshold", "best"
LOW = UNTRAINED


@dataclass(frozen=True)
class ScoreScale:
    """The returns that are 0 and 1 in each environment.

    Attributes:
      low: the reference's name, then its return by environment.
      high: likewise.
      left_out: environments that cannot be put on the scale.
    """

    low: tuple[str, Mapping[str, float]]
    high: tuple[str, Mapping[str, float]]
    left_out: tuple[str, ...]

    @property
    def environments(self) -> list[str]:
        """The environments that are on the scale, in natural order."""
        return sorted(self.low[1], key=natural_order)

    @cached_property
    def told(self) -> str:
        """For people: '0 is untrained, 1 is threshold'."""
        return f"0 is {self.low[0]}, 1 is {self.high[0]}"

    def score(self, environments: Iterable[str], returns: Iterable[float]) -> np.ndarray:
        """The scores [S] of returns [S] in environments [S], all of them on the scale."""
        ends = [(self.low[1][env], self.high[1][env]) for env in environments]
        low, high = np.array(ends, dtype=float).reshape(-1, 2).T
        return (np.asarray(returns, dtype=float) - low) / (high - low)


def scale(results: ResultTables, low: str = LOW, high: str | None = None) -> ScoreScale:
    """The scale of a folder's environments.

    Args:
      results: the folder.
      low: the reference that is 0.
      high: the one that is 1; None: the threshold if every environment of the folder has one, else
        the best label.

    Raises:
      UserError: there is no such reference.
    """
    if high is None:
        known = results.whole.runs.groupby("env")["threshold"].max().notna()
        high = THRESHOLD if known.all() else BEST
    lows, highs = (_reference(results, name) for name in (low, high))
    fitting = [
        env for env in results.environments if lows.get(env, np.nan) < highs.get(env, np.nan)
    ]
    return ScoreScale(
        (low, {env: lows[env] for env in fitting}),
        (high, {env: highs[env] for env in fitting}),
        tuple(env for env in results.environments if env not in fitting),
    )


def final_scores(results: ResultTables, on: ScoreScale) -> dict[str, Scores]:
    """The scores of final returns, by label in the order of legends.

    Of finished runs, and of running ones with what they have; see `alignment.COUNTED`.
    """
    returns = curves.final_returns(results.curves, results.runs)
    return scores_of_runs(results, on, returns)


def scores_of_runs(results: ResultTables, on: ScoreScale, returns: pd.Series) -> dict[str, Scores]:
    """The scores of some return of each run, aligned with the runs table, by label."""
    runs = results.runs.assign(value=returns.astype(float))
    runs = runs[runs["status"].isin(curves.COUNTED) & np.isfinite(runs["value"])]
    runs = runs[runs["env"].isin(on.environments)]
    found = {}
    for label in results.shown:
        own = runs[runs["label"] == label]
        values = on.score(own["env"], own["value"])
        found[label] = Scores(values, own["env"].to_numpy(str), own["seed"].to_numpy(int))
    return found


def _reference(results: ResultTables, name: str) -> dict[str, float]:
    """A reference's return by environment, where it has one."""
    known: dict[str, Callable[[ResultTables], dict[str, float]]] = {
        UNTRAINED: _untrained,
        THRESHOLD: _thresholds,
        BEST: _best,
    }
    if name in known:
        return known[name](results)
    if name in set(results.runs["label"]):
        return _of_label(results, name)
    path, _, column = name.rpartition(":")
    if path:
        return _from_file(Path(path), column)
    names = [*known, *results.shown]
    raise UserError(
        f"unknown reference '{brief(name)}'{did_you_mean(name, names)}; known here: "
        f"{', '.join(map(brief, names[:20]))}, or FILE.csv:COLUMN"
    )


def _untrained(results: ResultTables) -> dict[str, float]:
    rows = results.curves[results.curves["env_steps"] == 0]
    return _plain(rows.groupby("env")["return_mean"].mean())


def _thresholds(results: ResultTables) -> dict[str, float]:
    return _plain(results.runs.groupby("env")["threshold"].max())


def _means(results: ResultTables) -> pd.Series:
    """Mean final returns by (env, label), of the runs that count."""
    final = curves.final_returns(results.curves, results.runs)
    runs = results.runs.assign(final=final)
    return runs[runs["status"].isin(curves.COUNTED)].groupby(["env", "label"])["final"].mean()


def _best(results: ResultTables) -> dict[str, float]:
    return _plain(_means(results).groupby("env").max())


def _of_label(results: ResultTables, label: str) -> dict[str, float]:
    means = _means(results)
    return _plain(means[means.index.get_level_values("label") == label].droplevel("label"))


def _plain(series: pd.Series) -> dict[str, float]:
    return {str(env): float(value) for env, value in series.items() if np.isfinite(value)}


def _from_file(path: Path, column: str) -> dict[str, float]:
    table = read_scale(path, ["env", column], "table of references")
    _distinct(path, table["env"])
    values = read_numbers(path, table, column)
    return _plain(pd.Series(values.to_numpy(float), index=table["env"]))


def _distinct(path: Path, environments: Iterable[object]) -> None:
    seen: set[object] = set()
    for env in environments:
        if env in seen:
            raise UserError(f"{path}: environment '{brief(env)}' stands there twice")
        seen.add(env)


ALL = "all"  # environments together
MOST_LABELS = 12  # up to here every pair is compared; beyond, each label with the best one


def aggregate_scores(
    results: ResultTables, on: ScoreScale, *, replicates: int = MANY_REPLICATES
) -> pd.DataFrame:
    """Columns label, statistic, estimate, low, high, n (runs), environments, zero, one."""
    rows = []
    for label, own in final_scores(results, on).items():
        if not len(own.values):
            continue
        for name, found in aggregates(own, replicates=replicates).items():
            row = {"label": label, "statistic": name, **found.named()}
            rows.append({**row, "n": found.n, "environments": len(own.names)})
    named = {"zero": on.low[0], "one": on.high[0]}
    columns = ["label", "statistic", "estimate", "low", "high", "n", "environments"]
    return pd.DataFrame(rows, columns=columns).assign(**named)


def compare_scores(results: ResultTables, on: ScoreScale) -> pd.DataFrame:
    """Columns first, second, env, probability, low, high, paired, p, p_adjusted.

    `probability` is that a run of the first label scores above one of the second. P-values are
    of single environments, adjusted for their number; the row of `all` has none.
    """
    found = {label: own for label, own in final_scores(results, on).items() if len(own.values)}
    rows = []
    for first, second in _pairs(found):
        x, y = found[first], found[second]
        if not common_seeds(x, y):
            continue
        pair = {"first": first, "second": second}
        total = probability_of_improvement(x, y)
        rows.append({**pair, "env": ALL, **_probability(total), "paired": are_paired(x, y)})
        for one in comparisons(x, y):
            row = {**pair, "env": one.task, **_probability(one.probability)}
            rows.append({**row, "paired": one.paired, "p": one.p, "p_adjusted": one.adjusted})
    columns = ["first", "second", "env", "probability", "low", "high", "paired", "p", "p_adjusted"]
    return pd.DataFrame(rows, columns=columns)


def _pairs(found: dict[str, Scores]) -> list[tuple[str, str]]:
    if len(found) <= MOST_LABELS:
        return list(combinations(found, 2))
    best = max(found, key=lambda label: found[label].values.mean())
    return [(best, label) for label in found if label != best]


def _probability(found: Interval) -> dict[str, float]:
    bounds = found.named()
    return {"probability": bounds.pop("estimate"), **bounds}
