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
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis import alignment, csvs
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import Scores
from rl_es.errors import UserError, brief, did_you_mean

UNTRAINED, THRESHOLD, BEST = "untrained", "threshold", "best"
LOW = UNTRAINED


@dataclass(frozen=True)
class Scale:
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
        return sorted(self.low[1], key=natural)

    @cached_property
    def told(self) -> str:
        """For people: '0 is untrained, 1 is threshold'."""
        return f"0 is {self.low[0]}, 1 is {self.high[0]}"

    def score(self, environments: Iterable[str], returns: Iterable[float]) -> np.ndarray:
        """The scores [S] of returns [S] in environments [S], all of them on the scale."""
        ends = [(self.low[1][env], self.high[1][env]) for env in environments]
        low, high = np.array(ends, dtype=float).reshape(-1, 2).T
        return (np.asarray(returns, dtype=float) - low) / (high - low)


def scale(results: Results, low: str = LOW, high: str | None = None) -> Scale:
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
    return Scale(
        (low, {env: lows[env] for env in fitting}),
        (high, {env: highs[env] for env in fitting}),
        tuple(env for env in results.environments if env not in fitting),
    )


def finals(results: Results, on: Scale) -> dict[str, Scores]:
    """The scores of final returns, by label in the order of legends.

    Of finished runs, and of running ones with what they have; see `alignment.COUNTED`.
    """
    returns = alignment.final_returns(results.curves, results.runs)
    return of_runs(results, on, returns)


def of_runs(results: Results, on: Scale, returns: pd.Series) -> dict[str, Scores]:
    """The scores of some return of each run, aligned with the runs table, by label."""
    runs = results.runs.assign(value=returns.astype(float))
    runs = runs[runs["status"].isin(alignment.COUNTED) & np.isfinite(runs["value"])]
    runs = runs[runs["env"].isin(on.environments)]
    found = {}
    for label in results.shown:
        own = runs[runs["label"] == label]
        values = on.score(own["env"], own["value"])
        found[label] = Scores(values, own["env"].to_numpy(str), own["seed"].to_numpy(int))
    return found


def _reference(results: Results, name: str) -> dict[str, float]:
    """A reference's return by environment, where it has one."""
    known: dict[str, Callable[[Results], dict[str, float]]] = {
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


def _untrained(results: Results) -> dict[str, float]:
    rows = results.curves[results.curves["env_steps"] == 0]
    return _plain(rows.groupby("env")["return_mean"].mean())


def _thresholds(results: Results) -> dict[str, float]:
    return _plain(results.runs.groupby("env")["threshold"].max())


def _means(results: Results) -> pd.Series:
    """Mean final returns by (env, label), of the runs that count."""
    final = alignment.final_returns(results.curves, results.runs)
    runs = results.runs.assign(final=final)
    return runs[runs["status"].isin(alignment.COUNTED)].groupby(["env", "label"])["final"].mean()


def _best(results: Results) -> dict[str, float]:
    return _plain(_means(results).groupby("env").max())


def _of_label(results: Results, label: str) -> dict[str, float]:
    means = _means(results)
    return _plain(means[means.index.get_level_values("label") == label].droplevel("label"))


def _plain(series: pd.Series) -> dict[str, float]:
    return {str(env): float(value) for env, value in series.items() if np.isfinite(value)}


def _from_file(path: Path, column: str) -> dict[str, float]:
    table = csvs.read(path, ["env", column], "table of references")
    _distinct(path, table["env"])
    values = csvs.numbers(path, table, column)
    return _plain(pd.Series(values.to_numpy(float), index=table["env"]))


def _distinct(path: Path, environments: Iterable[object]) -> None:
    seen: set[object] = set()
    for env in environments:
        if env in seen:
            raise UserError(f"{path}: environment '{brief(env)}' stands there twice")
        seen.add(env)
