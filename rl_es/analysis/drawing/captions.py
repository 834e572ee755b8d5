"""Captions: the metadata in a figure's file, and the notes under its panels.

The metadata is one JSON object with the figure's kind, n, the kind of interval, and a hash of the
input. It stands beside the title: in the PNG text chunk `Description`, in the SVG element
`dc:description`, or under `Subject` in a PDF's document information.

The notes say what the marks are, how many seeds there are, the kind of interval, and which runs
were left out.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis.curves import COUNTED_STATUSES
from rl_es.analysis.formatting import format_count, format_range, format_tick
from rl_es.analysis.statistics import CONFIDENCE
from rl_es.errors import UserError

_CAPTION_KEYS = {"png": "Description", "svg": "Description", "pdf": "Subject"}
# Of matplotlib's version or the date, which would change the bytes.
_VOLATILE_KEYS = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}


@dataclass(frozen=True)
class Caption:
    """The data of a figure's caption.

    Attributes:
      figure: Name of the kind of figure.
      title: What the figure shows.
      n: Number of runs behind means and intervals, as a text.
      interval: Kind of interval; empty where there is none.
      replicates: Replicates of the bootstrap; None for another kind of interval.
      input: `fingerprint` of the rows that are drawn.
      version: Version of the suite.
    """

    figure: str
    title: str
    n: str
    interval: str
    replicates: int | None
    input: str
    version: str = version("rl_es")


def file_metadata(caption: Caption | None, file_format: str) -> dict[str, str | None]:
    """Returns the metadata that `savefig` writes, without the date and the program."""
    metadata: dict[str, str | None] = {_VOLATILE_KEYS[file_format]: None}
    if caption is None:
        return metadata
    key = _CAPTION_KEYS[file_format]
    return {**metadata, "Title": caption.title, key: json.dumps(asdict(caption))}


def read_caption(path: Path) -> Caption:
    """Reads the caption of a PNG that this suite wrote.

    Raises:
      UserError: There is none in it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return Caption(**json.loads(image.info[_CAPTION_KEYS["png"]]))
    except (OSError, UnidentifiedImageError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a figure of this suite ({error!r})") from None


def fingerprint(tables: Mapping[str, pd.DataFrame]) -> str:
    """Returns the SHA-256 of tables, equal for any order of rows and columns and any file format.

    Numbers are hashed as float64. Columns without any value are left out.
    """
    digest = hashlib.sha256()
    for name in sorted(tables):
        frame = tables[name].dropna(axis="columns", how="all")
        columns = sorted(frame.columns)
        rows = zip(*(map(_to_json, frame[column]) for column in columns), strict=True)
        lines = sorted(json.dumps(row, sort_keys=True) for row in rows)
        digest.update("\n".join([name, json.dumps(columns), *lines, ""]).encode())
    return digest.hexdigest()


def _to_json(value: Any) -> Any:
    """Returns a value as JSON has it."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_to_json(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if value is None or value is pd.NA or value != value:
        return None
    return float(value) if isinstance(value, int | float | np.number) else str(value)


MAX_LISTED_RUNS = 8  # the rest are in runs.csv
BOOTSTRAP = f"{CONFIDENCE:.0%} stratified bootstrap, percentiles expanded for few seeds"
NEWCOMBE = f"{CONFIDENCE:.0%} Newcombe, of the Mann-Whitney statistic"
WILSON = f"{CONFIDENCE:.0%} Wilson score"
QUARTILES = "quartiles"
SINGLE_SEEDS_NOTE = (
    " Thin: single seeds beyond the range that all cover, or (crosses) not in the mean."
)
EVALUATION_RETURN = "evaluation return of the unperturbed policy"


def counts_note(runs: pd.DataFrame) -> str:
    """Returns 'n = 5 seeds', of the runs that enter means, with labels that have another number."""
    return seeds_note(_count_seeds(runs), beyond=" (each pair's is in summary.csv)")


def has_single_seeds(runs: pd.DataFrame) -> bool:
    """Tells whether each label has one counted run an environment, and so no interval."""
    return set(_count_seeds(runs).values()) == {1}


def _count_seeds(runs: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Counts the counted runs of each (environment, label)."""
    is_counted = runs["status"].isin(COUNTED_STATUSES)
    counts = is_counted.groupby([runs["env"], runs["label"]], sort=False).sum()
    return {(str(env), str(label)): int(size) for (env, label), size in counts.items()}


def seeds_note(sizes: Mapping[tuple[str, str], int], beyond: str = "") -> str:
    """Returns 'n = 5 seeds (pes on ant: 4)': the usual number, and who has another.

    Args:
      sizes: Number of seeds by (environment, label).
      beyond: Text that replaces the exceptions where there are too many to list.
    """
    usual = Counter(sizes.values()).most_common(1)[0][0]
    exceptions = [
        f"{label} on {env}: {size}" for (env, label), size in sizes.items() if size != usual
    ]
    if len(exceptions) > MAX_LISTED_RUNS:
        return f"n = {format_range(sizes.values())} seeds{beyond}"
    note = f"n = {format_count(usual, 'seed')}"
    return f"{note} ({'; '.join(exceptions)})" if exceptions else note


def list_runs(runs: pd.DataFrame, steps: pd.Series | None = None) -> list[str]:
    """Returns the first few runs by name and status, and how many more there are.

    Args:
      runs: The runs to list.
      steps: Number of environment steps that each took, by run_id; those without are not named.
    """
    names = []
    for run in runs.head(MAX_LISTED_RUNS).to_dict("records"):
        status = run["status"] if isinstance(run["status"], str) else "status unknown"
        end = np.nan if steps is None else steps.get(run["run_id"], np.nan)
        if np.isfinite(end):
            status += f" after {format_tick(float(f'{end:.3g}'), end)} steps"
        names.append(f"{run['label']} on {run['env']}, seed {run['seed']} ({status})")
    more = len(runs) - MAX_LISTED_RUNS
    return [*names, f"and {more} more"] if more > 0 else names


def interval_note(runs: pd.DataFrame, mark: str, replicates: int, of: str = "the mean") -> str:
    """Returns the meaning of the marks of intervals."""
    if has_single_seeds(runs):
        return "no interval from a single seed"
    return (
        f"{mark}: {CONFIDENCE:.0%} stratified bootstrap interval of {of} over seeds "
        f"(percentiles expanded for few seeds, {replicates:,} replicates)"
    )


def bands_note(
    runs: pd.DataFrame, replicates: int, single: bool, quantity: str = EVALUATION_RETURN
) -> tuple[str, ...]:
    """Returns the note on lines with bands.

    Args:
      runs: The runs that are drawn.
      replicates: Replicates of the bootstrap.
      single: True where single seeds are drawn as well.
      quantity: The quantity whose means are drawn.
    """
    return (
        f"Lines: mean {quantity}, {counts_note(runs)}; "
        f"{interval_note(runs, 'shaded', replicates)}.{SINGLE_SEEDS_NOTE if single else ''}",
    )


def baselines_note(has_baselines: bool, far: Collection[tuple[str, float]]) -> tuple[str, ...]:
    """Returns the note on baselines, where there are any.

    Args:
      has_baselines: True if some environment has one.
      far: The name and the return of those that are not drawn in some panel.
    """
    if not has_baselines:
        return ()
    names = ", ".join(
        f"{name} ({value:g})" for name, value in sorted(far, key=lambda pair: pair[1])
    )
    beyond = f" Left out where they are far from the returns: {names}." if far else ""
    return (f"Dotted: baselines, by name.{beyond}",)


def time_note(curves: pd.DataFrame) -> tuple[str, ...]:
    """Returns the note on how seconds were divided among runs that shared them."""
    lanes = sorted({int(lanes) for lanes in curves["lanes"].dropna() if lanes > 1})
    if not lanes:
        return ("Time: elapsed, without compilation.",)
    return (
        f"Time: elapsed, without compilation, divided by the runs that ran at once "
        f"(lanes = {format_range(lanes)}); not a claim of speed.",
    )


def running_note(runs: pd.DataFrame) -> list[str]:
    """Returns the note on unfinished runs; empty where there is none."""
    running = int((runs["status"] == "running").sum())
    subject = "it has" if running == 1 else "they have"
    return [f"{running} running: counted with what {subject} so far."] if running else []


def runs_note(curves: pd.DataFrame, runs: pd.DataFrame, means: str = "means") -> tuple[str, ...]:
    """Returns the notes on unfinished runs, and on lost runs, which are not in the means."""
    notes = running_note(runs)
    lost_runs = runs[~runs["status"].isin(COUNTED_STATUSES)]
    if len(lost_runs):
        names = list_runs(lost_runs, curves.groupby("run_id")["env_steps"].max())
        more = " (runs.csv)" if len(lost_runs) > MAX_LISTED_RUNS else ""
        notes.append(f"Not in the {means}: {'; '.join(names)}{more}.")
    return tuple(notes)
