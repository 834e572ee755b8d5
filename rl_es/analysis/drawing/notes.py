"""The notes under a figure: the number of seeds, the kind of interval, the runs left out."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rl_es.analysis.alignment import COUNTED
from rl_es.analysis.digits import several, span
from rl_es.analysis.drawing.ticks import short
from rl_es.analysis.statistics import CONFIDENCE
from rl_es.surfaces import Surface

MOST_NAMED = 8  # the rest are in runs.csv
BOOTSTRAP = f"{CONFIDENCE:.0%} stratified bootstrap, percentiles expanded for few seeds"
NEWCOMBE = f"{CONFIDENCE:.0%} Newcombe, of the Mann-Whitney statistic"
WILSON = f"{CONFIDENCE:.0%} Wilson score"
QUARTILES = "quartiles"
THIN = " Thin: single seeds beyond the range that all cover, or (crosses) not in the mean."
EVALUATED = "evaluation return of the unperturbed policy"


def counts(runs: pd.DataFrame) -> str:
    """'n = 5 seeds', of the runs that enter means, with labels that have another number."""
    return seeds(_sizes(runs), beyond=" (each pair's is in summary.csv)")


def single_seeds(runs: pd.DataFrame) -> bool:
    """Whether each label has one counted run in each of its environments, so without intervals."""
    return set(_sizes(runs).values()) == {1}


def _sizes(runs: pd.DataFrame) -> dict[tuple[str, str], int]:
    """How many counted runs each (environment, label) has."""
    counts = runs["status"].isin(COUNTED).groupby([runs["env"], runs["label"]], sort=False).sum()
    return {(str(env), str(label)): int(size) for (env, label), size in counts.items()}


def seeds(sizes: Mapping[tuple[str, str], int], beyond: str = "") -> str:
    """'n = 5 seeds (pes on ant: 4)': how many most have, and who has another number.

    Args:
      sizes: by (environment, label).
      beyond: said where too many have another number for each to be named.
    """
    usual = Counter(sizes.values()).most_common(1)[0][0]
    others = [f"{label} on {env}: {size}" for (env, label), size in sizes.items() if size != usual]
    if len(others) > MOST_NAMED:
        return f"n = {span(sizes.values())} seeds{beyond}"
    said = f"n = {several(usual, 'seed')}"
    return f"{said} ({'; '.join(others)})" if others else said


def named(runs: pd.DataFrame) -> list[str]:
    """Runs by name and status, the first few of them, and how many more there are."""
    names = [
        f"{run['label']} on {run['env']}, seed {run['seed']} ({run['status']})"
        for run in runs.to_dict("records")
    ]
    more = len(names) - MOST_NAMED
    return [*names[:MOST_NAMED], f"and {more} more"] if more > 0 else names


def interval(runs: pd.DataFrame, mark: str, replicates: int, of: str = "the mean") -> str:
    """What the marks of intervals stand for."""
    if single_seeds(runs):
        return "no interval from a single seed"
    return (
        f"{mark}: {CONFIDENCE:.0%} stratified bootstrap interval of {of} over seeds "
        f"(percentiles expanded for few seeds, {replicates:,} replicates)"
    )


def on_bands(
    runs: pd.DataFrame, replicates: int, single: bool, what: str = EVALUATED
) -> tuple[str, ...]:
    """For lines: the means are of `what`; `single`: whether single seeds are drawn as well."""
    return (
        f"Lines: mean {what}, {counts(runs)}; "
        f"{interval(runs, 'shaded', replicates)}.{THIN if single else ''}",
    )


def on_best(runs: pd.DataFrame, replicates: int, single: bool) -> tuple[str, ...]:
    """For lines of the best return so far."""
    return on_bands(runs, replicates, single, "over seeds of each one's best evaluation so far")


def on_shares() -> tuple[str, ...]:
    """For shares of seeds."""
    return (
        "Success rate: the share of seeds whose last evaluation is at or above the threshold; "
        f"diverged seeds count as failures. Shaded: {CONFIDENCE:.0%} Wilson score interval.",
    )


def on_medians(runs: pd.DataFrame, cut: bool) -> tuple[str, ...]:
    """For medians over single seeds; `cut`: whether some lines leave their panel."""
    lost = not runs["status"].isin(COUNTED).all()
    crosses = "; crosses: where one diverged or failed" if lost else ""
    beyond = " A line that leaves its panel ends there." if cut else ""
    return (
        f"Thick: median over seeds, of the unperturbed policy, {counts(runs)}; thin: "
        f"seeds{crosses}.{beyond}",
    )


def on_surfaces(surfaces: Sequence[Surface]) -> tuple[str, ...]:
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


def on_bars(runs: pd.DataFrame, replicates: int) -> tuple[str, ...]:
    """For bars with dots."""
    return (
        f"Bars: mean return of the last evaluation, {counts(runs)}; dots: seeds; "
        f"{interval(runs, 'black lines', replicates)}.",
    )


def on_time(curves: pd.DataFrame) -> tuple[str, ...]:
    """How seconds were divided among runs that shared them."""
    lanes = sorted({int(lanes) for lanes in curves["lanes"].dropna() if lanes > 1})
    if not lanes:
        return ("Time: elapsed, without compilation.",)
    return (
        f"Time: elapsed, without compilation, divided by the runs that ran at once "
        f"(lanes = {span(lanes)}); not a claim of speed.",
    )


def on_running(runs: pd.DataFrame) -> list[str]:
    """How many runs are unfinished; empty where none is."""
    running = int((runs["status"] == "running").sum())
    what = "it has" if running == 1 else "they have"
    return [f"{running} running: counted with what {what} so far."] if running else []


def on_runs(curves: pd.DataFrame, runs: pd.DataFrame, means: str = "means") -> tuple[str, ...]:
    """How many runs are unfinished, and which diverged or failed: these are not in the means."""
    said = on_running(runs)
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
