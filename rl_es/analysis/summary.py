"""The tables that a sweep's report is made from: summary, aggregates of scores, comparisons.

The summary has one row per (environment, label), over its seeds.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_es.analysis import scores
from rl_es.analysis.curves import (
    COUNTED_STATUSES,
    final_returns,
    final_success,
    per_run_seconds,
    threshold_times,
)
from rl_es.analysis.drawing.palette import assign_styles, natural_order
from rl_es.analysis.metrics import significant_best_labels
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import REPLICATES, bootstrap
from rl_es.analysis.statistics.threshold import median_time


def summarise(
    curves: pd.DataFrame, runs: pd.DataFrame, *, replicates: int = REPLICATES
) -> pd.DataFrame:
    """Returns one row per (env, label), environments in natural order, labels in that of legends.

    `n` counts the runs in the means: finished and running ones with at least one finite evaluation.
    `ci_low` and `ci_high` bound the mean final return (95 % stratified bootstrap; empty for n = 1).
    `steps_to_threshold_median` is the time by which half of the runs have reached the threshold,
    with the bounds of its interval as `_low` and `_high`: a run that did not is censored where it
    stands, a diverged one never arrives, failed ones are left out. It is infinite where fewer than
    half do, and so may a bound be. `seconds_to_threshold_median` likewise, in seconds per run.
    `success_rate` is the share of runs whose last evaluation is at or above the threshold; diverged
    runs count as failures. `success_low` and `success_high` bound it (95 % Wilson interval).
    `reached_threshold` counts the runs of which any evaluation is at or above the threshold. All of
    these are empty without a threshold. Seconds are per run: elapsed seconds over lanes; seconds of
    compilation are those of the group.
    """
    runs = runs.assign(final=final_returns(curves, runs))
    rows = [
        {"env": env, "label": label, **_row(curves, group, replicates)}
        for (env, label), group in runs.groupby(["env", "label"])
    ]
    order = list(assign_styles(dict(zip(runs["label"], runs["agent"], strict=True))))
    rows.sort(key=lambda row: (natural_order(row["env"]), order.index(row["label"])))
    return pd.DataFrame(rows).astype({"reached_threshold": "Int64"})


def _row(curves: pd.DataFrame, runs: pd.DataFrame, replicates: int) -> dict[str, object]:
    status = runs["status"].value_counts()
    mean = runs[runs["status"].isin(COUNTED_STATUSES) & np.isfinite(runs["final"])]
    points = curves[curves["run_id"].isin(mean["run_id"])].sort_values("generation")
    first, last = (points.groupby("run_id").nth(position) for position in (0, -1))
    interval = bootstrap(mean["final"].to_numpy(float), replicates=replicates)
    return {
        "agent": runs["agent"].iloc[0],
        "n": interval.n,
        **{
            name: int(status.get(name, 0)) for name in ("finished", "diverged", "failed", "running")
        },
        "final_mean": float(interval.estimate),
        "ci_low": float(interval.low),
        "ci_high": float(interval.high),
        "best_mean": points.groupby("run_id")["return_mean"].max().mean(),
        "first_mean": first["return_mean"].mean(),
        "env_steps_mean": last["env_steps"].mean(),
        "threshold": runs["threshold"].max(),
        **_to_threshold(curves, runs, replicates),
        **_success(runs),
        "wall_seconds_mean": per_run_seconds(last).mean(),
        "compile_seconds_mean": last["compile_seconds"].mean(),
    }


def _to_threshold(curves: pd.DataFrame, runs: pd.DataFrame, replicates: int) -> dict[str, object]:
    has_threshold = runs["threshold"].notna().any()
    abscissae = {"steps": curves["env_steps"], "seconds": per_run_seconds(curves)}
    times = {name: threshold_times(curves, runs, x) for name, x in abscissae.items()}
    arrived = int(times["steps"].reached.sum())
    row: dict[str, object] = {"reached_threshold": arrived if has_threshold else None}
    for name, reaching in times.items():
        median = median_time(reaching, replicates=replicates)
        bounds = {"median": median.estimate, "low": median.low, "high": median.high}
        for bound, value in bounds.items():
            row[f"{name}_to_threshold_{bound}"] = float(value) if has_threshold else np.nan
    return row


def _success(runs: pd.DataFrame) -> dict[str, float]:
    share = final_success(runs)
    has_threshold = runs["threshold"].notna().any()
    bounds = {"rate": share.estimate, "low": share.low, "high": share.high}
    return {
        f"success_{n}": float(value) if has_threshold else np.nan for n, value in bounds.items()
    }


@dataclass(frozen=True)
class Digest:
    """Tables of a results folder.

    Attributes:
      summary: a row per (environment, label), by `summarise`.
      aggregates: a row per (label, statistic), by `scores.aggregate_scores`; empty without a scale.
      comparisons: a row per pair of labels and environment, by `scores.compare_scores`; empty
        without a scale.
      scale: the scale of the scores; None where no environment has both references.
      best: the (environment, label) pairs that `metrics.supported_best` finds.
    """

    summary: pd.DataFrame
    aggregates: pd.DataFrame
    comparisons: pd.DataFrame
    scale: scores.ScoreScale | None
    best: Collection[tuple[str, str]] = ()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Returns the three tables by the name of their file, without its suffix."""
        return {
            "summary": self.summary,
            "aggregates": self.aggregates,
            "comparisons": self.comparisons,
        }


def make_digest(results: ResultTables) -> Digest:
    """Returns the tables of a folder, with scores on its default scale."""
    scale = scores.score_scale(results)
    return Digest(
        summarise(results.curves, results.runs),
        scores.aggregate_scores(results, scale),
        scores.compare_scores(results, scale),
        scale if scale.environments else None,
        {
            (env, label)
            for env, label in significant_best_labels(results).items()
            if label is not None
        },
    )
