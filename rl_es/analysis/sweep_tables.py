"""The tables of a sweep's report, unrounded and for reading, and its legends and texts.

The unrounded tables are the summary, with one row per (environment, label) over its seeds, and the
aggregates and comparisons of scores. All else is neither escaped nor laid out: `index.md`
(`rl_es.analysis.sweep_report`) and `report.html` (`rl_es.analysis.html`) hold the same.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

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
from rl_es.analysis.drawing import assign_styles, natural_order
from rl_es.analysis.formatting import (
    Table,
    TableCell,
    count_cell,
    format_count,
    format_ranges,
    interval_cell,
    make_table,
    number_cell,
    share_cell,
    steps_cell,
    text_cell,
)
from rl_es.analysis.metrics import significant_best_labels
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics import (
    CONFIDENCE,
    MANY_REPLICATES,
    REPLICATES,
    bootstrap,
    median_time,
)
from rl_es.results.manifest import SweepManifest, describe_mixed, parse_versions

STATUSES = ("finished", "running", "diverged", "failed")
LONGEST_REASON = 300  # characters; the full text is in runs.csv
MAIN = "interquartile_mean"
INTERVAL = f"{CONFIDENCE:.0%} interval"
THRESHOLD_HEADS = ("reached", "steps to threshold", "success at the end")


@dataclass(frozen=True)
class Digest:
    """Tables of a results folder.

    Attributes:
      summary: a row per (environment, label), by `summarise`.
      aggregates: a row per (label, statistic), by `scores.aggregate_scores`; empty without a scale.
      comparisons: a row per pair of labels and environment, by `scores.compare_scores`; empty
        without a scale.
      scale: the scale of the aggregates, over the environments that labels share
        (`scores.shared_scale`); without environments where none has both references.
      best: the (environment, label) pairs that `metrics.significant_best_labels` finds.
    """

    summary: pd.DataFrame
    aggregates: pd.DataFrame
    comparisons: pd.DataFrame
    scale: scores.ScoreScale
    best: Collection[tuple[str, str]] = ()


def make_digest(results: ResultTables) -> Digest:
    """Returns the tables of a folder, with scores on its default scale."""
    scale = scores.score_scale(results)
    shared = scores.shared_scale(results, scale)
    return Digest(
        summarise(results.curves, results.runs),
        scores.aggregate_scores(results, shared),
        scores.compare_scores(results, scale),
        shared,
        {(env, label) for env, label in significant_best_labels(results).items() if label},
    )


def summarise(
    curves: pd.DataFrame, runs: pd.DataFrame, *, replicates: int = REPLICATES
) -> pd.DataFrame:
    """Returns one row per (env, label), environments in natural order, labels in that of legends.

    The columns are those of `summary.csv` (results/README.md). `n` counts finished and running runs
    with at least one finite evaluation; `rl_es.analysis.curves` says how runs count for thresholds.
    """
    runs = runs.assign(final=final_returns(curves, runs))
    rows = [
        {"env": env, "label": label, **_summary_row(curves, group, replicates)}
        for (env, label), group in runs.groupby(["env", "label"])
    ]
    order = list(assign_styles(dict(zip(runs["label"], runs["agent"], strict=True))))
    rows.sort(key=lambda row: (natural_order(row["env"]), order.index(row["label"])))
    return pd.DataFrame(rows).astype({"reached_threshold": "Int64"})


def _summary_row(curves: pd.DataFrame, runs: pd.DataFrame, replicates: int) -> dict[str, object]:
    status = runs["status"].value_counts()
    in_mean = runs["status"].isin(COUNTED_STATUSES) & np.isfinite(runs["final"])
    points = curves[curves["run_id"].isin(runs["run_id"][in_mean])].sort_values("generation")
    first, last = (points.groupby("run_id").nth(position) for position in (0, -1))
    interval = bootstrap(runs["final"][in_mean].to_numpy(float), replicates=replicates)
    mean, low, high = interval.as_dict().values()
    return {
        "agent": runs["agent"].iloc[0],
        "n": interval.n,
        **{
            name: int(status.get(name, 0)) for name in ("finished", "diverged", "failed", "running")
        },
        "final_mean": mean,
        "ci_low": low,
        "ci_high": high,
        "best_mean": points.groupby("run_id")["return_mean"].max().mean(),
        "first_mean": first["return_mean"].mean(),
        "env_steps_mean": last["env_steps"].mean(),
        "threshold": runs["threshold"].max(),
        **_threshold_columns(curves, runs, replicates),
        "wall_seconds_mean": per_run_seconds(last).mean(),
        "compile_seconds_mean": last["compile_seconds"].mean(),
    }


def _threshold_columns(
    curves: pd.DataFrame, runs: pd.DataFrame, replicates: int
) -> dict[str, object]:
    """Returns the columns on the threshold; empty values without one."""
    has_threshold = runs["threshold"].notna().any()
    abscissae = {"steps": curves["env_steps"], "seconds": per_run_seconds(curves)}
    times = {name: threshold_times(curves, runs, x) for name, x in abscissae.items()}
    arrivals = int(times["steps"].is_reached.sum())
    row: dict[str, object] = {"reached_threshold": arrivals if has_threshold else None}
    columns = {
        f"{name}_to_threshold": ("median", median_time(reaching, replicates=replicates))
        for name, reaching in times.items()
    }
    columns["success"] = "rate", final_success(runs)
    for prefix, (name, interval) in columns.items():
        for bound, value in interval.as_dict().items():
            suffix = name if bound == "estimate" else bound
            row[f"{prefix}_{suffix}"] = value if has_threshold else np.nan
    return row


def outcome_text(runs: pd.DataFrame) -> str:
    """Returns how runs have ended: '12 runs: 9 finished, 3 failed'."""
    counts = runs["status"].value_counts()
    parts = [f"{counts[status]} {status}" for status in STATUSES if counts.get(status)]
    return f"{format_count(len(runs), 'run')}: {', '.join(parts) or 'none known'}"


def lost_runs_table(runs: pd.DataFrame) -> Table:
    """Returns a table of the runs that diverged or failed, with their reason."""
    heads = ("environment", "agent", "seed", "status", "env steps", "reason")
    lost_runs = runs[~runs["status"].isin(COUNTED_STATUSES)].to_dict("records")
    reasons = [text_cell(run["reason"]).text for run in lost_runs]
    texts = [r if len(r) <= LONGEST_REASON else r[:LONGEST_REASON] + "…" for r in reasons]
    rows = zip(lost_runs, map(TableCell, texts), strict=True)
    return make_table(heads, ([*_run_cells(run), reason] for run, reason in rows))


def running_table(runs: pd.DataFrame) -> Table:
    """Returns a table of the runs that have not ended."""
    heads = ("environment", "agent", "seed", "status", "env steps")
    return make_table(heads, map(_run_cells, runs[runs["status"] == "running"].to_dict("records")))


def _run_cells(run: Mapping) -> list[TableCell]:
    seed = TableCell(str(run["seed"]), float(run["seed"]))
    names = [text_cell(run[name]) for name in ("env", "label")]
    return [*names, seed, TableCell(str(run["status"] or "unknown")), count_cell(run["env_steps"])]


def training_time(runs: pd.DataFrame) -> str:
    """Returns the time of training of all runs for reading: '45 s', '12 min', '3.4 h'."""
    seconds = float(per_run_seconds(runs).sum())
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.{1 if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds:.0f} s"


def description_text(runs: pd.DataFrame, manifest: SweepManifest) -> dict[str, str]:
    """Returns what was run, where and with which versions, by the name of each entry."""
    versions = parse_versions(runs["versions"])
    packages = [f"{name} {' and '.join(sorted(of))}" for name, of in sorted(versions.items())]
    texts = {
        "Sweep": _join(runs["sweep"]),
        "Environments": _join(runs["env"]),
        "Agents": _join(runs["label"]),
        "Seeds": format_ranges(runs["seed"]),
        "Tuned": _tuning_text(manifest),
        "Started": ", ".join(time[:16].replace("T", " ") for time in manifest.of_starts("time")),
        "Machine": ", ".join(manifest.of_starts("machine")),
        "Processor": ", ".join(manifest.of_starts("processor")),
        "Device": _join(runs["device"]),
        "Training time": f"{training_time(runs)}: seconds summed over runs, each "
        "divided by the runs that shared them, without compilation and evaluation",
        "Revision": _join(runs["git_revision"]),
        "Versions": ", ".join(packages),
    }
    nonfinite = _nonfinite_text(runs)
    optional = {"Returns not finite": nonfinite} if nonfinite else {}
    return {name: text or "not known" for name, text in texts.items()} | optional


def _tuning_text(manifest: SweepManifest) -> str:
    """Returns where tuned settings come from, or that the sweep names no tuning."""
    if manifest.tuning:
        return f"by {manifest.tuning}"
    return "no, as far as the sweep says: it names no tuning" if manifest.sweep else ""


def mixed_versions_text(runs: pd.DataFrame) -> str:
    """Returns one line on the versions that differ between runs; empty where none does."""
    return describe_mixed(runs["versions"], runs["git_revision"])


def _nonfinite_text(runs: pd.DataFrame) -> str:
    """Returns 'eggroll on ant: 12 members in 2 runs' for each such label; empty without any."""
    groups = runs[runs["nonfinite_members"] > 0].groupby(["env", "label"])["nonfinite_members"]
    parts = [
        f"{label} on {env}: {format_count(int(members.sum()), 'member')} in "
        f"{format_count(len(members), 'run')}"
        for (env, label), members in groups
    ]
    outcome = "each counted as the worst of its generation; without a population, not at all"
    return f"{'; '.join(parts)}; {outcome}" if parts else ""


def result_files(folder: Path) -> dict[str, str]:
    """Returns a description of each file of a results folder; optional ones only if they exist."""
    always = {
        "curves.parquet": "one row per run and evaluation",
        "runs.parquet": "one row per run, with status, settings and versions",
        "runs.csv": "the same as text",
        "summary.csv": "the summary above, unrounded",
        "aggregates.csv": "scores over environments, a row per label and statistic",
        "comparisons.csv": "probability of improvement, a row per pair of labels and environment",
        "figures/": "the figures as PNG and SVG",
    }
    optional = {
        "cells/": "one file per run, from which all of these are made",
        "evaluations.csv": "policies evaluated anew, a row per policy",
        "trials.json": "the trials of a guided search, in order",
        "surfaces/": "the objective on a grid of two parameters, one file per environment",
        "policies/": "trained policies, a folder per run",
        "replays/": "films of trained policies",
    }
    return always | {name: text for name, text in optional.items() if (folder / name).exists()}


def _distinct(column: pd.Series) -> list[str]:
    """Returns distinct values in natural order, each on one line."""
    return [" ".join(str(v).split()) for v in sorted(column.dropna().unique(), key=natural_order)]


def _join(column: pd.Series) -> str:
    return ", ".join(_distinct(column))


def summary_table(digest: Digest) -> Table:
    """Returns the summary for reading; the labels of `Digest.best` are in bold."""
    summary = digest.summary
    statuses = [name for name in ("diverged", "failed", "running") if summary[name].any()]
    ends = summary.groupby("env")[["final_mean", "ci_low", "ci_high"]]
    lowest, highest = ends.min().min(axis=1), ends.max().max(axis=1)
    rows = []
    for row in summary.to_dict("records"):
        env, strong = row["env"], (row["env"], row["label"]) in digest.best
        interval = (row["ci_low"], row["final_mean"], row["ci_high"])
        cells = {
            "environment": text_cell(env),
            "agent": text_cell(row["label"], strong),
            "n": count_cell(row["n"]),
            "final return": number_cell(row["final_mean"], strong),
            INTERVAL: _span_cell(*interval, scale=(lowest[env], highest[env])),
            "best": number_cell(row["best_mean"]),
            "first": number_cell(row["first_mean"]),
            "env steps": steps_cell(row["env_steps_mean"]),
        }
        if _has_threshold(summary):
            cells |= _threshold_cells(row)
        cells["seconds"] = number_cell(row["wall_seconds_mean"])
        rows.append(cells | {name: count_cell(row[name]) for name in statuses})
    return make_table([*rows[0]], ([*cells.values()] for cells in rows))


def _has_threshold(summary: pd.DataFrame) -> bool:
    return bool(summary["threshold"].notna().any())


def _threshold_cells(row: Mapping) -> dict[str, TableCell]:
    count = row["reached_threshold"]
    if pd.isna(count):
        return dict.fromkeys(THRESHOLD_HEADS, number_cell(None))
    runs = row["finished"] + row["running"] + row["diverged"]
    cells = (
        TableCell(f"{count:.0f} of {runs}", float(count)),
        steps_cell(row["steps_to_threshold_median"]),
        share_cell(*(row[f"success_{name}"] for name in ("rate", "low", "high"))),
    )
    return dict(zip(THRESHOLD_HEADS, cells, strict=True))


def summary_legend(digest: Digest) -> str:
    """Returns what the columns of the summary mean."""
    legend = (
        "Means over n runs: finished ones, and running ones as far as they have come; diverged and "
        "failed runs are left out. Interval: stratified bootstrap of the mean over seeds, with "
        f"percentiles expanded for few seeds ({REPLICATES:,} replicates). Bold: the best label, "
        "where it differs from every other label of its environment (p < 0.05, adjusted for their "
        "number). First: the return before any training. Seconds: elapsed time per run, divided by "
        "the runs that shared it, without compilation."
    )
    if _has_threshold(digest.summary):
        legend += (
            " Steps to threshold: the steps by which half of the runs have reached it, by the "
            "Kaplan-Meier estimate: a run that ended before counts up to its end only, so where "
            "runs differ in length few may decide; infinite where it stays below one half. "
            "Success at the end: the share of runs whose last evaluation is at or above the "
            f"threshold, with its {CONFIDENCE:.0%} Wilson interval; diverged runs are failures."
        )
    return legend


def has_totals(digest: Digest) -> bool:
    """Returns True if several labels have scores in several environments."""
    several = len(digest.scale.environments) > 1
    return several and _complete_aggregates(digest)["label"].nunique() > 1


def missing_totals_text(digest: Digest) -> str:
    """Returns why there are no totals, in one line; empty where there are or nothing is missed."""
    pairs = set(zip(digest.summary["env"], digest.summary["label"], strict=True))
    return "" if has_totals(digest) else scores.missing_totals_text(pairs, digest.scale)


def _complete_aggregates(digest: Digest) -> pd.DataFrame:
    """Returns the aggregates of labels that have a score in every environment of the scale."""
    aggregates = digest.aggregates
    return aggregates[aggregates["environments"] == len(digest.scale.environments)]


def totals_table(digest: Digest) -> Table:
    """Returns the aggregates: a row per label, with the interquartile mean first."""
    aggregates = _complete_aggregates(digest)
    statistics = list(dict.fromkeys(aggregates["statistic"]))
    statistics.sort(key=lambda name: name != MAIN)
    heads = ["agent", "runs"]
    for name in statistics:
        heads += [name.replace("_", " "), INTERVAL]
    bounds = aggregates[aggregates["statistic"] == MAIN]
    scale = bounds["low"].min(), bounds["high"].max()
    rows = []
    for label, group in aggregates.groupby("label", sort=False):
        by_statistic = group.set_index("statistic")
        row = [text_cell(label), count_cell(by_statistic["n"].iloc[0])]
        for name in statistics:
            of = by_statistic.loc[name]
            ends = of["low"], of["estimate"], of["high"]
            interval = _span_cell(*ends, scale=scale if name == MAIN else None)
            row += [number_cell(of["estimate"]), interval]
        rows.append(row)
    return make_table(heads, rows)


def totals_legend(digest: Digest) -> str:
    """Returns what the aggregates mean."""
    scale = digest.scale
    missing = set(digest.summary["label"]) - set(_complete_aggregates(digest)["label"])
    remark = f" Not on this scale: {', '.join(scale.left_out)}." if scale.left_out else ""
    shared = ""
    if scale.unshared:
        shared = " that all labels share"
        remark += f" Some label has no run in: {', '.join(scale.unshared)}."
    if missing:
        labels = ", ".join(sorted(missing, key=natural_order))
        remark += f" Without a score in each of them: {labels}."
    return (
        f"Scores of the last evaluation: {scale.description}, over {len(scale.environments)} "
        f"environments{shared}.{remark} Interquartile mean: of the middle half of all runs. "
        "Optimality gap: how far scores fall short of 1, so less is better. Intervals: as above, "
        f"of {MANY_REPLICATES:,} replicates. comparisons.csv compares the labels with each other."
    )


def _span_cell(
    low: float, middle: float, high: float, scale: tuple[float, float] | None = None
) -> TableCell:
    """Returns the cell of an interval, drawn as a bar to a scale's lower and upper end."""
    cell = interval_cell(low, high)
    if scale is None or pd.isna(low) or not scale[1] > scale[0]:
        return cell
    start, length = scale[0], scale[1] - scale[0]
    ends = [(float(value) - start) / length for value in (low, middle, high)]
    return replace(cell, span=(ends[0], ends[1], ends[2]))
