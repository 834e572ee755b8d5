"""The summary table for reading: which columns, what they are called, what they mean."""

from collections.abc import Collection
from dataclasses import replace

import pandas as pd

from rl_es.analysis import cells
from rl_es.analysis.cells import Cell, Table
from rl_es.analysis.statistics import CONFIDENCE, REPLICATES

_THRESHOLD = ("reached", "steps to threshold", "success at the end")


def table(summary: pd.DataFrame, best: Collection[tuple[str, str]] = ()) -> Table:
    """The table that `summary.summarise` made, for reading.

    Args:
      summary: a row an (environment, label).
      best: those whose lead the intervals support: they stand out.
    """
    threshold = _has_threshold(summary)
    heads = ["environment", "agent", "n", "final return", f"{CONFIDENCE:.0%} interval", "best"]
    heads += ["first", "env steps", *(_THRESHOLD if threshold else [])]
    left = [name for name in ("diverged", "failed", "running") if summary[name].any()]
    heads += ["seconds", *left]
    rows, scales = [], _scales(summary)
    for row in summary.to_dict("records"):
        strong = (row["env"], row["label"]) in best
        found = [cells.words(row["env"]), cells.words(row["label"], strong), cells.count(row["n"])]
        found += [cells.number(row["final_mean"], strong)]
        interval = cells.interval(row["ci_low"], row["ci_high"])
        found += [replace(interval, span=_span(row, scales.loc[row["env"]]))]
        found += [cells.number(row["best_mean"]), cells.number(row["first_mean"])]
        found += [cells.steps(row["env_steps_mean"]), *(_reached(row) if threshold else [])]
        found += [cells.number(row["wall_seconds_mean"])]
        rows.append(found + [cells.count(row[name]) for name in left])
    return cells.table(heads, rows)


def legend(summary: pd.DataFrame) -> str:
    """What the columns mean."""
    said = (
        "Means over n runs, finished or running with what they have; diverged and failed runs are "
        "not in them. Interval: stratified bootstrap of the mean over seeds, percentiles expanded "
        f"for few seeds ({REPLICATES:,} replicates). First: before any training. "
        "Seconds: elapsed a run, divided by the runs that shared them, without compilation."
    )
    if _has_threshold(summary):
        said += (
            " Steps to threshold: by which half of the runs have reached it (those that have not "
            "are censored where they end); infinite where fewer do. Success at the end: the share "
            "of runs whose last evaluation is at or above the threshold, "
            f"with its {CONFIDENCE:.0%} Wilson interval; those that diverged are none."
        )
    return said


def _has_threshold(summary: pd.DataFrame) -> bool:
    return bool(summary["threshold"].notna().any())


def _reached(row: dict) -> list[Cell]:
    if pd.isna(row["reached_threshold"]):
        return [cells.number(None)] * len(_THRESHOLD)
    tried = row["finished"] + row["running"] + row["diverged"]
    return [
        Cell(f"{row['reached_threshold']:.0f} of {tried}", float(row["reached_threshold"])),
        cells.steps(row["steps_to_threshold_median"]),
        cells.share(*(row[f"success_{name}"] for name in ("rate", "low", "high"))),
    ]


def _scales(summary: pd.DataFrame) -> pd.DataFrame:
    """The smallest and largest end of each environment's intervals."""
    ends = summary[["final_mean", "ci_low", "ci_high"]].astype(float)
    ends = pd.DataFrame({"env": summary["env"], "low": ends.min(axis=1), "high": ends.max(axis=1)})
    return ends.groupby("env").agg({"low": "min", "high": "max"})


def _span(row: dict, scale: pd.Series) -> tuple[float, float, float] | None:
    width = scale["high"] - scale["low"]
    if pd.isna(row["ci_low"]) or not width > 0:
        return None
    low, middle, high = (
        float((row[name] - scale["low"]) / width) for name in ("ci_low", "final_mean", "ci_high")
    )
    return low, middle, high
