"""Which label is the best in an environment, where the runs are enough to say so."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rl_es.analysis import metrics
from rl_es.analysis.metrics import ARRIVAL, METRICS
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import CONFIDENCE, Scores, adjusted, difference, student_p


def supported_best(results: Results, metric: str = metrics.FINAL) -> dict[str, str | None]:
    """The best label of each environment; None where the runs do not support one.

    The label with the best mean must differ from every rival: Student's test (paired where seeds
    are the same), adjusted by Holm for the number of rivals, has p < 0.05, and the 95 % bootstrap
    interval of the difference does not contain 0. It must not have lost more runs (diverged or
    failed) than a rival, because what is left of it would not be a fair sample.

    Args:
      results: of a folder.
      metric: one of `rl_es.analysis.metrics.METRICS`.
    """
    (runs,) = metrics.measured([results], metric)
    return {env: _of(results.runs, runs, env, metric) for env in results.environments}


def _of(everyone: pd.DataFrame, runs: pd.DataFrame, env: str, metric: str) -> str | None:
    here = {str(label): own for label, own in runs[runs["env"] == env].groupby("label")}
    if metric == ARRIVAL:
        here = dict(zip(here, metrics.restricted(list(here.values())), strict=True))
    there = everyone[everyone["env"] == env]["label"].value_counts()
    lost = {str(label): int(many) - len(here.get(label, ())) for label, many in there.items()}
    return best(
        {label: metrics.scores(own) for label, own in here.items()},
        lost,
        lower=METRICS[metric].lower,
    )


def best(labels: Mapping[str, Scores], lost: Mapping[str, int], lower: bool = False) -> str | None:
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
    ps = adjusted(np.array([student_p(labels[first], labels[rival]) for rival in rivals]))
    if not (ps < 1 - CONFIDENCE).all():
        return None
    for rival in rivals:
        found = difference(labels[first], labels[rival])
        apart = float(found.low) > 0 or float(found.high) < 0
        if not apart or lost.get(first, 0) > lost.get(rival, 0):
            return None
    return first
