"""What the pages of a results folder say, as data: text that is not escaped, and tables.

`index.md` and `report.html` are both made from it.

The summary table as people read it: its columns, their names, and what they mean.

`index.md`: what was run, the results, what is missing, and the files.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rl_es.analysis import formatting
from rl_es.analysis.curves import COUNTED, per_run_seconds
from rl_es.analysis.drawing import figure_kinds
from rl_es.analysis.drawing.palette import natural_order
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.formatting import (
    Table,
    TableCell,
    escape_markdown,
    markdown_figure,
    markdown_file_list,
    markdown_table,
)
from rl_es.analysis.statistics.aggregates import MANY_REPLICATES
from rl_es.analysis.statistics.intervals import CONFIDENCE, REPLICATES
from rl_es.analysis.summary import Digest
from rl_es.errors import printable
from rl_es.results.manifest import (
    SweepManifest,
    describe_mixed,
    parse_versions,
    read_sweep_manifest,
)

STATUSES = ("finished", "running", "diverged", "failed")
LONGEST_REASON = 300  # the whole text is in runs.csv


def outcome_text(runs: pd.DataFrame) -> str:
    """'12 runs: 9 finished, 3 failed'."""
    counts = runs["status"].value_counts()
    said = [f"{counts[status]} {status}" for status in STATUSES if counts.get(status)]
    return f"{formatting.format_count(len(runs), 'run')}: {', '.join(said) or 'none known'}"


def figures_caption(stem: str) -> str:
    """What a figure shows, by the name of its file without the suffix."""
    return figure_kinds.figure_caption(KINDS, stem)


def lost_runs_table(runs: pd.DataFrame) -> Table:
    """The runs that diverged or failed, with their reason."""
    heads = ("environment", "agent", "seed", "status", "env steps", "reason")
    gone = runs[~runs["status"].isin(COUNTED)]
    return formatting.make_table(
        heads, ([*_run(run), _reason(run)] for run in gone.to_dict("records"))
    )


def running_text(runs: pd.DataFrame) -> Table:
    """The runs that have not ended."""
    heads = ("environment", "agent", "seed", "status", "env steps")
    return formatting.make_table(
        heads, map(_run, runs[runs["status"] == "running"].to_dict("records"))
    )


def _run(run: dict) -> list[TableCell]:
    named = [formatting.text_cell(run[name]) for name in ("env", "label")]
    seed = TableCell(str(run["seed"]), float(run["seed"]))
    return [*named, seed, TableCell(_one(run["status"])), formatting.count_cell(run["env_steps"])]


def _reason(run: dict) -> TableCell:
    reason = formatting.text_cell(run["reason"]).text
    return TableCell(reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + "…")


def seconds_text(runs: pd.DataFrame) -> float:
    """Seconds of training of all runs, each with its part of what it shared."""
    return float(per_run_seconds(runs).sum())


def description_text(runs: pd.DataFrame, manifest: SweepManifest) -> dict[str, str]:
    """What was run, where and with which versions."""
    found = parse_versions(runs["versions"])
    told = [f"{package} {' and '.join(sorted(of))}" for package, of in sorted(found.items())]
    facts = {
        "Sweep": _names(runs["sweep"]),
        "Environments": _names(runs["env"]),
        "Agents": _names(runs["label"]),
        "Seeds": formatting.format_ranges(runs["seed"]),
        "Started": ", ".join(time[:16].replace("T", " ") for time in manifest.of_starts("time")),
        "Machine": ", ".join(manifest.of_starts("machine")),
        "Processor": ", ".join(manifest.of_starts("processor")),
        "Device": _names(runs["device"]),
        "Training time": f"{duration_text(seconds_text(runs))}: seconds summed over runs, each "
        "divided by the runs that shared them, without compilation and evaluation",
        "Revision": _names(runs["git_revision"]),
        "Versions": ", ".join(told),
    }
    told = {name: value or "not known" for name, value in facts.items()}
    told |= {"Returns not finite": lost} if (lost := _nonfinite(runs)) else {}
    return told | ({"Tuned by": manifest.tuning} if manifest.tuning else {})


def mixed_versions_text(runs: pd.DataFrame) -> str:
    """One line on the versions that differ between runs; empty where none does."""
    return describe_mixed(runs["versions"], runs["git_revision"])


def _nonfinite(runs: pd.DataFrame) -> str:
    """'eggroll on ant: 12 members in 2 runs', each such label; empty where none is."""
    some = runs[runs["nonfinite_members"] > 0]
    told = [
        f"{label} on {env}: {formatting.format_count(int(own.sum()), 'member')} in "
        f"{formatting.format_count(len(own), 'run')}"
        for (env, label), own in some.groupby(["env", "label"])["nonfinite_members"]
    ]
    return f"{'; '.join(told)}; each counted as the worst of its generation" if told else ""


def duration_text(seconds: float) -> str:
    """'45 s', '12 min', '3.4 h'."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.{1 if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds:.0f} s"


def settings_table(runs: pd.DataFrame) -> Table:
    """Each label's settings; those that all runs share have a row of their own."""
    columns = {name: name.removeprefix("hyper.") for name in runs if name.startswith("hyper.")}
    same = [c for c in columns if runs[c].notna().all() and runs[c].nunique() == 1]

    def told(own: pd.DataFrame, names: Iterable[str]) -> str:
        values = {
            columns[n]: " / ".join(map(_one, sorted(own[n].dropna().unique()))) for n in names
        }
        return ", ".join(f"{name} {value}" for name, value in values.items() if value)

    rows = [("all", "", told(runs, same))] if same and runs["label"].nunique() > 1 else []
    apart = [c for c in columns if not rows or c not in same]
    for label in sorted(runs["label"].unique(), key=natural_order):
        own = runs[runs["label"] == label]
        rows.append((label, _names(own["agent"]), told(own, apart)))
    return formatting.make_table(
        ("label", "agent", "settings"), (map(TableCell, row) for row in rows)
    )


def result_files_text(folder: Path) -> dict[str, str]:
    """The files of a results folder, and what each holds; of some, only where they are there."""
    known = {
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
    return known | {name: said for name, said in optional.items() if (folder / name).exists()}


def command_lines(folder: Path, runs: pd.DataFrame) -> tuple[list[str], str]:
    """The command lines that run it again and make its report, and a remark on them."""
    files = [f"sweeps/{name}.yaml" for name in _plain(runs["sweep"])]
    sweeps = [f"python run_benchmark.py run {shlex.quote(file)}" for file in files]
    results = shlex.quote(f"results/{printable(folder.resolve().name)}")
    return [*sweeps, f"python run_benchmark.py report {results}"], (
        "The sweep file may lie in a folder below sweeps/. Finished runs are kept; the last line "
        "makes this report alone."
    )


def _plain(column: pd.Series) -> list[str]:
    """Distinct values in natural order, each on one line."""
    return [" ".join(str(v).split()) for v in sorted(column.dropna().unique(), key=natural_order)]


def _names(column: pd.Series) -> str:
    return ", ".join(_plain(column))


def _one(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "unknown" if value is None else str(value)


MAIN = "interquartile_mean"
_THRESHOLD = ("reached", "steps to threshold", "success at the end")


def summary_table(digest: Digest) -> Table:
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
        found = [
            formatting.text_cell(row["env"]),
            formatting.text_cell(row["label"], strong),
            formatting.count_cell(row["n"]),
        ]
        found += [formatting.number_cell(row["final_mean"], strong)]
        ends = row["ci_low"], row["final_mean"], row["ci_high"]
        scale = scales.loc[row["env"]]
        found += [_interval(*ends, within=(scale["low"], scale["high"]))]
        found += [
            formatting.number_cell(row["best_mean"]),
            formatting.number_cell(row["first_mean"]),
        ]
        found += [
            formatting.steps_cell(row["env_steps_mean"]),
            *(_reached(row) if threshold else []),
        ]
        found += [formatting.number_cell(row["wall_seconds_mean"])]
        rows.append(found + [formatting.count_cell(row[name]) for name in left])
    return formatting.make_table(heads, rows)


def summary_legend(digest: Digest) -> str:
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


def totals_table(digest: Digest) -> Table:
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
        row = [formatting.text_cell(label), formatting.count_cell(found["n"].iloc[0])]
        for name in statistics:
            one = found.loc[name]
            ends = one["low"], one["estimate"], one["high"]
            interval = _interval(*ends, within=scale if name == MAIN else None)
            row += [formatting.number_cell(one["estimate"]), interval]
        rows.append(row)
    return formatting.make_table(heads, rows)


def totals_legend(digest: Digest) -> str:
    """What the aggregates mean."""
    scale = digest.scale
    if scale is None:
        return ""
    left = f" Not on this scale: {', '.join(scale.left_out)}." if scale.left_out else ""
    gone = sorted(set(digest.summary["label"]) - set(_whole(digest)["label"]), key=natural_order)
    left += f" Without a score in each of them: {', '.join(gone)}." if gone else ""
    return (
        f"Scores of the last evaluation: {scale.told}, over {len(scale.environments)} "
        f"environments.{left} Interquartile mean: of the middle half of all runs. Optimality gap: "
        "how far scores fall short of 1, so less is better. Intervals: as above, of "
        f"{MANY_REPLICATES:,} replicates. comparisons.csv compares the labels with each other."
    )


def _interval(
    low: float, middle: float, high: float, within: tuple[float, float] | None = None
) -> TableCell:
    """An interval, drawn to the scale of the numbers that it lies within."""
    cell = formatting.interval_cell(low, high)
    if within is None or pd.isna(low) or not within[1] > within[0]:
        return cell
    start, length = within[0], within[1] - within[0]
    ends = [(float(value) - start) / length for value in (low, middle, high)]
    return replace(cell, span=(ends[0], ends[1], ends[2]))


def _has_threshold(summary: pd.DataFrame) -> bool:
    return bool(summary["threshold"].notna().any())


def _reached(row: dict) -> list[TableCell]:
    if pd.isna(row["reached_threshold"]):
        return [formatting.number_cell(None)] * len(_THRESHOLD)
    tried = row["finished"] + row["running"] + row["diverged"]
    return [
        TableCell(f"{row['reached_threshold']:.0f} of {tried}", float(row["reached_threshold"])),
        formatting.steps_cell(row["steps_to_threshold_median"]),
        formatting.share_cell(*(row[f"success_{name}"] for name in ("rate", "low", "high"))),
    ]


def _scales(summary: pd.DataFrame) -> pd.DataFrame:
    """The smallest and largest end of each environment's intervals."""
    ends = summary[["final_mean", "ci_low", "ci_high"]].astype(float)
    ends = pd.DataFrame({"env": summary["env"], "low": ends.min(axis=1), "high": ends.max(axis=1)})
    return ends.groupby("env").agg({"low": "min", "high": "max"})


def compose_markdown(
    folder: Path, runs: pd.DataFrame, digest: Digest, drawn: Sequence[Path]
) -> str:
    """The page, from the runs table, the tables made of it and the figures' paths."""
    lost, asked = lost_runs_table(runs), read_sweep_manifest(folder)
    sections = [
        f"# Results: {escape_markdown(folder.resolve().name)}",
        escape_markdown(asked.description),
        outcome_text(runs) + ".",
        f"**{escape_markdown(mixed)}.**" if (mixed := mixed_versions_text(runs)) else "",
        f"## Summary\n\n{_table(summary_table(digest))}\n\n{summary_legend(digest)}",
        _totals(digest),
        "## Figures\n\n" + "\n\n".join(_figure(path) for path in drawn),
        "## Runs that diverged or failed\n\n" + _table(lost) if lost.rows else "",
        "## What was run\n\n" + _what(description_text(runs, asked)),
        "## Settings\n\n" + _table(settings_table(runs)),
        "## Files\n\n" + markdown_file_list(result_files_text(folder)),
        "## Run it again\n\n" + _again(*command_lines(folder, runs)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _totals(digest: Digest) -> str:
    if not has_totals(digest):
        return ""
    table, legend = totals_table(digest), totals_legend(digest)
    return f"## Over all environments\n\n{_table(table)}\n\n{escape_markdown(legend)}"


def _table(content: Table) -> str:
    return markdown_table(content.heads, ([_cell(cell) for cell in row] for row in content.rows))


def _cell(cell: TableCell) -> str:
    text = escape_markdown(cell.text) if cell.key is None else cell.text
    return f"**{text}**" if cell.strong else text


def _figure(path: Path) -> str:
    return markdown_figure(f"{path.parent.name}/{path.stem}", figures_caption(path.stem))


def _what(said: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {escape_markdown(value)}" for name, value in said.items())


def _again(lines: Sequence[str], remark: str) -> str:
    return "\n".join(f"    {line}" for line in lines) + f"\n\n{remark}"
