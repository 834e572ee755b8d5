"""The summary table: one row per (environment, label), over its seeds.

The tables that a report is made from: a summary, aggregates of scores, comparisons of labels.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis import scores
from rl_es.analysis.curves import (
    COUNTED,
    final_returns,
    final_share,
    per_run_seconds,
    threshold_times,
)
from rl_es.analysis.drawing.palette import natural_order, styles
from rl_es.analysis.metrics import supported_best
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import REPLICATES, bootstrap
from rl_es.analysis.statistics.threshold import median_time
from rl_es.results.files import write_text


def summarise(
    curves: pd.DataFrame, runs: pd.DataFrame, *, replicates: int = REPLICATES
) -> pd.DataFrame:
    """One row per (env, label); environments in natural order, labels in that of the legends.

    `n` counts the runs in the means: finished and running ones with at least one finite evaluation.
    `ci_low` and `ci_high` bound the mean final return (95 % stratified bootstrap; empty for n = 1).
    `steps_to_threshold_median` is the time by which half of the runs have reached the threshold,
    with the bounds of its interval as `_low` and `_high`: a run that did not is censored where it
    stands, a diverged one never arrives, failed ones are left out. It is infinite where fewer than
    half do, and so may a bound be. `seconds_to_threshold_median` likewise, in seconds per run.
    `success_rate` is the share of runs, diverged ones among
    them as failures, whose last evaluation is at or above the threshold (`reached_threshold` counts
    those that any evaluation brought there), with the bounds of its 95 % Wilson interval as
    `success_low` and `success_high`; empty without a threshold. Seconds are per run: elapsed over
    lanes; those of compilation are the group's.
    """
    runs = runs.assign(final=final_returns(curves, runs))
    rows = [
        {"env": env, "label": label, **_row(curves, group, replicates)}
        for (env, label), group in runs.groupby(["env", "label"])
    ]
    place = list(styles(dict(zip(runs["label"], runs["agent"], strict=True))))
    rows.sort(key=lambda row: (natural_order(row["env"]), place.index(row["label"])))
    return pd.DataFrame(rows).astype({"reached_threshold": "Int64"})


def _row(curves: pd.DataFrame, runs: pd.DataFrame, replicates: int) -> dict[str, object]:
    status = runs["status"].value_counts()
    mean = runs[runs["status"].isin(COUNTED) & np.isfinite(runs["final"])]
    points = curves[curves["run_id"].isin(mean["run_id"])].sort_values("generation")
    first, last = (points.groupby("run_id").nth(place) for place in (0, -1))
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
    known = runs["threshold"].notna().any()
    counted = {"steps": curves["env_steps"], "seconds": per_run_seconds(curves)}
    reached = {name: threshold_times(curves, runs, x) for name, x in counted.items()}
    arrived = int(reached["steps"].reached.sum())
    found: dict[str, object] = {"reached_threshold": arrived if known else None}
    for name, of in reached.items():
        median = median_time(of, replicates=replicates)
        bounds = {"median": median.estimate, "low": median.low, "high": median.high}
        for bound, value in bounds.items():
            found[f"{name}_to_threshold_{bound}"] = float(value) if known else np.nan
    return found


def _success(runs: pd.DataFrame) -> dict[str, float]:
    share = final_share(runs)
    known = runs["threshold"].notna().any()
    bounds = {"rate": share.estimate, "low": share.low, "high": share.high}
    return {f"success_{n}": float(value) if known else np.nan for n, value in bounds.items()}


@dataclass(frozen=True)
class Digest:
    """The tables of a results folder.

    Attributes:
      summary: a row per (environment, label), `summary.summarise`.
      aggregates: a row per (label, statistic), `totals.of`; empty without a scale for scores.
      comparisons: a row per pair of labels and environment, `totals.between`; none without a scale.
      scale: of the scores; None where no environment has both references.
      best: the (environment, label) pairs that `best.supported_best` finds.
    """

    summary: pd.DataFrame
    aggregates: pd.DataFrame
    comparisons: pd.DataFrame
    scale: scores.ScoreScale | None
    best: Collection[tuple[str, str]] = ()


def make_digest(results: ResultTables) -> Digest:
    """The tables of a folder, on its default scale."""
    scale = scores.scale(results)
    return Digest(
        summarise(results.curves, results.runs),
        scores.aggregate_scores(results, scale),
        scores.compare_scores(results, scale),
        scale if scale.environments else None,
        {(env, label) for env, label in supported_best(results).items() if label is not None},
    )


def write_digest(folder: Path, digest: Digest) -> list[Path]:
    """Writes `summary.csv`, `aggregates.csv` and `comparisons.csv`; returns their paths."""
    written = []
    for name in ("summary", "aggregates", "comparisons"):
        written.append(folder / f"{name}.csv")
        write_text(written[-1], getattr(digest, name).to_csv(index=False))
    return written
