"""The values of both sides of a match, and the scale on which environments compare."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from rl_es.analysis import metrics
from rl_es.analysis.comparison.matching import Folder, Match
from rl_es.analysis.metrics import Metric
from rl_es.analysis.scores import Scale
from rl_es.analysis.statistics import Interval, Scores


@dataclass(frozen=True)
class Sides:
    """The runs of a match that have a value.

    Attributes:
      match: that they belong to.
      base: values of the base.
      other: values of the other folder.
      typical: the mean of each; for steps to a threshold the censored median.
      lost: how many runs of each have no value.
      sign: 1 where more is better, else -1.
      size: the length of 1 on the normalised scale, in the metric's unit; NaN where there is none.
      zero: the value that is 0 on it.
    """

    match: Match
    base: Scores
    other: Scores
    typical: tuple[Interval, Interval]
    lost: tuple[int, int]
    sign: int
    size: float
    zero: float

    def scores(self) -> tuple[Scores, Scores]:
        """The values of both on the normalised scale, where more is better."""
        sides = (self.base, self.other)
        to = self.sign / self.size
        first, second = (replace(s, values=(s.values - self.zero) * to) for s in sides)
        return first, second

    @property
    def usable(self) -> bool:
        """Whether both have values on the normalised scale."""
        return math.isfinite(self.size) and len(self.base.values) > 0 < len(self.other.values)


def read(
    folders: Sequence[Folder],
    matched: Sequence[Match],
    metric: Metric,
    scale: Scale,
    replicates: int,
) -> Iterator[Sides]:
    """The values of each match."""
    tables = metrics.measured([folder.results for folder in folders], metric.name)
    by_name = {folder.name: table for folder, table in zip(folders, tables, strict=True)}
    base = folders[0]
    for match in matched:
        own = _of(by_name[base.name], match.env, match.base)
        others = _of(by_name[match.other.name], match.env, match.label)
        all_runs = [base.results.runs, match.other.results.runs]
        there = [
            len(_of(runs, match.env, label))
            for runs, label in zip(all_runs, (match.base, match.label), strict=True)
        ]
        typical = tuple(metrics.typical(t, metric.name, replicates) for t in (own, others))
        compared = [own, others]
        if metric.name == metrics.ARRIVAL:
            compared = metrics.restricted(compared)
        first, second = map(metrics.scores, compared)
        size, zero = _unit(metric, scale, match.env, first)
        lost = there[0] - len(own), there[1] - len(others)
        sign = -1 if metric.lower else 1
        yield Sides(match, first, second, (typical[0], typical[1]), lost, sign, size, zero)


def _of(runs: pd.DataFrame, env: str, label: str) -> pd.DataFrame:
    return runs[(runs["env"] == env) & (runs["label"] == label)]


def _unit(metric: Metric, scale: Scale, env: str, base: Scores) -> tuple[float, float]:
    """The length of 1 on the normalised scale, and the value that is 0.

    For returns they follow from the references. For times 1 is the base's mean, and 0 is 0.
    """
    if metric.lower:
        size = float(base.values.mean()) if len(base.values) else math.nan
        zero = 0.0
    elif env in scale.environments:
        zero = scale.low[1][env]
        size = scale.high[1][env] - zero
    else:
        return math.nan, math.nan
    return (size if size > 0 else math.nan), zero
