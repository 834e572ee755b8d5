"""`index.md`: what was run, what came out, what is missing, and where everything lies."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from rl_es.analysis.curves import COUNTED
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.markdown import escape, file_list, number, table
from rl_es.analysis.statistics import CONFIDENCE, REPLICATES

STATUSES = ("finished", "running", "diverged", "failed")
THRESHOLD = ("reached", "steps to threshold", "success at the end")
LONGEST_REASON = 300  # the whole text is in runs.csv


def compose(folder: Path, runs: pd.DataFrame, overview: pd.DataFrame, drawn: Sequence[Path]) -> str:
    """The page, from the runs table, the summary table and the figures' paths."""
    sections = [
        f"# Results: {escape(folder.resolve().name)}",
        _outcome(runs),
        "## Summary\n\n" + _summary(overview),
        "## Figures\n\n" + "\n\n".join(_figure(path) for path in drawn),
        _lost(runs),
        "## What was run\n\n" + _what(runs),
        "## Settings\n\n" + _settings(runs),
        "## Files\n\n" + _files(folder),
        "## Run it again\n\n" + _again(folder, runs),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _outcome(runs: pd.DataFrame) -> str:
    counts = runs["status"].value_counts()
    said = [f"{counts[status]} {status}" for status in STATUSES if counts.get(status)]
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}: {', '.join(said) or 'none known'}."


def _summary(overview: pd.DataFrame) -> str:
    threshold = overview["threshold"].notna().any()
    heads = ["environment", "agent", "n", "final return", f"{CONFIDENCE:.0%} interval", "best"]
    heads += ["first", "env steps", *(THRESHOLD if threshold else [])]
    heads += ["seconds", "diverged", "failed", "running"]
    rows = []
    for row in overview.to_dict("records"):
        interval = _interval(row["ci_low"], row["ci_high"])
        cells = [escape(row["env"]), escape(row["label"]), str(row["n"])]
        cells += [number(row["final_mean"]), interval, number(row["best_mean"])]
        cells += [number(row["first_mean"]), number(row["env_steps_mean"])]
        if threshold:
            known = not pd.isna(row["reached_threshold"])
            tried = row["finished"] + row["running"] + row["diverged"]
            cells.append(f"{row['reached_threshold']:.0f} of {tried}" if known else "\N{EM DASH}")
            steps = row["steps_to_threshold_median"]
            cells.append(number(None if pd.isna(steps) else float(steps)))
            bounds = _interval(row["success_low"], row["success_high"])
            cells.append(f"{number(row['success_rate'])} {bounds}" if known else "\N{EM DASH}")
        cells += [number(row["wall_seconds_mean"])]
        rows.append([*cells, *(str(row[name]) for name in ("diverged", "failed", "running"))])
    legend = (
        "Means over n runs, finished or running with what they have; diverged and failed runs are "
        f"not in them. Interval: stratified percentile bootstrap of the mean over seeds "
        f"({REPLICATES:,} replicates, too narrow with few seeds). First: before any training. "
        "Seconds: elapsed a run, divided by the runs that shared them, without compilation."
    )
    if threshold:
        legend += (
            " Steps to threshold: the median, where more than half of the runs reached it. Success "
            "at the end: the share of runs whose last evaluation is at or above the threshold, "
            f"with its {CONFIDENCE:.0%} Wilson interval; those that diverged are none."
        )
    return table(heads, rows) + "\n\n" + legend


def _interval(low: float, high: float) -> str:
    return f"[{number(low)}, {number(high)}]" if low == low else "\N{EM DASH}"


def _figure(path: Path) -> str:
    name = next(known for known in KINDS if path.stem.startswith(known))
    part = path.stem.removeprefix(name).removeprefix("_")
    caption = KINDS[name].caption + (f", part {part}" if part else "")
    relative = f"{path.parent.name}/{path.stem}"
    return f"![{caption}]({relative}.png)\n\n{caption} ([SVG]({relative}.svg))."


def _lost(runs: pd.DataFrame) -> str:
    lost = runs[~runs["status"].isin(COUNTED)]
    if lost.empty:
        return ""
    rows = []
    for run in lost.to_dict("records"):
        reason = "" if pd.isna(run["reason"]) else str(run["reason"])
        if len(reason) > LONGEST_REASON:
            reason = reason[:LONGEST_REASON] + "…"
        steps = number(None if pd.isna(run["env_steps"]) else float(run["env_steps"]))
        known = (run["env"], run["label"], run["seed"], _one(run["status"]))
        rows.append([*map(escape, known), steps, escape(reason)])
    heads = ["environment", "agent", "seed", "status", "env steps", "reason"]
    return "## Runs that diverged or failed\n\n" + table(heads, rows)


def _what(runs: pd.DataFrame) -> str:
    versions: dict[str, set[str]] = {}
    for text in runs["versions"].dropna().unique():
        for package, version in json.loads(text).items():
            versions.setdefault(package, set()).add(str(version))
    told = [f"{package} {' and '.join(sorted(of))}" for package, of in sorted(versions.items())]
    lines = {
        "Sweep": _names(runs["sweep"]),
        "Environments": _names(runs["env"]),
        "Agents": _names(runs["label"]),
        "Seeds": _seeds(runs["seed"]),
        "Device": _names(runs["device"]),
        "Revision": _names(runs["git_revision"]),
        "Versions": escape(", ".join(told)),
    }
    return "\n".join(f"- {name}: {value or 'not known'}" for name, value in lines.items())


def _settings(runs: pd.DataFrame) -> str:
    """Each label's settings; those that all runs share stand in a row of their own."""
    columns = {name: name.removeprefix("hyper.") for name in runs if name.startswith("hyper.")}
    same = [c for c in columns if runs[c].notna().all() and runs[c].nunique() == 1]

    def told(own: pd.DataFrame, names: Iterable[str]) -> str:
        values = {
            columns[n]: " / ".join(map(_one, sorted(own[n].dropna().unique()))) for n in names
        }
        return escape(", ".join(f"{name} {value}" for name, value in values.items() if value))

    rows = [["all", "", told(runs, same)]] if same and runs["label"].nunique() > 1 else []
    apart = [c for c in columns if not rows or c not in same]
    for label in sorted(runs["label"].unique(), key=natural):
        own = runs[runs["label"] == label]
        rows.append([escape(label), _names(own["agent"]), told(own, apart)])
    return table(["label", "agent", "settings"], rows)


def _files(folder: Path) -> str:
    files = {
        "curves.parquet": "one row a run and evaluation",
        "runs.parquet": "one row a run, with status, settings and versions",
        "runs.csv": "the same as text",
        "summary.csv": "the summary above, unrounded",
        "figures/": "the figures as PNG and SVG",
        "cells/": "one file a run, from which all of these are made",
    }
    if (folder / "surfaces").is_dir():
        files["surfaces/"] = "the objective on a grid of two parameters, one file an environment"
    return file_list(files)


def _again(folder: Path, runs: pd.DataFrame) -> str:
    sweeps = [f"python run_benchmark.py run sweeps/{name}.yaml" for name in _plain(runs["sweep"])]
    lines = [*sweeps, f"python run_benchmark.py report results/{folder.resolve().name}"]
    block = "\n".join(f"    {line}" for line in lines)
    return (
        f"{block}\n\nThe sweep file may lie in a folder below. Finished runs are kept; "
        "the last line makes this report alone."
    )


def _plain(column: pd.Series) -> list[str]:
    """Distinct values in natural order, each on one line."""
    return [" ".join(str(v).split()) for v in sorted(column.dropna().unique(), key=natural)]


def _names(column: pd.Series) -> str:
    return escape(", ".join(_plain(column)))


def _one(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "unknown" if value is None else str(value)


def _seeds(column: pd.Series) -> str:
    """'0 to 4, 7'."""
    seeds = sorted({int(seed) for seed in column})
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ", ".join(f"{a} to {b}" if b > a else str(a) for a, b in spans)
