"""Returns of several environments on one scale, and labels over all environments.

On the scale, 0 and 1 are named references of each environment. A reference is one of

`untrained`  the mean return before any training, over all runs in the environment;
`threshold`  the return that the sweep counts as solved;
`best`       the mean final return of the label that has the highest;
`LABEL`      the mean final return of a label that has runs here, such as ppo or random_search;
`FILE:NAME`  the column NAME of a CSV file with a column `env`.

References count as exact: intervals of scores do not include their uncertainty. An environment is
left out and named if it lacks a reference, or if its reference for 1 is not above that for 0 (a
better return would score less). Runs that diverged or failed have no score.

Two tables summarise all environments of a folder:

`aggregates`   one row a (label, statistic): mean, median, interquartile mean and optimality gap of
               normalised final returns;
`comparisons`  one row a (first label, second label, environment), and one over all environments.

Axis letters: S runs (of all environments).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis.curves import COUNTED_STATUSES, final_returns
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics import (
    MANY_REPLICATES,
    Interval,
    Scores,
    aggregate_all,
    are_paired,
    common_tasks,
    compare_tasks,
    probability_of_improvement,
)
from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results import text_files

MAX_BYTES = 64 * 2**20  # of a CSV file
MAX_PAIRED_LABELS = 12  # up to here every pair is compared; beyond, each label with the best one
MIN_SHARED = 2  # environments, of an aggregate over those that all labels share
ALL_ENVIRONMENTS = "all"
UNTRAINED, THRESHOLD, BEST = "untrained", "threshold", "best"
LOW = UNTRAINED


@dataclass(frozen=True)
class ScoreScale:
    """The returns that are 0 and 1 in each environment.

    Attributes:
      low: Name of the reference that is 0, and its return by environment.
      high: Name of the reference that is 1, and its return by environment.
      left_out: Environments that cannot be put on the scale.
      unshared: Environments that `shared_scale` left out, since some label has no run there.
    """

    low: tuple[str, Mapping[str, float]]
    high: tuple[str, Mapping[str, float]]
    left_out: tuple[str, ...]
    unshared: tuple[str, ...] = ()

    @property
    def environments(self) -> list[str]:
        """The environments that are on the scale, in the order of the results."""
        return list(self.low[1])

    @property
    def description(self) -> str:
        """A text for readers: '0 is untrained, 1 is threshold', '0 is random of scores.csv'."""
        low, high = (_readable_reference(name) for name, _ in (self.low, self.high))
        return f"0 is {low}, 1 is {high}"

    def score(self, environments: Iterable[str], returns: Iterable[float]) -> np.ndarray:
        """Returns the scores [S] of returns [S] in environments [S], all of them on the scale."""
        ends = [(self.low[1][env], self.high[1][env]) for env in environments]
        low, high = np.array(ends, dtype=float).reshape(-1, 2).T
        return (np.asarray(returns, dtype=float) - low) / (high - low)


def _readable_reference(name: str) -> str:
    """Returns a reference's name, a file's column without the folder of the file."""
    path, _, column = name.rpartition(":")
    return f"{column} of {Path(path).name}" if Path(path).suffix else name


def score_scale(results: ResultTables, low: str = LOW, high: str | None = None) -> ScoreScale:
    """Returns the scale of a folder's environments.

    Args:
      results: Results of the folder.
      low: The reference that is 0.
      high: The reference that is 1; None for the threshold if every environment of the folder has
        one, else the best label.

    Raises:
      UserError: There is no such reference.
    """
    if results.original is not None:
        return _adapted_scale(results, score_scale(results.original, low, high))
    if high is None:
        has_threshold = results.root.runs.groupby("env")["threshold"].max().notna()
        high = THRESHOLD if has_threshold.all() else BEST
    lows, highs = (_reference_returns(results, name) for name in (low, high))
    scalable = [
        env for env in results.environments if lows.get(env, np.nan) < highs.get(env, np.nan)
    ]
    return ScoreScale(
        (low, {env: lows[env] for env in scalable}),
        (high, {env: highs[env] for env in scalable}),
        tuple(env for env in results.environments if env not in scalable),
    )


def shared_scale(results: ResultTables, scale: ScoreScale) -> ScoreScale:
    """Returns a scale's part over the environments in which every label has runs.

    Labels of a merged folder need not have run in the same environments, and aggregates compare
    them over what they share. Runs of any status count, so that a label whose runs all diverge
    somewhere changes nothing. Where fewer than `MIN_SHARED` environments are shared, the scale is
    returned as it is, and aggregates are of the labels that have runs in all of them.
    """
    counts = results.runs.groupby("env")["label"].nunique()
    complete = set(counts[counts == results.runs["label"].nunique()].index)
    shared = [env for env in scale.environments if env in complete]
    if not MIN_SHARED <= len(shared) < len(scale.environments):
        return scale
    low, high = (
        (name, {env: returns[env] for env in shared}) for name, returns in (scale.low, scale.high)
    )
    unshared = tuple(env for env in scale.environments if env not in shared)
    return replace(scale, low=low, high=high, unshared=unshared)


def missing_totals_text(pairs: Collection[tuple[str, str]], scale: ScoreScale) -> str:
    """Returns why no aggregate compares labels, in one line.

    Args:
      pairs: The (environment, label) pairs that have runs.
      scale: The scale of the aggregates, of `shared_scale`.

    Returns:
      Text; empty for a single environment or label, of which nothing is missed.
    """
    environments, labels = {env for env, _ in pairs}, {label for _, label in pairs}
    if len(environments) < 2 or len(labels) < 2:
        return ""
    on_scale = [env for env in scale.environments if env in environments]
    if len(on_scale) < MIN_SHARED:
        scalable = ", ".join(on_scale) or "no environment"
        reason = f"{scalable} can be scaled, where {scale.description}"
        return f"No aggregates over environments: {reason}; an aggregate needs {MIN_SHARED}."
    shared = [env for env in on_scale if all((env, label) in pairs for label in labels)]
    names = f" ({', '.join(shared)})" if shared else ""
    return (
        "No aggregates over environments: the environments in which every label has runs are "
        f"{len(shared)}{names}, and an aggregate needs {MIN_SHARED}, or two labels with a score in "
        f"all {len(on_scale)}."
    )


def _adapted_scale(results: ResultTables, scale: ScoreScale) -> ScoreScale:
    """Returns a scale of all results for those that are drawn, under their new names."""
    names = results.figure_settings.rename

    def adapt_ends(ends: tuple[str, Mapping[str, float]]) -> tuple[str, dict[str, float]]:
        by_env = {names.get(env, env): value for env, value in ends[1].items()}
        values = {env: by_env[env] for env in results.environments if env in by_env}
        return names.get(ends[0], ends[0]), values

    missing = {names.get(env, env) for env in scale.left_out}
    left_out = tuple(env for env in results.environments if env in missing)
    return ScoreScale(adapt_ends(scale.low), adapt_ends(scale.high), left_out)


def _reference_returns(results: ResultTables, name: str) -> dict[str, float]:
    """Returns a reference's return by environment, where it has one."""
    curves, labels = results.curves, set(results.runs["label"])
    path, _, column = name.rpartition(":")
    if name == UNTRAINED:
        return _finite_items(curves[curves["env_steps"] == 0].groupby("env")["return_mean"].mean())
    if name == THRESHOLD:
        return _finite_items(results.runs.groupby("env")["threshold"].max())
    if name == BEST or name in labels:
        runs = results.runs.assign(final=final_returns(curves, results.runs))
        runs = runs[runs["status"].isin(COUNTED_STATUSES)]
        means = runs.groupby(["env", "label"])["final"].mean()
        at_label = means.index.get_level_values("label") == name
        return _finite_items((means if name == BEST else means[at_label]).groupby("env").max())
    if path:
        return _read_references(Path(path), column)
    names = [UNTRAINED, THRESHOLD, BEST, *results.legend]
    raise UserError(
        f"unknown reference '{brief(name)}'{did_you_mean(name, names)}; known here: "
        f"{', '.join(map(brief, names[:20]))}, or FILE.csv:COLUMN"
    )


def _finite_items(series: pd.Series) -> dict[str, float]:
    return {str(env): float(value) for env, value in series.items() if np.isfinite(value)}


def _read_references(path: Path, column: str) -> dict[str, float]:
    """Reads a column of references by environment from a CSV file."""
    table = read_csv_table(path, ["env", column], "table of references")
    duplicates = table["env"][table["env"].duplicated()]
    if len(duplicates):
        raise UserError(f"{path}: environment '{brief(duplicates.iloc[0])}' stands there twice")
    values = read_number_column(path, table, column)
    return _finite_items(pd.Series(values.to_numpy(float), index=table["env"]))


def read_csv_table(path: Path, columns: Sequence[str], kind: str) -> pd.DataFrame:
    """Reads a CSV file that people or other programs wrote, every cell as text.

    The file is UTF-8 text of at most `MAX_BYTES`, whatever its name ends in.

    Args:
      path: The file.
      columns: Columns that it must have; it may have others.
      kind: Kind of table, for messages.

    Raises:
      UserError: It cannot be read, a row has more or fewer cells than the head, or a column is
        missing or there twice.
    """
    head, rows = text_files.read_csv(path, kind, MAX_BYTES)
    for name in columns:
        if name not in head:
            names = ", ".join(map(brief, head[:20])) or "none"
            raise UserError(f"{path}: no column '{brief(name)}'; it has {names}")
        if head.count(name) > 1:
            raise UserError(f"{path}: column '{brief(name)}' stands there twice")
    return pd.DataFrame(rows, columns=head, dtype=str)


def read_number_column(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column of a table of text as numbers; NaN where a cell is empty.

    Raises:
      UserError: A cell holds something else.
    """
    cells = table[column].str.strip()
    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = cells[numbers.isna() & ~cells.str.lower().isin(["", "nan", "none", "null", "na"])]
    if len(wrong):
        row = int(wrong.index[0]) + 2
        raise UserError(
            f"{path}: column '{brief(column)}', row {row}: must be a number, "
            f"is '{brief(wrong.iloc[0])}'"
        )
    return numbers


def final_scores(results: ResultTables, scale: ScoreScale) -> dict[str, Scores]:
    """Returns the scores of final returns, by label in the order of legends.

    Only runs with a status of `rl_es.analysis.curves.COUNTED_STATUSES` have a score.
    """
    returns = final_returns(results.curves, results.runs)
    return scores_of_runs(results, scale, returns)


def scores_of_runs(
    results: ResultTables, scale: ScoreScale, returns: pd.Series
) -> dict[str, Scores]:
    """Returns the scores of some return of each run, aligned with the runs table, by label."""
    runs = results.runs.assign(value=returns.astype(float))
    runs = runs[runs["status"].isin(COUNTED_STATUSES) & np.isfinite(runs["value"])]
    runs = runs[runs["env"].isin(scale.environments)]
    scores = {}
    for label in results.legend:
        rows = runs[runs["label"] == label]
        values = scale.score(rows["env"], rows["value"])
        scores[label] = Scores(values, rows["env"].to_numpy(str), rows["seed"].to_numpy(int))
    return scores


def aggregate_scores(
    results: ResultTables, scale: ScoreScale, *, replicates: int = MANY_REPLICATES
) -> pd.DataFrame:
    """Tabulates label, statistic, estimate, low, high, n (runs), environments, zero, one."""
    rows = []
    for label, scores in final_scores(results, scale).items():
        if not len(scores.values):
            continue
        for name, interval in aggregate_all(scores, replicates=replicates).items():
            row = {"label": label, "statistic": name, **interval.as_dict()}
            rows.append({**row, "n": interval.n, "environments": len(scores.names)})
    references = {"zero": scale.low[0], "one": scale.high[0]}
    columns = ["label", "statistic", "estimate", "low", "high", "n", "environments"]
    return pd.DataFrame(rows, columns=columns).assign(**references)


def compare_scores(results: ResultTables, scale: ScoreScale) -> pd.DataFrame:
    """Tabulates first, second, env, probability, low, high, paired, p, p_adjusted.

    `probability` is that of a run of the first label scoring above one of the second. P-values are
    of single environments, adjusted for their number; the row of all environments has none.
    """
    scores = final_scores(results, scale)
    scores = {label: values for label, values in scores.items() if len(values.values)}
    rows = []
    for first, second in _label_pairs(scores):
        x, y = scores[first], scores[second]
        if not common_tasks(x, y):
            continue
        pair = {"first": first, "second": second}
        total = _probability_columns(probability_of_improvement(x, y))
        rows.append({**pair, "env": ALL_ENVIRONMENTS, **total, "paired": are_paired(x, y)})
        for task in compare_tasks(x, y):
            row = {**pair, "env": task.task, **_probability_columns(task.probability)}
            rows.append(
                {**row, "paired": task.is_paired, "p": task.p, "p_adjusted": task.adjusted_p}
            )
    columns = ["first", "second", "env", "probability", "low", "high", "paired", "p", "p_adjusted"]
    return pd.DataFrame(rows, columns=columns)


def _label_pairs(scores: dict[str, Scores]) -> list[tuple[str, str]]:
    """Returns every pair of labels, or, of many labels, each with the best."""
    if len(scores) <= MAX_PAIRED_LABELS:
        return list(combinations(scores, 2))
    best = max(scores, key=lambda label: scores[label].values.mean())
    return [(best, label) for label in scores if label != best]


def _probability_columns(interval: Interval) -> dict[str, float]:
    bounds = interval.as_dict()
    return {"probability": bounds.pop("estimate"), **bounds}
