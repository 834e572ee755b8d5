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

Which label is the best in an environment, where the runs are enough to say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_es.analysis import curves as analysis_curves
from rl_es.analysis.curves import TRIED, threshold_times
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval, bootstrap
from rl_es.analysis.statistics.threshold import Reaching, median_time
from rl_es.analysis.statistics.two_samples import adjust_p_values, difference, student_p

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


def measure_runs(folders: Sequence[ResultTables], name: str) -> list[pd.DataFrame]:
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
            runs = runs[runs["status"].isin(analysis_curves.COUNTED)]
            values = _areas(results, runs, folders) if name == AREA else _each(results, runs, name)
            runs = runs.assign(value=values.astype(float))
            runs = runs[np.isfinite(runs["value"])]
        found.append(runs)
    return found


def _each(results: ResultTables, runs: pd.DataFrame, name: str) -> pd.Series:
    if name == FINAL:
        return analysis_curves.final_returns(results.curves, runs)
    if name == BEST:
        returns = results.curves["return_mean"].astype(float)
        finite = results.curves[np.isfinite(returns)]
        return runs["run_id"].map(finite.groupby("run_id")["return_mean"].max())
    last = results.curves.sort_values("generation").groupby("run_id").nth(-1)
    steps = last["env_steps"].astype(float)
    per_run = analysis_curves.per_run_seconds(last) / steps.where(steps > 0) * STEPS
    return runs["run_id"].map(dict(zip(last["run_id"], per_run, strict=True)))


def _areas(results: ResultTables, runs: pd.DataFrame, folders: Sequence[ResultTables]) -> pd.Series:
    bounds = {env: _covered(folders, env) for env in runs["env"].unique()}
    values = pd.Series(np.nan, index=runs.index)
    for (env, _), own in runs.groupby(["env", "label"]):
        areas = {c.seed: analysis_curves.area(c, *bounds[env]) for c in _curves(results, own)}
        values[own.index] = own["seed"].map(areas)
    return values


def _covered(folders: Sequence[ResultTables], env: str) -> tuple[float, float]:
    """From where to where all runs of an environment that count have a curve."""
    curves: list[analysis_curves.Curve] = []
    for results in folders:
        own = results.runs[results.runs["env"] == env]
        curves += _curves(results, own[own["status"].isin(analysis_curves.COUNTED)])
    curves = [c for c in curves if c.x[-1] > c.x[0]] or curves
    return max((c.x[0] for c in curves), default=0), min((c.x[-1] for c in curves), default=0)


def _curves(results: ResultTables, runs: pd.DataFrame) -> list[analysis_curves.Curve]:
    return analysis_curves.curves_of_runs(results.curves, runs, results.curves["env_steps"])


def _arrivals(results: ResultTables) -> pd.DataFrame:
    runs = results.runs[results.runs["threshold"].notna()]
    runs = runs[runs["status"].isin(TRIED)].sort_values(["seed", "run_id"])
    found = threshold_times(results.curves, runs, results.curves["env_steps"])
    runs = runs.assign(value=found.times, reached=found.reached)
    return runs[runs["reached"] | (runs["value"] > 0)]


def scores(runs: pd.DataFrame) -> Scores:
    """The values of some runs."""
    columns = runs["value"].to_numpy(float), runs["env"].to_numpy(str), runs["seed"].to_numpy(int)
    return Scores(*columns)


def until_steps(runs: Sequence[pd.DataFrame]) -> float:
    """The number of steps up to which all of these runs were observed, or had arrived."""
    ends = [own["value"][~own["reached"]].min() for own in runs if not own["reached"].all()]
    known = [end for end in ends if np.isfinite(end)]
    arrived = [time for own in runs for time in own["value"][own["reached"]]]
    return float(min(known)) if known else float(max(arrived, default=np.nan))


def restrict_runs(runs: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The runs with their times cut at `until`: a run that has not arrived by then has that time.

    Their mean is the restricted mean time of survival analysis (P. Royston and M. Parmar,
    "Restricted mean survival time", BMC Medical Research Methodology 13 (2013), 152): defined, and
    comparable, where some runs never arrive and budgets differ.
    """
    end = until_steps(runs)
    return [own.assign(value=own["value"].clip(upper=end)) for own in runs]


def typical_value(runs: pd.DataFrame, name: str, replicates: int) -> Interval:
    """The mean over runs with its interval; of steps to a threshold the censored median."""
    values = runs["value"].to_numpy(float)
    if name == ARRIVAL:
        return median_time(Reaching(values, runs["reached"].to_numpy(bool)), replicates=replicates)
    return bootstrap(values, replicates=replicates)


def supported_best(results: ResultTables, metric: str = FINAL) -> dict[str, str | None]:
    """The best label of each environment; None where the runs do not support one.

    The label with the best mean must differ from every rival: Student's test (paired where seeds
    are the same), adjusted by Holm for the number of rivals, has p < 0.05, and the 95 % bootstrap
    interval of the difference does not contain 0. It must not have lost more runs (diverged or
    failed) than a rival, because what is left of it would not be a fair sample.

    Args:
      results: of a folder.
      metric: one of `rl_es.analysis.metrics.METRICS`.
    """
    (runs,) = measure_runs([results], metric)
    return {env: _of(results.runs, runs, env, metric) for env in results.environments}


def _of(everyone: pd.DataFrame, runs: pd.DataFrame, env: str, metric: str) -> str | None:
    here = {str(label): own for label, own in runs[runs["env"] == env].groupby("label")}
    if metric == ARRIVAL:
        here = dict(zip(here, restrict_runs(list(here.values())), strict=True))
    there = everyone[everyone["env"] == env]["label"].value_counts()
    lost = {str(label): int(many) - len(here.get(label, ())) for label, many in there.items()}
    return best_labels(
        {label: scores(own) for label, own in here.items()},
        lost,
        lower=METRICS[metric].lower,
    )


def best_labels(
    labels: Mapping[str, Scores], lost: Mapping[str, int], lower: bool = False
) -> str | None:
    """The label that differs from all others of one environment for the better, if there is one.

    Args:
      labels: the values of each label.
      lost: by label, how many runs have no value; also for labels without any value.
      lower: whether less is better.
    """
    sign = -1 if lower else 1
    if len(labels) < 2:
        return None
    first = max(labels, key=lambda label: sign * labels[label].values.mean())
    rivals = [label for label in labels if label != first]
    ps = adjust_p_values(np.array([student_p(labels[first], labels[rival]) for rival in rivals]))
    if not (ps < 1 - CONFIDENCE).all():
        return None
    for rival in rivals:
        found = difference(labels[first], labels[rival])
        apart = float(found.low) > 0 or float(found.high) < 0
        if not apart or lost.get(first, 0) > lost.get(rival, 0):
            return None
    return first
