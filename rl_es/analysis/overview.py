"""The summary table as people read it: its columns, their names, and what they mean."""

from dataclasses import replace

import pandas as pd

from rl_es.analysis import cells
from rl_es.analysis.cells import Cell, Table
from rl_es.analysis.digest import Digest
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.statistics import CONFIDENCE, MANY_REPLICATES, REPLICATES

MAIN = "interquartile_mean"
_THRESHOLD = ("reached", "steps to threshold", "success at the end")


def table(digest: Digest) -> Table:
    """The summary table; the labels of `Digest.best` are in bold."""
    summary = digest.summary
    threshold = _has_threshold(summary)
    heads = ["environment", "agent", "n", "final return", f"{CONFIDENCE:.0%} interval", "best"]
    heads += ["first", "env steps", *(_THRESHOLD if threshold else [])]
    left = [name for name in ("diverged", "failed", "running") if summary[name].any()]
    heads += ["seconds", *left]
    rows, scales = [], _scales(summary)
    for row in summary.to_dict("records"):
        strong = (row["env"], row["label"]) in digest.best
        found = [cells.words(row["env"]), cells.words(row["label"], strong), cells.count(row["n"])]
        found += [cells.number(row["final_mean"], strong)]
        ends = row["ci_low"], row["final_mean"], row["ci_high"]
        scale = scales.loc[row["env"]]
        found += [_interval(*ends, within=(scale["low"], scale["high"]))]
        found += [cells.number(row["best_mean"]), cells.number(row["first_mean"])]
        found += [cells.steps(row["env_steps_mean"]), *(_reached(row) if threshold else [])]
        found += [cells.number(row["wall_seconds_mean"])]
        rows.append(found + [cells.count(row[name]) for name in left])
    return cells.table(heads, rows)


def legend(digest: Digest) -> str:
    """What the columns mean."""
    said = (
        "Means over n runs: finished ones, and running ones as far as they have come; diverged and "
        "failed runs are left out. Interval: stratified bootstrap of the mean over seeds, with "
        f"percentiles expanded for few seeds ({REPLICATES:,} replicates). Bold: the best label, "
        "where it differs from every other label of its environment (p < 0.05, adjusted for their "
        "number). First: the return before any training. Seconds: elapsed time per run, divided by "
        "the runs that shared it, without compilation."
    )
    if _has_threshold(digest.summary):
        said += (
            " Steps to threshold: the steps by which half of the runs have reached it, by the "
            "Kaplan-Meier estimate: a run that ended before counts up to its end only, so where "
            "runs differ in length few may decide; infinite where it stays below one half. "
            "Success at the end: the share of runs whose last evaluation is at or above the "
            f"threshold, with its {CONFIDENCE:.0%} Wilson interval; diverged runs are failures."
        )
    return said


def has_totals(digest: Digest) -> bool:
    """Whether several labels have scores in several environments."""
    several = digest.scale is not None and len(digest.scale.environments) > 1
    return several and _whole(digest)["label"].nunique() > 1


def _whole(digest: Digest) -> pd.DataFrame:
    """The aggregates of labels that have a score in every environment of the scale."""
    found, scale = digest.aggregates, digest.scale
    return found[found["environments"] == (0 if scale is None else len(scale.environments))]


def totals(digest: Digest) -> Table:
    """The aggregates: a row per label, with the interquartile mean first."""
    aggregates = _whole(digest)
    statistics = list(dict.fromkeys(aggregates["statistic"]))
    statistics.sort(key=lambda name: name != MAIN)
    heads = ["agent", "runs"]
    for name in statistics:
        heads += [name.replace("_", " "), f"{CONFIDENCE:.0%} interval"]
    bounds = aggregates[aggregates["statistic"] == MAIN]
    scale = bounds["low"].min(), bounds["high"].max()
    rows = []
    for label, own in aggregates.groupby("label", sort=False):
        found = own.set_index("statistic")
        row = [cells.words(label), cells.count(found["n"].iloc[0])]
        for name in statistics:
            one = found.loc[name]
            ends = one["low"], one["estimate"], one["high"]
            interval = _interval(*ends, within=scale if name == MAIN else None)
            row += [cells.number(one["estimate"]), interval]
        rows.append(row)
    return cells.table(heads, rows)


def legend_of_totals(digest: Digest) -> str:
    """What the aggregates mean."""
    scale = digest.scale
    if scale is None:
        return ""
    left = f" Not on this scale: {', '.join(scale.left_out)}." if scale.left_out else ""
    gone = sorted(set(digest.summary["label"]) - set(_whole(digest)["label"]), key=natural)
    left += f" Without a score in each of them: {', '.join(gone)}." if gone else ""
    return (
        f"Scores of the last evaluation: {scale.told}, over {len(scale.environments)} "
        f"environments.{left} Interquartile mean: of the middle half of all runs. Optimality gap: "
        "how far scores fall short of 1, so less is better. Intervals: as above, of "
        f"{MANY_REPLICATES:,} replicates. comparisons.csv compares the labels with each other."
    )


def _interval(
    low: float, middle: float, high: float, within: tuple[float, float] | None = None
) -> Cell:
    """An interval, drawn to the scale of the numbers that it lies within."""
    cell = cells.interval(low, high)
    if within is None or pd.isna(low) or not within[1] > within[0]:
        return cell
    start, length = within[0], within[1] - within[0]
    ends = [(float(value) - start) / length for value in (low, middle, high)]
    return replace(cell, span=(ends[0], ends[1], ends[2]))


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
