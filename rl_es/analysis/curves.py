"""Learning curves of several seeds: on one grid, at their end, and against a threshold.

**Grid.** Seeds are evaluated at slightly different numbers of environment steps. Between two
evaluations a seed's curve is the straight line that joins them, as it is drawn; before the first
and after the last it has no value. The mean and its interval are therefore computed only over the
range that every counted seed covers. Where all seeds share their evaluation points, these are the
grid, and nothing is interpolated.

**Counted runs** are `finished` ones, and `running` ones with what they have. A `diverged` or
`failed` run has no value after its end, so a mean that included it would have to stop there, or to
invent values. It is left out of means, always named beside them, and drawn by itself.

**Threshold.** A run reaches its threshold at the first evaluation at or above it. A run without one
is censored at its last evaluation; a diverged run never reaches it; a failed run is left out.

**Success rate.** A seed is a success from an evaluation at or above the threshold until one below
it. A diverged run is no success from its end on, but counts among the seeds; a failed run is left
out.

Axis letters: S seeds, T grid points, A scalars of the center.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_es.analysis.statistics import Interval, ThresholdTimes, wilson

COUNTED_STATUSES = ("finished", "running")  # of runs that enter means
TRIAL_STATUSES = ("finished", "running", "diverged")  # of runs that succeed or not
MAX_GRID_POINTS = 400  # more than a printed panel can show
LOG_RATIO = 1000.0  # of the largest loss to the least, from which on an axis is logarithmic


@dataclass(frozen=True)
class Curve:
    """One run's evaluations in order, without those that are not finite.

    Attributes:
      seed: The run's seed.
      status: The run's status.
      x: [T] abscissa, strictly increasing.
      y: [T] ordinate.
    """

    seed: int
    status: str
    x: np.ndarray  # [T]
    y: np.ndarray  # [T]


def per_run_seconds(rows: pd.DataFrame) -> pd.Series:
    """Returns wall-clock seconds a run: the group's elapsed time over the lanes that shared it."""
    return rows["wall_seconds"] / rows["lanes"].fillna(1).clip(lower=1)


def curves_of_runs(
    curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series, y: pd.Series | None = None
) -> list[Curve]:
    """Returns the curves of some runs, by seed; a run without a finite value has none.

    Args:
      curves: Rows of the curves table, of any runs.
      runs: Rows of the runs table.
      x: Abscissa, aligned with the rows of `curves`.
      y: Ordinate, likewise; None for the mean return.
    """
    ordinate = (curves["return_mean"] if y is None else y).astype(float)
    points = curves[["run_id"]].assign(x=x.astype(float), y=ordinate)
    points = points[points["run_id"].isin(runs["run_id"])].dropna()
    points = points[np.isfinite(points["x"]) & np.isfinite(points["y"])]
    by_run = dict(list(points.groupby("run_id")))
    run_curves = []
    for run in runs.sort_values(["seed", "run_id"]).to_dict("records"):
        rows = by_run.get(run["run_id"])
        if rows is None:
            continue
        rows = rows.drop_duplicates("x", keep="last").sort_values("x")
        abscissa, values = rows["x"].to_numpy(float), rows["y"].to_numpy(float)
        run_curves.append(Curve(int(run["seed"]), str(run["status"]), abscissa, values))
    return run_curves


def counted_curves(curves: list[Curve]) -> list[Curve]:
    """Returns the curves of runs that enter means."""
    return [curve for curve in curves if curve.status in COUNTED_STATUSES]


def align(curves: list[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Interpolates curves on a common grid, within the range that all of them cover.

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
    equal = all(np.array_equal(inside[0], points) for points in inside[1:])
    if equal and 0 < len(inside[0]) <= MAX_GRID_POINTS:
        grid = inside[0]
    else:
        # Twice the evaluations preserve the corners of single curves well enough for the eye.
        count = 2 * max(len(curve.x) for curve in curves)
        grid = (
            np.linspace(low, high, min(count, MAX_GRID_POINTS)) if high > low else np.array([low])
        )
    return grid, np.stack([np.interp(grid, curve.x, curve.y) for curve in curves])


def last_values(curve: Curve, grid: np.ndarray) -> np.ndarray:
    """Returns the last evaluation at or before each point of the grid [T]; NaN before the first."""
    before = np.searchsorted(curve.x, grid, "right") - 1
    return np.where(before >= 0, curve.y[before], np.nan)


def area(curve: Curve, start: float, end: float) -> float:
    """Computes the area under a curve from `start` to `end`, over their distance.

    It is the curve's mean height there, by trapezoids, in the unit of the ordinate. NaN where the
    curve does not cover both ends.
    """
    if not (curve.x[0] <= start <= end <= curve.x[-1]):
        return float("nan")
    if start == end:
        return float(np.interp(start, curve.x, curve.y))
    between = curve.x[(curve.x > start) & (curve.x < end)]
    x = np.concatenate([[start], between, [end]])
    return float(np.trapezoid(np.interp(x, curve.x, curve.y), x) / (end - start))


def final_returns(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """Returns the last finite return of each run: the recorded one, else the curve's last."""
    finite = curves[np.isfinite(curves["return_mean"].astype(float))]
    last = finite.sort_values("generation").groupby("run_id")["return_mean"].last()
    final = runs["final_return"].astype(float)
    return final.where(np.isfinite(final), runs["run_id"].map(last).astype(float))


def best_so_far(curves: pd.DataFrame) -> pd.Series:
    """Returns the best return of each row's run up to that row, aligned with the rows."""
    return curves.sort_values("generation").groupby("run_id")["return_mean"].cummax()


def are_losses(curves: pd.DataFrame) -> bool:
    """Tells whether returns are minus a loss: none is above zero, and not all are zero."""
    returns = curves["return_mean"].astype(float)
    returns = returns[np.isfinite(returns)]
    return bool((returns <= 0).all() and (returns < 0).any())


def span_decades(curves: pd.DataFrame) -> bool:
    """Tells whether returns are minus losses whose sizes only a logarithmic axis can show."""
    losses = -curves["return_mean"].astype(float)
    losses = losses[np.isfinite(losses) & (losses > 0)]
    return are_losses(curves) and bool(losses.max() >= LOG_RATIO * losses.min())


def count_center_scalars(curves: pd.DataFrame) -> int:
    """Counts the scalars of the centers of these rows; 0 where none has any, or counts differ.

    The center is the evolved parameters. A row has none where the parameters were too many, not
    finite, or not yet recorded.
    """
    counts = {len(center) for center in curves["center"] if center is not None}
    return counts.pop() if len(counts) == 1 else 0


def center_coordinate(curves: pd.DataFrame, index: int) -> pd.Series:
    """Returns one scalar of each row's center, aligned with the rows; NaN for no center."""
    values = [np.nan if center is None else center[index] for center in curves["center"]]
    return pd.Series(values, index=curves.index, dtype=float)


def center_path(curves: pd.DataFrame, run_id: str) -> np.ndarray:
    """Returns the centers of one run in order: [T, A]."""
    rows = curves[(curves["run_id"] == run_id) & curves["center"].notna()]
    return np.array(list(rows.sort_values("generation")["center"]), dtype=float)


def success_curve(curves: pd.DataFrame, runs: pd.DataFrame) -> tuple[np.ndarray, Interval]:
    """Computes the share of runs at or above their threshold, against environment steps.

    Args:
      curves: Rows of the curves table.
      runs: The runs of one label in one environment.

    Returns:
      Environment steps [T] that all counted runs cover, and the `Interval` of arrays [T].
    """
    trials = runs[runs["status"].isin(TRIAL_STATUSES)]
    run_curves = curves_of_runs(curves, trials, curves["env_steps"])
    threshold = float(runs["threshold"].max())
    grid, _ = align(counted_curves(run_curves) or run_curves)
    successes = np.zeros(grid.size)
    for curve in run_curves:
        alive = (grid <= curve.x[-1]) | (curve.status in COUNTED_STATUSES)
        successes += (last_values(curve, grid) >= threshold) & alive
    return grid, wilson(successes, len(trials))


def final_success(runs: pd.DataFrame) -> Interval:
    """Computes the share of runs of one label and environment that end at or above the threshold.

    Args:
      runs: Rows of the runs table, with the last finite return as `final`.
    """
    trials = runs[runs["status"].isin(TRIAL_STATUSES)]
    lasts = trials["status"].isin(COUNTED_STATUSES)
    successes = int(((trials["final"] >= trials["threshold"]) & lasts).sum())
    return wilson(np.asarray(successes), len(trials))


def threshold_times(curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series) -> ThresholdTimes:
    """Finds when runs reached their threshold.

    Args:
      curves: Rows of the curves table.
      runs: Rows of the runs table, of environments with a threshold.
      x: Abscissa, such as environment steps, aligned with the rows of `curves`.
    """
    trials = runs[runs["status"].isin(TRIAL_STATUSES)].sort_values(["seed", "run_id"])
    points = curves[["run_id", "return_mean"]].assign(x=x.astype(float))
    points = points[points["run_id"].isin(trials["run_id"]) & np.isfinite(points["x"])]
    threshold = points["run_id"].map(trials.set_index("run_id")["threshold"]).astype(float)
    above = points[points["return_mean"].astype(float) >= threshold]
    first = trials["run_id"].map(above.groupby("run_id")["x"].min()).astype(float)
    last = trials["run_id"].map(points.groupby("run_id")["x"].max()).astype(float).fillna(0.0)
    ends = last.where(trials["status"] != "diverged", np.inf)
    return ThresholdTimes(first.fillna(ends).to_numpy(float), first.notna().to_numpy(bool))
