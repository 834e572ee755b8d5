"""Learning curves of several seeds on one grid, and what each run contributes.

Seeds are evaluated at slightly different numbers of environment steps. Between two evaluations a
seed's curve is the straight line that joins them, as it is drawn; before the first and after the
last it has no value. The mean and its interval are therefore taken only over the range that every
counted seed covers. Where all seeds share their evaluation points, these are the grid, and nothing
is interpolated.

Which runs count: `finished` ones, and `running` ones with what they have. A `diverged` or `failed`
run has no value after its end, so a mean that included it would have to stop there, or to make
values up: it is left out of means, always named beside them, and drawn by itself.

Axis letters: S seeds, T grid points.

The evolved parameters themselves, where they are few enough to be in the curves table.

When runs first reached their threshold, in steps, seconds or any other abscissa.

That is at the first evaluation at or above the threshold. A run without one is censored at its last
evaluation, one that diverged never arrives, and one that failed is left out.

Success: the share of seeds that are at or above the threshold.

A seed is a success from an evaluation at or above the threshold until one below it. A run that
diverged is none from its end on, but is among the seeds; one that failed is left out.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_es.analysis.statistics.intervals import Interval, wilson
from rl_es.analysis.statistics.threshold import Reaching

COUNTED = ("finished", "running")
MOST_POINTS = 400  # more than a printed panel can show
DECADES = 1000.0


@dataclass(frozen=True)
class Curve:
    """One run's evaluations in order, without those that are not finite."""

    seed: int
    status: str
    x: np.ndarray  # [T], strictly increasing
    y: np.ndarray  # [T]


def per_run_seconds(rows: pd.DataFrame) -> pd.Series:
    """Wall-clock seconds per run: the group's elapsed time over the lanes that shared it."""
    return rows["wall_seconds"] / rows["lanes"].fillna(1).clip(lower=1)


def curves_of_runs(
    curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series, y: pd.Series | None = None
) -> list[Curve]:
    """The curves of some runs, by seed; a run without a finite value has none.

    Args:
      curves: rows of the curves table, of any runs.
      runs: the rows of the runs table that are wanted.
      x: the abscissa, aligned with the rows of `curves`.
      y: the ordinate, likewise; the mean return unless it is given.
    """
    ordinate = (curves["return_mean"] if y is None else y).astype(float)
    points = curves[["run_id"]].assign(x=x.astype(float), y=ordinate)
    points = points[points["run_id"].isin(runs["run_id"])].dropna()
    points = points[np.isfinite(points["x"]) & np.isfinite(points["y"])]
    by_run = dict(list(points.groupby("run_id")))
    found = []
    for run in runs.sort_values(["seed", "run_id"]).to_dict("records"):
        rows = by_run.get(run["run_id"])
        if rows is None:
            continue
        rows = rows.drop_duplicates("x", keep="last").sort_values("x")
        along, values = rows["x"].to_numpy(float), rows["y"].to_numpy(float)
        found.append(Curve(int(run["seed"]), str(run["status"]), along, values))
    return found


def counted(curves: list[Curve]) -> list[Curve]:
    """The curves of runs that enter means."""
    return [curve for curve in curves if curve.status in COUNTED]


def align(curves: list[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """The curves on a common grid, within the range that all of them cover.

    Returns:
      x [T] and y [S, T]; T is 0 where no point is covered by all.
    """
    if not curves:
        return np.empty(0), np.empty((0, 0))
    low = max(curve.x[0] for curve in curves)
    high = min(curve.x[-1] for curve in curves)
    if low > high:
        return np.empty(0), np.empty((len(curves), 0))
    inside = [curve.x[(curve.x >= low) & (curve.x <= high)] for curve in curves]
    same = all(np.array_equal(inside[0], other) for other in inside[1:])
    if same and 0 < len(inside[0]) <= MOST_POINTS:
        grid = inside[0]
    else:
        # Twice the evaluations: corners of the single curves are kept well enough to be seen.
        points = 2 * max(len(curve.x) for curve in curves)
        grid = np.linspace(low, high, min(points, MOST_POINTS)) if high > low else np.array([low])
    return grid, np.stack([np.interp(grid, curve.x, curve.y) for curve in curves])


def final_returns(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """The last finite return of each row of `runs`: the recorded one, else the curve's last."""
    finite = curves[np.isfinite(curves["return_mean"].astype(float))]
    last = finite.sort_values("generation").groupby("run_id")["return_mean"].last()
    recorded = runs["final_return"].astype(float)
    return recorded.where(np.isfinite(recorded), runs["run_id"].map(last).astype(float))


def held(curve: Curve, grid: np.ndarray) -> np.ndarray:
    """[T] the last evaluation at or before each point of the grid; NaN before the first."""
    before = np.searchsorted(curve.x, grid, "right") - 1
    return np.where(before >= 0, curve.y[before], np.nan)


def are_losses(curves: pd.DataFrame) -> bool:
    """Whether returns are minus a loss: none of them is above zero, and not all are zero."""
    returns = curves["return_mean"].astype(float)
    returns = returns[np.isfinite(returns)]
    return bool((returns <= 0).all() and (returns < 0).any())


def over_decades(curves: pd.DataFrame) -> bool:
    """Whether returns are minus losses whose sizes only a logarithmic axis can show."""
    losses = -curves["return_mean"].astype(float)
    losses = losses[np.isfinite(losses) & (losses > 0)]
    return are_losses(curves) and bool(losses.max() >= DECADES * losses.min())


def best_so_far(curves: pd.DataFrame) -> pd.Series:
    """The best return of each row's run up to that row, aligned with the rows."""
    return curves.sort_values("generation").groupby("run_id")["return_mean"].cummax()


def area(curve: Curve, start: float, end: float) -> float:
    """The area under a curve from `start` to `end` over their distance: its mean height there.

    By trapezoids; the unit is that of the ordinate. NaN where the curve does not cover both ends.
    """
    if not (curve.x[0] <= start <= end <= curve.x[-1]):
        return float("nan")
    if start == end:
        return float(np.interp(start, curve.x, curve.y))
    between = curve.x[(curve.x > start) & (curve.x < end)]
    x = np.concatenate([[start], between, [end]])
    return float(np.trapezoid(np.interp(x, curve.x, curve.y), x) / (end - start))


def center_scalars(curves: pd.DataFrame) -> int:
    """How many scalars the centers of these rows have; 0 where none has any, or where they differ.

    A row has none where the parameters were too many, not finite, or not yet recorded.
    """
    counts = {len(center) for center in curves["center"] if center is not None}
    return counts.pop() if len(counts) == 1 else 0


def center_coordinate(curves: pd.DataFrame, place: int) -> pd.Series:
    """One scalar of each row's center, aligned with the rows; NaN where there is none."""
    values = [np.nan if center is None else center[place] for center in curves["center"]]
    return pd.Series(values, index=curves.index, dtype=float)


def center_path(curves: pd.DataFrame, run_id: str) -> np.ndarray:
    """[T, A] the centers of one run, in order."""
    rows = curves[(curves["run_id"] == run_id) & curves["center"].notna()]
    return np.array(list(rows.sort_values("generation")["center"]), dtype=float)


TRIED = ("finished", "running", "diverged")


def share_along(curves: pd.DataFrame, runs: pd.DataFrame) -> tuple[np.ndarray, Interval]:
    """The share of some runs that are at or above their threshold, along environment steps.

    Args:
      curves: rows of the curves table.
      runs: the runs of one label in one environment.

    Returns:
      Environment steps [T] that all counted runs cover, and the `Interval` of arrays [T].
    """
    tried = runs[runs["status"].isin(TRIED)]
    found = curves_of_runs(curves, tried, curves["env_steps"])
    threshold = float(runs["threshold"].max())
    grid, _ = align(counted(found) or found)
    successes = sum((_succeeds(curve, threshold, grid) for curve in found), np.zeros(grid.size))
    return grid, wilson(successes, len(tried))


def _succeeds(curve: Curve, threshold: float, grid: np.ndarray) -> np.ndarray:
    """[T] 1 where the last evaluation is at or above the threshold, 0 elsewhere and once lost."""
    lasts = curve.status in COUNTED
    there = (grid <= curve.x[-1]) | lasts
    return ((held(curve, grid) >= threshold) & there).astype(float)


def final_share(runs: pd.DataFrame) -> Interval:
    """The share of some runs of one label and environment that end at or above the threshold.

    Args:
      runs: rows of the runs table, with the last finite return as `final`.
    """
    tried = runs[runs["status"].isin(TRIED)]
    lasts = tried["status"].isin(COUNTED)
    successes = int(((tried["final"] >= tried["threshold"]) & lasts).sum())
    return wilson(np.asarray(successes), len(tried))


def threshold_times(curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series) -> Reaching:
    """When some runs reached their threshold.

    Args:
      curves: rows of the curves table.
      runs: the wanted rows of the runs table, of environments with a threshold.
      x: the abscissa, such as environment steps, aligned with the rows of `curves`.
    """
    tried = runs[runs["status"].isin(TRIED)].sort_values(["seed", "run_id"])
    points = curves[["run_id", "return_mean"]].assign(x=x.astype(float))
    points = points[points["run_id"].isin(tried["run_id"]) & np.isfinite(points["x"])]
    threshold = points["run_id"].map(tried.set_index("run_id")["threshold"]).astype(float)
    there = points[points["return_mean"].astype(float) >= threshold]
    first = tried["run_id"].map(there.groupby("run_id")["x"].min()).astype(float)
    last = tried["run_id"].map(points.groupby("run_id")["x"].max()).astype(float).fillna(0.0)
    reached = first.notna().to_numpy(bool)
    lost = (tried["status"] == "diverged").to_numpy(bool)
    ended = np.where(lost, np.inf, last.to_numpy(float))
    return Reaching(np.where(reached, first.to_numpy(float), ended), reached)
