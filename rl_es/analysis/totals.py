"""Labels over all environments of a folder: aggregates of scores, and labels against each other.

`aggregates`   one row per (label, statistic): mean, median, interquartile mean and optimality gap
               of normalised final returns;
`comparisons`  one row per (first label, second label, environment), and one over all environments.
"""

from itertools import combinations

import pandas as pd

from rl_es.analysis import scores
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import (
    MANY_REPLICATES,
    Interval,
    Scores,
    aggregates,
    comparisons,
    probability_of_improvement,
)
from rl_es.analysis.statistics.improvement import are_paired, common

ALL = "all"  # environments together
MOST_LABELS = 12  # up to here every pair is compared; beyond, each label with the best one


def of(results: Results, on: scores.Scale, *, replicates: int = MANY_REPLICATES) -> pd.DataFrame:
    """Columns label, statistic, estimate, low, high, n (runs), environments, zero, one."""
    rows = []
    for label, own in scores.finals(results, on).items():
        if not len(own.values):
            continue
        for name, found in aggregates(own, replicates=replicates).items():
            row = {"label": label, "statistic": name, **found.named()}
            rows.append({**row, "n": found.n, "environments": len(own.names)})
    named = {"zero": on.low[0], "one": on.high[0]}
    columns = ["label", "statistic", "estimate", "low", "high", "n", "environments"]
    return pd.DataFrame(rows, columns=columns).assign(**named)


def between(results: Results, on: scores.Scale) -> pd.DataFrame:
    """Columns first, second, env, probability, low, high, paired, p, p_adjusted.

    `probability` is that a run of the first label scores above one of the second. P-values are
    of single environments, adjusted for their number; the row of `all` has none.
    """
    found = {label: own for label, own in scores.finals(results, on).items() if len(own.values)}
    rows = []
    for first, second in _pairs(found):
        x, y = found[first], found[second]
        if not common(x, y):
            continue
        pair = {"first": first, "second": second}
        total = probability_of_improvement(x, y)
        rows.append({**pair, "env": ALL, **_probability(total), "paired": are_paired(x, y)})
        for one in comparisons(x, y):
            row = {**pair, "env": one.task, **_probability(one.probability)}
            rows.append({**row, "paired": one.paired, "p": one.p, "p_adjusted": one.adjusted})
    columns = ["first", "second", "env", "probability", "low", "high", "paired", "p", "p_adjusted"]
    return pd.DataFrame(rows, columns=columns)


def _pairs(found: dict[str, Scores]) -> list[tuple[str, str]]:
    if len(found) <= MOST_LABELS:
        return list(combinations(found, 2))
    best = max(found, key=lambda label: found[label].values.mean())
    return [(best, label) for label in found if label != best]


def _probability(found: Interval) -> dict[str, float]:
    bounds = found.named()
    return {"probability": bounds.pop("estimate"), **bounds}
