"""Which runs of one folder are compared with which of another: same environment, same label.

The values of both sides of a match, and the scale on which environments compare.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rl_es.analysis import metrics, results
from rl_es.analysis.drawing.palette import natural_order
from rl_es.analysis.metrics import Metric
from rl_es.analysis.results import ResultTables
from rl_es.analysis.scores import ScoreScale
from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.intervals import Interval
from rl_es.errors import UserError, did_you_mean
from rl_es.results.files import distinct_names, folder_of_results


@dataclass(frozen=True)
class ComparedFolder:
    """A results folder.

    Attributes:
      name: short, and unique among the folders compared.
      path: where it lies.
      results: what it holds.
    """

    name: str
    path: Path
    results: ResultTables

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Its (environment, label) pairs, in the order of the legend."""
        runs, order = self.results.runs, list(self.results.shown)
        found = set(zip(runs["env"], runs["label"], strict=True))
        return sorted(found, key=lambda pair: (natural_order(pair[0]), order.index(pair[1])))


@dataclass(frozen=True)
class Match:
    """An (environment, label) pair of the base, and what it is compared with.

    Attributes:
      other: the folder.
      env: of both.
      base: the label in the base.
      label: the label in the other folder.
    """

    other: ComparedFolder
    env: str
    base: str
    label: str

    @property
    def shown(self) -> str:
        """For people: the label, or both."""
        return labels_of_both(self.base, self.label)


def labels_of_both(base: str, label: str) -> str:
    """A label of the base and the one that it is compared with: one name if they are equal."""
    return base if base == label else f"{base} → {label}"


def load_folders(paths: Sequence[Path]) -> list[ComparedFolder]:
    """The folders, each named by as much of its path as makes it unique.

    Raises:
      UserError: there are fewer than two, or one of them holds no results.
    """
    if len(paths) < 2:
        raise UserError("compare: needs two results folders or more, the base first")
    for path in paths:
        folder_of_results(path)
    return [
        ComparedFolder(*both, results.load(both[1]))
        for both in zip(distinct_names(paths), paths, strict=True)
    ]


def renamings(texts: Sequence[str], folders: Sequence[ComparedFolder]) -> dict[str, list[str]]:
    """By label of the base, the labels of other folders that texts like `OLD=NEW` match with it.

    Labels may contain `=` themselves, so the text is cut at each of them in turn.

    Raises:
      UserError: there are no such labels.
    """
    old, new = _labels(folders[:1]), _labels(folders[1:])
    found: dict[str, list[str]] = {}
    for text in texts:
        parts = text.split("=")
        cuts = [("=".join(parts[:k]), "=".join(parts[k:])) for k in range(1, len(parts))]
        fitting = [cut for cut in cuts if cut[0] in old and cut[1] in new]
        if not fitting:
            raise UserError(f"--map: {_wrong(text, cuts, old, new)}")
        found.setdefault(fitting[0][0], []).append(fitting[0][1])
    return found


def _wrong(text: str, cuts: Sequence[tuple[str, str]], old: set[str], new: set[str]) -> str:
    if not cuts:
        return f"'{text}' is not OLD=NEW"
    left = [cut for cut in cuts if cut[0] in old]
    if not left:
        return f"the base has no label '{cuts[0][0]}'{did_you_mean(cuts[0][0], old)}"
    return f"no other folder has a label '{left[0][1]}'{did_you_mean(left[0][1], new)}"


def match_labels(
    folders: Sequence[ComparedFolder],
    renamed: Mapping[str, Sequence[str]],
    environments: Collection[str] = (),
    labels: Collection[str] = (),
) -> list[Match]:
    """What is compared with the base, folder by folder.

    Args:
      folders: the base first.
      renamed: the labels that a label of the base is compared with, if not its own name.
      environments: those that are wanted; empty for all.
      labels: of the base, likewise.

    Raises:
      UserError: an environment or a label is unknown, or nothing is left.
    """
    base, *others = folders
    known = set(base.results.runs["env"])
    _check("--env", environments, known)
    _check("--label", labels, _labels(folders[:1]))
    found = list(_matches(base, others, renamed, environments, labels))
    if not found:
        raise UserError(
            f"{base.name} and {', '.join(o.name for o in others)}: no environment has the same "
            "label in both; name labels that belong together with --map OLD=NEW"
        )
    return found


def _matches(
    base: ComparedFolder,
    others: Sequence[ComparedFolder],
    renamed: Mapping[str, Sequence[str]],
    environments: Collection[str],
    labels: Collection[str],
) -> Iterator[Match]:
    for other in others:
        there = set(other.pairs)
        for env, label in base.pairs:
            if (environments and env not in environments) or (labels and label not in labels):
                continue
            for target in renamed.get(label, [label]):
                if (env, target) in there:
                    yield Match(other, env, label, target)


def unmatched_labels(
    folders: Sequence[ComparedFolder],
    found: Sequence[Match],
    environments: Collection[str] = (),
    labels: Collection[str] = (),
) -> dict[str, list[tuple[str, str]]]:
    """By folder, the wanted (environment, label) pairs that were not compared with anything."""
    base = folders[0]
    used: dict[str, set[tuple[str, str]]] = {folder.name: set() for folder in folders}
    for match in found:
        used[base.name].add((match.env, match.base))
        used[match.other.name].add((match.env, match.label))
    left = {
        folder.name: [
            pair
            for pair in folder.pairs
            if pair not in used[folder.name]
            and (not environments or pair[0] in environments)
            and (not labels or pair[1] in labels)
        ]
        for folder in folders
    }
    return {name: pairs for name, pairs in left.items() if pairs}


def _labels(folders: Sequence[ComparedFolder]) -> set[str]:
    return {str(label) for folder in folders for label in folder.results.runs["label"]}


def _check(option: str, wanted: Collection[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            raise UserError(f"{option}: the base has no '{name}'{did_you_mean(name, known)}")


@dataclass(frozen=True)
class MatchedValues:
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


def read_values(
    folders: Sequence[ComparedFolder],
    matched: Sequence[Match],
    metric: Metric,
    scale: ScoreScale,
    replicates: int,
) -> Iterator[MatchedValues]:
    """The values of each match."""
    tables = metrics.measure_runs([folder.results for folder in folders], metric.name)
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
        typical = tuple(metrics.typical_value(t, metric.name, replicates) for t in (own, others))
        compared = [own, others]
        if metric.name == metrics.ARRIVAL:
            compared = metrics.restrict_runs(compared)
        first, second = map(metrics.scores, compared)
        size, zero = _unit(metric, scale, match.env, first)
        lost = there[0] - len(own), there[1] - len(others)
        sign = -1 if metric.lower else 1
        yield MatchedValues(match, first, second, (typical[0], typical[1]), lost, sign, size, zero)


def _of(runs: pd.DataFrame, env: str, label: str) -> pd.DataFrame:
    return runs[(runs["env"] == env) & (runs["label"] == label)]


def _unit(metric: Metric, scale: ScoreScale, env: str, base: Scores) -> tuple[float, float]:
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
