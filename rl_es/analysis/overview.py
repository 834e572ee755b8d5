"""The summary table for reading: which columns, what they are called, what they mean."""

from collections.abc import Collection

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
    rows = []
    for row in summary.to_dict("records"):
        strong = (row["env"], row["label"]) in best
        found = [cells.words(row["env"]), cells.words(row["label"], strong), cells.count(row["n"])]
        found += [cells.number(row["final_mean"], strong)]
        found += [cells.interval(row["ci_low"], row["ci_high"])]
        found += [cells.number(row["best_mean"]), cells.number(row["first_mean"])]
        found += [cells.count(row["env_steps_mean"]), *(_reached(row) if threshold else [])]
        found += [cells.number(row["wall_seconds_mean"])]
        rows.append(found + [cells.count(row[name]) for name in left])
    return cells.table(heads, rows)


def legend(summary: pd.DataFrame) -> str:
    """What the columns mean."""
    said = (
        "Means over n runs, finished or running with what they have; diverged and failed runs are "
        f"not in them. Interval: stratified percentile bootstrap of the mean over seeds "
        f"({REPLICATES:,} replicates, too narrow with few seeds). First: before any training. "
        "Seconds: elapsed a run, divided by the runs that shared them, without compilation."
    )
    if _has_threshold(summary):
        said += (
            " Steps to threshold: the median, where more than half of the runs reached it. Success "
            "at the end: the share of runs whose last evaluation is at or above the threshold, "
            f"with its {CONFIDENCE:.0%} Wilson interval; those that diverged are none."
        )
    return said


def _has_threshold(summary: pd.DataFrame) -> bool:
    return bool(summary["threshold"].notna().any())


def _reached(row: dict) -> list[Cell]:
    if pd.isna(row["reached_threshold"]):
        return [cells.number(None)] * len(_THRESHOLD)
    tried = row["finished"] + row["running"] + row["diverged"]
    rate, bounds = (
        cells.number(row["success_rate"]),
        cells.interval(row["success_low"], row["success_high"]),
    )
    return [
        Cell(f"{row['reached_threshold']:.0f} of {tried}", float(row["reached_threshold"])),
        cells.count(row["steps_to_threshold_median"]),
        Cell(f"{rate.text} {bounds.text}", rate.key),
    ]
