"""Metrics: one number that a run is judged by, and the label that is best by it.

`final`               the last finite evaluation return;
`best`                the highest evaluation return;
`auc`                 the area under the learning curve over environment steps, up to where all
                      counted runs of the environment have come, divided by that length;
`steps_to_threshold`  environment steps until an evaluation reached the threshold;
`seconds`             wall-clock seconds a run for 10^6 environment steps, without compilation:
                      the elapsed time over the lanes that shared it.

Runs that diverged or failed have no value, except for steps to a threshold, where a diverged run is
one that never reaches it. For areas and for steps to a threshold a run counts only once it was
evaluated after its start: otherwise all others would have to be cut off at its start too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_es.analysis.curves import (
    COUNTED_STATUSES,
    TRIAL_STATUSES,
    Curve,
    area,
    curves_of_runs,
    final_returns,
    per_run_seconds,
    threshold_times,
)
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics import (
    CONFIDENCE,
    Interval,
    Scores,
    ThresholdTimes,
    adjust_p_values,
    bootstrap,
    difference,
    median_time,
    student_p_value,
)

STEPS = 1_000_000  # environment steps that `seconds` is for


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
      name: One of `METRICS`.
      title: Heading in tables.
      lower: True where less is better, as of times.
    """

    name: str
    title: str
    lower: bool = False


FINAL, BEST, AREA, THRESHOLD_STEPS = "final", "best", "auc", "steps_to_threshold"
SECONDS = "seconds"
METRICS = {
    metric.name: metric
    for metric in (
        Metric(FINAL, "final return"),
        Metric(BEST, "best return"),
        Metric(AREA, "mean return along the learning curve"),
        Metric(THRESHOLD_STEPS, "environment steps to the threshold", lower=True),
        Metric(SECONDS, "seconds per million environment steps", lower=True),
    )
}


def measure_runs(folders: Sequence[ResultTables], name: str) -> list[pd.DataFrame]:
    """Measures the runs of folders that are compared with each other.

    Args:
      folders: Results; areas end where the runs of all folders have come.
      name: One of `METRICS`.

    Returns:
      For each folder its runs that have the metric, as the column `value`. `reached` is False where
      a run ended before the threshold; its value is then the end of the run, infinite where it
      diverged.
    """
    if name == THRESHOLD_STEPS:
        return [_measure_threshold_steps(results) for results in folders]
    tables = []
    for results in folders:
        runs = results.runs.assign(reached=True)
        runs = runs[runs["status"].isin(COUNTED_STATUSES)]
        if name == AREA:
            values = _measure_areas(results, runs, folders)
        else:
            values = _measure_run_by_run(results, runs, name)
        runs = runs.assign(value=values.astype(float))
        tables.append(runs[np.isfinite(runs["value"])])
    return tables


def _measure_run_by_run(results: ResultTables, runs: pd.DataFrame, name: str) -> pd.Series:
    """Returns the final or best return, or the seconds, of each run."""
    if name == FINAL:
        return final_returns(results.curves, runs)
    if name == BEST:
        returns = results.curves["return_mean"].astype(float)
        finite = results.curves[np.isfinite(returns)]
        return runs["run_id"].map(finite.groupby("run_id")["return_mean"].max())
    last = results.curves.sort_values("generation").groupby("run_id").nth(-1)
    steps = last["env_steps"].astype(float)
    seconds = per_run_seconds(last) / steps.where(steps > 0) * STEPS
    return runs["run_id"].map(dict(zip(last["run_id"], seconds, strict=True)))


def _measure_areas(
    results: ResultTables, runs: pd.DataFrame, folders: Sequence[ResultTables]
) -> pd.Series:
    """Returns the area under each run's curve, over the range of its environment."""
    ranges = {env: _common_range(folders, env) for env in runs["env"].unique()}
    values = pd.Series(np.nan, index=runs.index)
    for (env, _), label_runs in runs.groupby(["env", "label"]):
        curves = _step_curves(results, label_runs)
        areas = {curve.seed: area(curve, *ranges[env]) for curve in curves}
        values[label_runs.index] = label_runs["seed"].map(areas)
    return values


def _common_range(folders: Sequence[ResultTables], env: str) -> tuple[float, float]:
    """Returns the range of steps that the curves of all counted runs of an environment cover."""
    curves: list[Curve] = []
    for results in folders:
        runs = results.runs[results.runs["env"] == env]
        curves += _step_curves(results, runs[runs["status"].isin(COUNTED_STATUSES)])
    curves = [c for c in curves if c.x[-1] > c.x[0]] or curves
    return max((c.x[0] for c in curves), default=0), min((c.x[-1] for c in curves), default=0)


def _step_curves(results: ResultTables, runs: pd.DataFrame) -> list[Curve]:
    return curves_of_runs(results.curves, runs, results.curves["env_steps"])


def _measure_threshold_steps(results: ResultTables) -> pd.DataFrame:
    """Returns the runs of environments with a threshold, with `value` and `reached`."""
    runs = results.runs[results.runs["threshold"].notna()]
    runs = runs[runs["status"].isin(TRIAL_STATUSES)].sort_values(["seed", "run_id"])
    times = threshold_times(results.curves, runs, results.curves["env_steps"])
    runs = runs.assign(value=times.times, reached=times.is_reached)
    return runs[runs["reached"] | (runs["value"] > 0)]


def to_scores(runs: pd.DataFrame) -> Scores:
    """Returns the column `value` of some runs as scores."""
    columns = runs["value"].to_numpy(float), runs["env"].to_numpy(str), runs["seed"].to_numpy(int)
    return Scores(*columns)


def restrict_times(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Cuts the times of runs at the steps up to which all were observed, or had arrived.

    A run that has not arrived by then has these steps as its time.
    Their mean is the restricted mean time of survival analysis (P. Royston and M. Parmar,
    "Restricted mean survival time", BMC Medical Research Methodology 13 (2013), 152). It is
    defined, and comparable, where some runs never arrive and budgets differ.
    """
    ends = [runs["value"][~runs["reached"]].min() for runs in tables if not runs["reached"].all()]
    finite = [end for end in ends if np.isfinite(end)]
    arrivals = [time for runs in tables for time in runs["value"][runs["reached"]]]
    end = float(min(finite)) if finite else float(max(arrivals, default=np.nan))
    return [runs.assign(value=runs["value"].clip(upper=end)) for runs in tables]


def typical_value(runs: pd.DataFrame, name: str, replicates: int) -> Interval:
    """Returns the mean over runs with its interval; of steps to a threshold, the median."""
    values = runs["value"].to_numpy(float)
    if name == THRESHOLD_STEPS:
        times = ThresholdTimes(values, runs["reached"].to_numpy(bool))
        return median_time(times, replicates=replicates)
    return bootstrap(values, replicates=replicates)


def significant_best_labels(results: ResultTables, metric: str = FINAL) -> dict[str, str | None]:
    """Returns the best label of each environment; None where the runs do not support one.

    The label with the best mean must differ from every rival: Student's test (paired where seeds
    are the same), adjusted by Holm for the number of rivals, has p < 0.05, and the 95 % bootstrap
    interval of the difference does not contain 0. It must not have lost more runs (diverged or
    failed) than a rival, because the remaining runs would not be a fair sample.

    Args:
      results: Results of a folder.
      metric: One of `METRICS`.
    """
    (runs,) = measure_runs([results], metric)
    best = {}
    for env in results.environments:
        tables = {str(label): rows for label, rows in runs[runs["env"] == env].groupby("label")}
        if metric == THRESHOLD_STEPS:
            tables = dict(zip(tables, restrict_times(list(tables.values())), strict=True))
        counts = results.runs["label"][results.runs["env"] == env].value_counts()
        losses = {str(label): n - len(tables.get(label, ())) for label, n in counts.items()}
        scores = {label: to_scores(rows) for label, rows in tables.items()}
        best[env] = significant_best_label(scores, losses, lower=METRICS[metric].lower)
    return best


def significant_best_label(
    labels: Mapping[str, Scores], losses: Mapping[str, int], lower: bool = False
) -> str | None:
    """Returns the label that is better than all others of one environment; None if there is none.

    Args:
      labels: The values of each label.
      losses: By label, the number of runs without a value; also for labels without any value.
      lower: True where less is better.
    """
    sign = -1 if lower else 1
    if len(labels) < 2:
        return None
    best = max(labels, key=lambda label: sign * labels[label].values.mean())
    rivals = [label for label in labels if label != best]
    p_values = np.array([student_p_value(labels[best], labels[rival]) for rival in rivals])
    if not (adjust_p_values(p_values) < 1 - CONFIDENCE).all():
        return None
    for rival in rivals:
        interval = difference(labels[best], labels[rival])
        differs = float(interval.low) > 0 or float(interval.high) < 0
        if not differs or losses.get(best, 0) > losses.get(rival, 0):
            return None
    return best
