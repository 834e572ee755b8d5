"""Which runs of one folder are compared with which of another, and their values.

Runs are matched by environment and label; labels of other names are matched by `OLD=NEW`.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rl_es.analysis import metrics
from rl_es.analysis.drawing.palette import natural_order
from rl_es.analysis.metrics import Metric
from rl_es.analysis.results import ResultTables, load_results
from rl_es.analysis.scores import ScoreScale
from rl_es.analysis.statistics.aggregates import Scores
from rl_es.analysis.statistics.intervals import Interval
from rl_es.errors import UserError, did_you_mean
from rl_es.results.files import distinct_names, folder_of_results


@dataclass(frozen=True)
class ComparedFolder:
    """A results folder.

    Attributes:
      name: a short name, unique among the folders compared.
      path: the path of the folder.
      results: what the folder holds.
    """

    name: str
    path: Path
    results: ResultTables

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Its (environment, label) pairs, in the order of the legend."""
        runs, order = self.results.runs, list(self.results.legend)
        pairs = set(zip(runs["env"], runs["label"], strict=True))
        return sorted(pairs, key=lambda pair: (natural_order(pair[0]), order.index(pair[1])))


@dataclass(frozen=True)
class Match:
    """An (environment, label) pair of the base, and what it is compared with.

    Attributes:
      other: the other folder.
      env: the environment of both.
      base: the label in the base.
      label: the label in the other folder.
    """

    other: ComparedFolder
    env: str
    base: str
    label: str

    @property
    def name(self) -> str:
        """The label for people, or both labels where they differ."""
        return join_labels(self.base, self.label)


def join_labels(base: str, label: str) -> str:
    """Returns a label of the base and the one that it is compared with; one name if equal."""
    return base if base == label else f"{base} → {label}"


def load_folders(paths: Sequence[Path]) -> list[ComparedFolder]:
    """Reads the folders, each named by as much of its path as makes it unique.

    Raises:
      UserError: there are fewer than two, or one of them holds no results.
    """
    if len(paths) < 2:
        raise UserError("compare: needs two results folders or more, the base first")
    for path in paths:
        folder_of_results(path)
    names = distinct_names(paths)
    return [ComparedFolder(name, p, load_results(p)) for name, p in zip(names, paths, strict=True)]


def parse_renamings(
    texts: Sequence[str], folders: Sequence[ComparedFolder]
) -> dict[str, list[str]]:
    """Returns the labels of other folders that texts like `OLD=NEW` match with a label of the base.

    Labels may contain `=` themselves, so the text is cut at each of them in turn.

    Raises:
      UserError: there are no such labels.
    """
    old, new = _labels(folders[:1]), _labels(folders[1:])
    renamings: dict[str, list[str]] = {}
    for text in texts:
        parts = text.split("=")
        cuts = [("=".join(parts[:k]), "=".join(parts[k:])) for k in range(1, len(parts))]
        fitting = [cut for cut in cuts if cut[0] in old and cut[1] in new]
        if not fitting:
            raise UserError(f"--map: {_renaming_error(text, cuts, old, new)}")
        renamings.setdefault(fitting[0][0], []).append(fitting[0][1])
    return renamings


def _renaming_error(
    text: str, cuts: Sequence[tuple[str, str]], old: set[str], new: set[str]
) -> str:
    if not cuts:
        return f"'{text}' is not OLD=NEW"
    of_base = [cut for cut in cuts if cut[0] in old]
    if not of_base:
        return f"the base has no label '{cuts[0][0]}'{did_you_mean(cuts[0][0], old)}"
    return f"no other folder has a label '{of_base[0][1]}'{did_you_mean(of_base[0][1], new)}"


def match_labels(
    folders: Sequence[ComparedFolder],
    renamings: Mapping[str, Sequence[str]],
    environments: Collection[str] = (),
    labels: Collection[str] = (),
) -> list[Match]:
    """Returns what is compared with the base, folder by folder.

    Args:
      folders: the folders, the base first.
      renamings: the labels that a label of the base is compared with, if not its own name.
      environments: the environments to compare; empty for all.
      labels: the labels of the base to compare; empty for all.

    Raises:
      UserError: an environment or a label is unknown, or nothing is left.
    """
    base, *other_folders = folders
    _check_names("--env", environments, set(base.results.runs["env"]))
    _check_names("--label", labels, _labels(folders[:1]))
    matches = [
        Match(other, env, label, target)
        for other in other_folders
        for env, label in _select(base.pairs, environments, labels)
        for target in renamings.get(label, [label])
        if (env, target) in other.pairs
    ]
    if not matches:
        names = ", ".join(folder.name for folder in other_folders)
        raise UserError(
            f"{base.name} and {names}: no environment has the same label in both; name labels that "
            "belong together with --map OLD=NEW"
        )
    return matches


def unmatched_labels(
    folders: Sequence[ComparedFolder],
    matches: Sequence[Match],
    environments: Collection[str] = (),
    labels: Collection[str] = (),
) -> dict[str, list[tuple[str, str]]]:
    """Returns by folder the selected (environment, label) pairs that are not compared."""
    used: dict[str, set[tuple[str, str]]] = {folder.name: set() for folder in folders}
    for match in matches:
        used[folders[0].name].add((match.env, match.base))
        used[match.other.name].add((match.env, match.label))
    unmatched = {
        folder.name: [
            pair
            for pair in _select(folder.pairs, environments, labels)
            if pair not in used[folder.name]
        ]
        for folder in folders
    }
    return {name: pairs for name, pairs in unmatched.items() if pairs}


def _select(
    pairs: Sequence[tuple[str, str]], environments: Collection[str], labels: Collection[str]
) -> list[tuple[str, str]]:
    """Returns the pairs of these environments and labels; an empty collection stands for all."""
    return [
        (env, label)
        for env, label in pairs
        if (not environments or env in environments) and (not labels or label in labels)
    ]


def _labels(folders: Sequence[ComparedFolder]) -> set[str]:
    return {str(label) for folder in folders for label in folder.results.runs["label"]}


def _check_names(option: str, names: Collection[str], valid: set[str]) -> None:
    for name in names:
        if name not in valid:
            raise UserError(f"{option}: the base has no '{name}'{did_you_mean(name, valid)}")


@dataclass(frozen=True)
class MatchedValues:
    """The runs of a match that have a value.

    Attributes:
      match: the match that they belong to.
      base: values of the base.
      other: values of the other folder.
      typical: the mean of each; for steps to a threshold the censored median.
      lost: number of runs of each that have no value.
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
        """Returns the values of both on the normalised scale, where more is better."""
        factor = self.sign / self.size
        sides = (self.base, self.other)
        first, second = (replace(s, values=(s.values - self.zero) * factor) for s in sides)
        return first, second

    @property
    def usable(self) -> bool:
        """True if both have values on the normalised scale."""
        return math.isfinite(self.size) and len(self.base.values) > 0 < len(self.other.values)


def read_values(
    folders: Sequence[ComparedFolder],
    matches: Sequence[Match],
    metric: Metric,
    scale: ScoreScale,
    replicates: int,
) -> Iterator[MatchedValues]:
    """Yields the values of each match."""
    tables = metrics.measure_runs([folder.results for folder in folders], metric.name)
    by_name = {folder.name: table for folder, table in zip(folders, tables, strict=True)}
    for match in matches:
        sides = (folders[0], match.base), (match.other, match.label)
        measured = [runs_of(by_name[folder.name], match.env, label) for folder, label in sides]
        runs = [runs_of(folder.results.runs, match.env, label) for folder, label in sides]
        typical = [metrics.typical_value(m, metric.name, replicates) for m in measured]
        lost = [len(r) - len(m) for r, m in zip(runs, measured, strict=True)]
        if metric.name == metrics.THRESHOLD_STEPS:
            measured = metrics.restrict_times(measured)
        base, other = map(metrics.to_scores, measured)
        size, zero = _unit(metric, scale, match.env, base)
        yield MatchedValues(
            match,
            base,
            other,
            (typical[0], typical[1]),
            (lost[0], lost[1]),
            -1 if metric.lower else 1,
            size,
            zero,
        )


def runs_of(runs: pd.DataFrame, env: str, label: str) -> pd.DataFrame:
    """Returns the rows of an environment and a label."""
    return runs[(runs["env"] == env) & (runs["label"] == label)]


def _unit(metric: Metric, scale: ScoreScale, env: str, base: Scores) -> tuple[float, float]:
    """Returns the length of 1 on the normalised scale, and the value that is 0.

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
