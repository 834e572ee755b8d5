"""What the pages of a results folder say, as data: text that is not escaped, and tables.

`index.md` and `report.html` are both made from it.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from rl_es import versions
from rl_es.analysis import cells, digits
from rl_es.analysis.alignment import COUNTED, per_run_seconds
from rl_es.analysis.cells import Cell, Table
from rl_es.analysis.drawing import kinds
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.manifest import Manifest
from rl_es.errors import printable

STATUSES = ("finished", "running", "diverged", "failed")
LONGEST_REASON = 300  # the whole text is in runs.csv


def outcome(runs: pd.DataFrame) -> str:
    """'12 runs: 9 finished, 3 failed'."""
    counts = runs["status"].value_counts()
    said = [f"{counts[status]} {status}" for status in STATUSES if counts.get(status)]
    return f"{digits.several(len(runs), 'run')}: {', '.join(said) or 'none known'}"


def caption(stem: str) -> str:
    """What a figure shows, by the name of its file without the suffix."""
    return kinds.caption(KINDS, stem)


def lost(runs: pd.DataFrame) -> Table:
    """The runs that diverged or failed, with their reason."""
    heads = ("environment", "agent", "seed", "status", "env steps", "reason")
    gone = runs[~runs["status"].isin(COUNTED)]
    return cells.table(heads, ([*_run(run), _reason(run)] for run in gone.to_dict("records")))


def running(runs: pd.DataFrame) -> Table:
    """The runs that have not ended."""
    heads = ("environment", "agent", "seed", "status", "env steps")
    return cells.table(heads, map(_run, runs[runs["status"] == "running"].to_dict("records")))


def _run(run: dict) -> list[Cell]:
    named = [cells.words(run[name]) for name in ("env", "label")]
    seed = Cell(str(run["seed"]), float(run["seed"]))
    return [*named, seed, Cell(_one(run["status"])), cells.count(run["env_steps"])]


def _reason(run: dict) -> Cell:
    reason = cells.words(run["reason"]).text
    return Cell(reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + "…")


def seconds(runs: pd.DataFrame) -> float:
    """Seconds of training of all runs, each with its part of what it shared."""
    return float(per_run_seconds(runs).sum())


def what(runs: pd.DataFrame, manifest: Manifest) -> dict[str, str]:
    """What was run, where and with which versions."""
    found = versions.of_texts(runs["versions"])
    told = [f"{package} {' and '.join(sorted(of))}" for package, of in sorted(found.items())]
    facts = {
        "Sweep": _names(runs["sweep"]),
        "Environments": _names(runs["env"]),
        "Agents": _names(runs["label"]),
        "Seeds": digits.ranges(runs["seed"]),
        "Started": ", ".join(time[:16].replace("T", " ") for time in manifest.of_starts("time")),
        "Machine": ", ".join(manifest.of_starts("machine")),
        "Processor": ", ".join(manifest.of_starts("processor")),
        "Device": _names(runs["device"]),
        "Training time": f"{duration(seconds(runs))}: seconds summed over runs, each divided by "
        "the runs that shared them, without compilation and evaluation",
        "Revision": _names(runs["git_revision"]),
        "Versions": ", ".join(told),
    }
    told = {name: value or "not known" for name, value in facts.items()}
    told |= {"Returns not finite": lost} if (lost := _nonfinite(runs)) else {}
    return told | ({"Tuned by": manifest.tuning} if manifest.tuning else {})


def mixed(runs: pd.DataFrame) -> str:
    """One line on the versions that differ between runs; empty where none does."""
    return versions.mixed(runs["versions"], runs["git_revision"])


def _nonfinite(runs: pd.DataFrame) -> str:
    """'eggroll on ant: 12 members in 2 runs', each such label; empty where none is."""
    some = runs[runs["nonfinite_members"] > 0]
    told = [
        f"{label} on {env}: {digits.several(int(own.sum()), 'member')} in "
        f"{digits.several(len(own), 'run')}"
        for (env, label), own in some.groupby(["env", "label"])["nonfinite_members"]
    ]
    return f"{'; '.join(told)}; each counted as the worst of its generation" if told else ""


def duration(seconds: float) -> str:
    """'45 s', '12 min', '3.4 h'."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.{1 if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds:.0f} s"


def settings(runs: pd.DataFrame) -> Table:
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
    for label in sorted(runs["label"].unique(), key=natural):
        own = runs[runs["label"] == label]
        rows.append((label, _names(own["agent"]), told(own, apart)))
    return cells.table(("label", "agent", "settings"), (map(Cell, row) for row in rows))


def files(folder: Path) -> dict[str, str]:
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


def commands(folder: Path, runs: pd.DataFrame) -> tuple[list[str], str]:
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
    return [" ".join(str(v).split()) for v in sorted(column.dropna().unique(), key=natural)]


def _names(column: pd.Series) -> str:
    return ", ".join(_plain(column))


def _one(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "unknown" if value is None else str(value)
