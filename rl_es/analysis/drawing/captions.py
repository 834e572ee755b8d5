"""The caption in a figure's file: its kind, n, the kind of interval, and a hash of its input.

It is one JSON object, in the PNG text chunk `Description`, in the SVG element `dc:description`, and
under `Subject` in a PDF's document information, beside the title in each.

The notes under a figure: the number of seeds, the kind of interval, the runs left out.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis.curves import COUNTED
from rl_es.analysis.drawing.ticks import short
from rl_es.analysis.formatting import format_count, format_range
from rl_es.analysis.statistics.intervals import CONFIDENCE
from rl_es.errors import UserError
from rl_es.results.surfaces import Surface


@dataclass(frozen=True)
class Caption:
    """The data of a figure's caption.

    Attributes:
      figure: the kind's name.
      title: what it shows.
      n: how many runs means and intervals are of, as under the figure.
      interval: the kind of interval; empty where there is none.
      replicates: of the bootstrap; None for another kind of interval.
      input: `fingerprint` of the rows that are drawn.
      version: of the suite.
    """

    figure: str
    title: str
    n: str
    interval: str
    replicates: int | None
    input: str
    version: str = version("rl_es")


_WHOLE = {"png": "Description", "svg": "Description", "pdf": "Subject"}
_DATES = {
    "png": "Software",
    "svg": "Date",
    "pdf": "CreationDate",
}  # matplotlib's own version or date: left out


def metadata(caption: Caption | None, kind: str) -> dict[str, str | None]:
    """The metadata that `savefig` writes into a png, svg or pdf; without date and program."""
    left_out: dict[str, str | None] = {_DATES[kind]: None}
    if caption is None:
        return left_out
    return {**left_out, "Title": caption.title, _WHOLE[kind]: json.dumps(asdict(caption))}


def read_caption(path: Path) -> Caption:
    """The caption of a PNG that this suite wrote.

    Raises:
      UserError: there is none in it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return Caption(**json.loads(image.info[_WHOLE["png"]]))
    except (OSError, UnidentifiedImageError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a figure of this suite ({error!r})") from None


def fingerprint(tables: Mapping[str, pd.DataFrame]) -> str:
    """The SHA-256 of tables, the same for any order of rows and columns and any file format.

    Numbers are hashed as float64. Columns without any value are left out.
    """
    whole = hashlib.sha256()
    for name in sorted(tables):
        frame = tables[name].dropna(axis="columns", how="all")
        columns = sorted(frame.columns)
        rows = zip(*(map(_plain, frame[column]) for column in columns), strict=True)
        lines = sorted(json.dumps(row, sort_keys=True) for row in rows)
        whole.update("\n".join([name, json.dumps(columns), *lines, ""]).encode())
    return whole.hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if value is None or value is pd.NA or value != value:
        return None
    return float(value) if isinstance(value, int | float | np.number) else str(value)


MOST_NAMED = 8  # the rest are in runs.csv
BOOTSTRAP = f"{CONFIDENCE:.0%} stratified bootstrap, percentiles expanded for few seeds"
NEWCOMBE = f"{CONFIDENCE:.0%} Newcombe, of the Mann-Whitney statistic"
WILSON = f"{CONFIDENCE:.0%} Wilson score"
QUARTILES = "quartiles"
THIN = " Thin: single seeds beyond the range that all cover, or (crosses) not in the mean."
EVALUATED = "evaluation return of the unperturbed policy"


def counts_note(runs: pd.DataFrame) -> str:
    """'n = 5 seeds', of the runs that enter means, with labels that have another number."""
    return seeds_note(_sizes(runs), beyond=" (each pair's is in summary.csv)")


def single_seed_note(runs: pd.DataFrame) -> bool:
    """Whether each label has one counted run in each of its environments, so without intervals."""
    return set(_sizes(runs).values()) == {1}


def _sizes(runs: pd.DataFrame) -> dict[tuple[str, str], int]:
    """How many counted runs each (environment, label) has."""
    counts = runs["status"].isin(COUNTED).groupby([runs["env"], runs["label"]], sort=False).sum()
    return {(str(env), str(label)): int(size) for (env, label), size in counts.items()}


def seeds_note(sizes: Mapping[tuple[str, str], int], beyond: str = "") -> str:
    """'n = 5 seeds (pes on ant: 4)': how many most have, and who has another number.

    Args:
      sizes: by (environment, label).
      beyond: said where too many have another number for each to be named.
    """
    usual = Counter(sizes.values()).most_common(1)[0][0]
    others = [f"{label} on {env}: {size}" for (env, label), size in sizes.items() if size != usual]
    if len(others) > MOST_NAMED:
        return f"n = {format_range(sizes.values())} seeds{beyond}"
    said = f"n = {format_count(usual, 'seed')}"
    return f"{said} ({'; '.join(others)})" if others else said


def named_note(runs: pd.DataFrame) -> list[str]:
    """Runs by name and status, the first few of them, and how many more there are."""
    names = [
        f"{run['label']} on {run['env']}, seed {run['seed']} ({run['status']})"
        for run in runs.to_dict("records")
    ]
    more = len(names) - MOST_NAMED
    return [*names[:MOST_NAMED], f"and {more} more"] if more > 0 else names


def interval_note(runs: pd.DataFrame, mark: str, replicates: int, of: str = "the mean") -> str:
    """What the marks of intervals stand for."""
    if single_seed_note(runs):
        return "no interval from a single seed"
    return (
        f"{mark}: {CONFIDENCE:.0%} stratified bootstrap interval of {of} over seeds "
        f"(percentiles expanded for few seeds, {replicates:,} replicates)"
    )


def bands_note(
    runs: pd.DataFrame, replicates: int, single: bool, what: str = EVALUATED
) -> tuple[str, ...]:
    """For lines: the means are of `what`; `single`: whether single seeds are drawn as well."""
    return (
        f"Lines: mean {what}, {counts_note(runs)}; "
        f"{interval_note(runs, 'shaded', replicates)}.{THIN if single else ''}",
    )


def best_note(runs: pd.DataFrame, replicates: int, single: bool) -> tuple[str, ...]:
    """For lines of the best return so far."""
    return bands_note(runs, replicates, single, "over seeds of each one's best evaluation so far")


def shares_note() -> tuple[str, ...]:
    """For shares of seeds."""
    return (
        "Success rate: the share of seeds whose last evaluation is at or above the threshold; "
        f"diverged seeds count as failures. Shaded: {CONFIDENCE:.0%} Wilson score interval.",
    )


def medians_note(runs: pd.DataFrame, cut: bool) -> tuple[str, ...]:
    """For medians over single seeds; `cut`: whether some lines leave their panel."""
    lost = not runs["status"].isin(COUNTED).all()
    crosses = "; crosses: where one diverged or failed" if lost else ""
    beyond = " A line that leaves its panel ends there." if cut else ""
    return (
        f"Thick: median over seeds, of the unperturbed policy, {counts_note(runs)}; thin: "
        f"seeds{crosses}.{beyond}",
    )


def surfaces_note(surfaces: Sequence[Surface]) -> tuple[str, ...]:
    """For heat maps with the paths of centers over them."""
    grids = {" x ".join(map(str, surface.returns.shape)) for surface in surfaces}
    episodes = {surface.episodes for surface in surfaces}
    of = " or ".join(sorted(map(str, episodes)))
    each = "episode" if episodes == {1} else "episodes"
    gaps = any(np.isnan(surface.returns).any() for surface in surfaces)
    reddish = "; reddish where it is not finite" if gaps else ""
    return (
        f"Colours: minus the mean return of {of} {each} at each of {' or '.join(sorted(grids))} "
        f"points{reddish}. Lines: the unperturbed parameters of each label's first seed; markers: "
        "where each seed ends.",
    )


def bars_note(runs: pd.DataFrame, replicates: int) -> tuple[str, ...]:
    """For bars with dots."""
    return (
        f"Bars: mean return of the last evaluation, {counts_note(runs)}; dots: seeds; "
        f"{interval_note(runs, 'black lines', replicates)}.",
    )


def time_note(curves: pd.DataFrame) -> tuple[str, ...]:
    """How seconds were divided among runs that shared them."""
    lanes = sorted({int(lanes) for lanes in curves["lanes"].dropna() if lanes > 1})
    if not lanes:
        return ("Time: elapsed, without compilation.",)
    return (
        f"Time: elapsed, without compilation, divided by the runs that ran at once "
        f"(lanes = {format_range(lanes)}); not a claim of speed.",
    )


def running_note(runs: pd.DataFrame) -> list[str]:
    """How many runs are unfinished; empty where none is."""
    running = int((runs["status"] == "running").sum())
    what = "it has" if running == 1 else "they have"
    return [f"{running} running: counted with what {what} so far."] if running else []


def runs_note(curves: pd.DataFrame, runs: pd.DataFrame, means: str = "means") -> tuple[str, ...]:
    """How many runs are unfinished, and which diverged or failed: these are not in the means."""
    said = running_note(runs)
    reached = curves.groupby("run_id")["env_steps"].max()
    lost = runs[~runs["status"].isin(COUNTED)].to_dict("records")
    if lost:
        named = [_lost(run, reached.get(run["run_id"], np.nan)) for run in lost[:MOST_NAMED]]
        more = f"; and {len(lost) - MOST_NAMED} more (runs.csv)" if len(lost) > MOST_NAMED else ""
        said.append(f"Not in the {means}: {'; '.join(named)}{more}.")
    return tuple(said)


def _lost(run: dict, steps: float) -> str:
    status = run["status"] if isinstance(run["status"], str) else "status unknown"
    after = f" after {short(float(f'{steps:.3g}'), steps)} steps" if np.isfinite(steps) else ""
    return f"{run['label']} on {run['env']}, seed {run['seed']} ({status}{after})"
