"""Metrics: one number that a run is judged by.

`final`               the last finite evaluation return;
`best`                the highest evaluation return;
`auc`                 the area under the learning curve over environment steps, up to where all
                      counted runs of the environment have come, divided by that length;
`steps_to_threshold`  environment steps until an evaluation reached the threshold;
`seconds`             wall-clock seconds per run for 10^6 environment steps, without compilation:
                      the elapsed time over the lanes that shared it.

Runs that diverged or failed have no value, except for steps to a threshold, where a diverged run is
one that never arrives. For areas and for steps to a threshold a run counts only once it was
evaluated after its start: otherwise all others would have to be cut off at its start too.

Axis letters: S runs (of one environment and label).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_es.analysis import alignment, reaching
from rl_es.analysis.results import Results
from rl_es.analysis.shares import TRIED
from rl_es.analysis.statistics import Interval, Reaching, Scores, bootstrap, median_time

STEPS = 1_000_000  # environment steps that `seconds` is for


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
      name: one of `METRICS`.
      title: for heads of tables.
      lower: whether less is better, as of times.
    """

    name: str
    title: str
    lower: bool = False


FINAL, BEST, AREA, ARRIVAL, SECONDS = "final", "best", "auc", "steps_to_threshold", "seconds"
METRICS = {
    metric.name: metric
    for metric in (
        Metric(FINAL, "final return"),
        Metric(BEST, "best return"),
        Metric(AREA, "mean return along the learning curve"),
        Metric(ARRIVAL, "environment steps to the threshold", lower=True),
        Metric(SECONDS, "seconds per million environment steps", lower=True),
    )
}


def measured(folders: Sequence[Results], name: str) -> list[pd.DataFrame]:
    """The metric of the runs of each folder that have one.

    Args:
      folders: compared with each other: areas end where the runs of all of them have come.
      name: one of `METRICS`.

    Returns:
      For each folder its runs with the columns `value` and, where a run ended before the threshold,
      False in `reached`; its value is then the end of the run, infinite where it diverged.
    """
    found = []
    for results in folders:
        runs = results.runs.assign(reached=True)
        if name == ARRIVAL:
            runs = _arrivals(results)
        else:
            runs = runs[runs["status"].isin(alignment.COUNTED)]
            values = _areas(results, runs, folders) if name == AREA else _each(results, runs, name)
            runs = runs.assign(value=values.astype(float))
            runs = runs[np.isfinite(runs["value"])]
        found.append(runs)
    return found


def _each(results: Results, runs: pd.DataFrame, name: str) -> pd.Series:
    if name == FINAL:
        return alignment.final_returns(results.curves, runs)
    if name == BEST:
        returns = results.curves["return_mean"].astype(float)
        finite = results.curves[np.isfinite(returns)]
        return runs["run_id"].map(finite.groupby("run_id")["return_mean"].max())
    last = results.curves.sort_values("generation").groupby("run_id").nth(-1)
    steps = last["env_steps"].astype(float)
    per_run = alignment.per_run_seconds(last) / steps.where(steps > 0) * STEPS
    return runs["run_id"].map(dict(zip(last["run_id"], per_run, strict=True)))


def _areas(results: Results, runs: pd.DataFrame, folders: Sequence[Results]) -> pd.Series:
    bounds = {env: _covered(folders, env) for env in runs["env"].unique()}
    values = pd.Series(np.nan, index=runs.index)
    for (env, _), own in runs.groupby(["env", "label"]):
        areas = {c.seed: alignment.area(c, *bounds[env]) for c in _curves(results, own)}
        values[own.index] = own["seed"].map(areas)
    return values


def _covered(folders: Sequence[Results], env: str) -> tuple[float, float]:
    """From where to where all runs of an environment that count have a curve."""
    curves: list[alignment.Curve] = []
    for results in folders:
        own = results.runs[results.runs["env"] == env]
        curves += _curves(results, own[own["status"].isin(alignment.COUNTED)])
    curves = [c for c in curves if c.x[-1] > c.x[0]] or curves
    return max((c.x[0] for c in curves), default=0), min((c.x[-1] for c in curves), default=0)


def _curves(results: Results, runs: pd.DataFrame) -> list[alignment.Curve]:
    return alignment.of_runs(results.curves, runs, results.curves["env_steps"])


def _arrivals(results: Results) -> pd.DataFrame:
    runs = results.runs[results.runs["threshold"].notna()]
    runs = runs[runs["status"].isin(TRIED)].sort_values(["seed", "run_id"])
    found = reaching.of_runs(results.curves, runs, results.curves["env_steps"])
    runs = runs.assign(value=found.times, reached=found.reached)
    return runs[runs["reached"] | (runs["value"] > 0)]


def scores(runs: pd.DataFrame) -> Scores:
    """The values of some runs."""
    columns = runs["value"].to_numpy(float), runs["env"].to_numpy(str), runs["seed"].to_numpy(int)
    return Scores(*columns)


def until(runs: Sequence[pd.DataFrame]) -> float:
    """The number of steps up to which all of these runs were observed, or had arrived."""
    ends = [own["value"][~own["reached"]].min() for own in runs if not own["reached"].all()]
    known = [end for end in ends if np.isfinite(end)]
    arrived = [time for own in runs for time in own["value"][own["reached"]]]
    return float(min(known)) if known else float(max(arrived, default=np.nan))


def restricted(runs: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The runs with their times cut at `until`: a run that has not arrived by then has that time.

    Their mean is the restricted mean time of survival analysis (P. Royston and M. Parmar,
    "Restricted mean survival time", BMC Medical Research Methodology 13 (2013), 152): defined, and
    comparable, where some runs never arrive and budgets differ.
    """
    end = until(runs)
    return [own.assign(value=own["value"].clip(upper=end)) for own in runs]


def typical(runs: pd.DataFrame, name: str, replicates: int) -> Interval:
    """The mean over runs with its interval; of steps to a threshold the censored median."""
    values = runs["value"].to_numpy(float)
    if name == ARRIVAL:
        return median_time(Reaching(values, runs["reached"].to_numpy(bool)), replicates=replicates)
    return bootstrap(values, replicates=replicates)
