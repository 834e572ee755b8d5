"""The findings of a comparison: how far the runs of other folders differ from those of the base.

Runs are matched by environment and label; labels of other names are matched by `OLD=NEW`. Each
match has a finding, and each label a total over its environments. Of K comparisons made at once:

`better`, `worse`  the p-value, adjusted for K by Holm, is below 0.05, and the 95 % interval of the
                   difference does not contain 0;
`same`             with a margin: the interval lies within it, or above its lower end (no worse than
                   the margin: non-inferiority); without: every seed has the same value in both;
`cannot tell`      otherwise, and where the side that is ahead has lost more runs than the other
                   (diverged or failed), because what is left of it is then no fair sample.

A margin is the smallest effect that matters: a difference whose interval lies within it is `same`,
whatever its p-value. This is a claim about each comparison by itself, and is not adjusted.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd

from rl_es.analysis import metrics
from rl_es.analysis.drawing import natural_order
from rl_es.analysis.metrics import Metric
from rl_es.analysis.results import ResultTables
from rl_es.analysis.scores import ScoreScale
from rl_es.analysis.statistics import (
    CONFIDENCE,
    Interval,
    Scores,
    adjust_p_values,
    aggregate,
    are_paired,
    difference,
    interval_p_value,
    probability_of_improvement,
    required_seeds,
    student_p_value,
)
from rl_es.errors import UserError, did_you_mean

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "same", "cannot tell"
VERDICTS = (BETTER, WORSE, SAME, UNKNOWN)
LEVEL = 1 - CONFIDENCE
AGGREGATE = "interquartile_mean"


@dataclass(frozen=True)
class ComparedFolder:
    """A results folder.

    Attributes:
      name: Short name, unique among the folders compared.
      path: Path of the folder.
      results: Content of the folder.
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
    """An (environment, label) pair of the base, and the label that it is compared with.

    Attributes:
      base: Base folder.
      candidate: Folder that is compared with it.
      env: Environment of both; '' for all environments.
      base_label: Label in the base.
      label: Label in the candidate.
    """

    base: ComparedFolder
    candidate: ComparedFolder
    env: str
    base_label: str
    label: str

    @property
    def name(self) -> str:
        """The label for people, or both labels where they differ."""
        label = self.label
        return label if label == self.base_label else f"{self.base_label} → {label}"

    @property
    def sides(self) -> tuple[tuple[ComparedFolder, str], tuple[ComparedFolder, str]]:
        """Folder and label of the base, and of the candidate."""
        return (self.base, self.base_label), (self.candidate, self.label)


def parse_renamings(
    texts: Sequence[str], folders: Sequence[ComparedFolder]
) -> dict[str, list[str]]:
    """Returns the labels of other folders that texts like `OLD=NEW` match with a label of the base.

    Labels may contain `=` themselves, so the text is cut at each of them in turn.

    Raises:
      UserError: there are no such labels.
    """
    old = {label for _, label in folders[0].pairs}
    new = {label for folder in folders[1:] for _, label in folder.pairs}
    renamings: dict[str, list[str]] = {}
    for text in texts:
        parts = text.split("=")
        cuts = [("=".join(parts[:k]), "=".join(parts[k:])) for k in range(1, len(parts))]
        of_base = [cut for cut in cuts if cut[0] in old]
        fitting = [cut for cut in of_base if cut[1] in new]
        if not cuts:
            raise UserError(f"--map: '{text}' is not OLD=NEW")
        if not of_base:
            label = cuts[0][0]
            raise UserError(f"--map: the base has no label '{label}'{did_you_mean(label, old)}")
        if not fitting:
            label = of_base[0][1]
            hint = did_you_mean(label, new)
            raise UserError(f"--map: no other folder has a label '{label}'{hint}")
        renamings.setdefault(fitting[0][0], []).append(fitting[0][1])
    return renamings


def match_labels(
    folders: Sequence[ComparedFolder],
    renamings: Mapping[str, Sequence[str]],
    environments: Collection[str] = (),
    labels: Collection[str] = (),
) -> list[Match]:
    """Returns the selected pairs of the base and their counterparts, folder by folder.

    A label has the counterparts that `renamings` has for it, else its own name.

    Raises:
      UserError: an environment or a label is unknown, or nothing is left.
    """
    base, *candidates = folders
    for option, names, column in (("--env", environments, 0), ("--label", labels, 1)):
        valid = {pair[column] for pair in base.pairs}
        for name in names:
            if name not in valid:
                raise UserError(f"{option}: the base has no '{name}'{did_you_mean(name, valid)}")
    matches = [
        Match(base, candidate, env, label, target)
        for candidate in candidates
        for env, label in select_pairs(base, environments, labels)
        for target in renamings.get(label, [label])
        if (env, target) in candidate.pairs
    ]
    if not matches:
        names = ", ".join(folder.name for folder in candidates)
        raise UserError(
            f"{base.name} and {names}: no environment has the same label in both; name labels that "
            "belong together with --map OLD=NEW"
        )
    return matches


def select_pairs(
    folder: ComparedFolder, environments: Collection[str], labels: Collection[str]
) -> list[tuple[str, str]]:
    """Returns the pairs of these environments and labels; an empty collection stands for all."""
    return [
        (env, label)
        for env, label in folder.pairs
        if (not environments or env in environments) and (not labels or label in labels)
    ]


def compared_pairs(folder: ComparedFolder, matches: Sequence[Match]) -> set[tuple[str, str]]:
    """Returns the (environment, label) pairs of a folder that are compared."""
    return {(m.env, label) for m in matches for side, label in m.sides if side is folder}


def compared_runs(folder: ComparedFolder, matches: Sequence[Match]) -> pd.DataFrame:
    """Returns the runs of a folder that are compared."""
    runs, pairs = folder.results.runs, compared_pairs(folder, matches)
    return runs[[pair in pairs for pair in zip(runs["env"], runs["label"], strict=True)]]


def runs_of(runs: pd.DataFrame, env: str, label: str) -> pd.DataFrame:
    """Returns the rows of an environment and a label."""
    return runs[(runs["env"] == env) & (runs["label"] == label)]


@dataclass(frozen=True)
class Finding:
    """A difference of the runs of another folder from those of the base.

    Attributes:
      match: Labels that are compared, in their environment.
      values: Values of the runs of the base, and of the candidate; for a total, their scores.
      scores: The values on the normalised scale, where more is better; NaN where there is none.
      typical: Mean of both (for steps to a threshold the censored median); for a total, the
        aggregate of the scores.
      difference: The candidate minus the base, in the unit of the values.
      gain: The difference, with the sign for which more is better.
      size: The length of 1 on the normalised scale, in the unit of the values; NaN where there is
        none.
      probability: Probability that a run of the candidate is better than one of the base.
      losses: Number of runs of both that have no value.
      p: P-value of no difference.
      p_adjusted: P-value, adjusted for the number of comparisons.
      verdict: One of `VERDICTS`.
      seeds: Number of seeds that would decide, where the verdict is that one cannot tell.
    """

    match: Match
    values: tuple[Scores, Scores]
    scores: tuple[Scores, Scores]
    typical: tuple[Interval, Interval]
    difference: Interval
    gain: Interval
    size: float
    probability: Interval
    losses: tuple[int, int]
    p: float
    p_adjusted: float = math.nan
    verdict: str = ""
    seeds: int | None = None

    @property
    def normalised_gain(self) -> Interval:
        """The gain on the normalised scale; NaN where there is none."""
        return scale_interval(self.gain, 1 / self.size)

    @property
    def relative(self) -> float:
        """The difference divided by the base's mean; NaN for a total."""
        base = self.values[0].values
        mean = float(base.mean()) if len(base) and self.match.env else 0.0
        return float(self.difference.estimate) / abs(mean) if mean else math.nan

    @property
    def is_paired(self) -> bool:
        """True if both ran the same seeds."""
        base, candidate = self.values
        return bool(len(base.values) and len(candidate.values) and are_paired(candidate, base))

    @property
    def is_equal(self) -> bool:
        """True if every seed has the same value in both, or all runs have the same value."""
        base, candidate = (side.values for side in self.values)
        values = np.concatenate([base, candidate])
        constant = min(len(base), len(candidate)) > 1 and bool((values == values[0]).all())
        return constant or (self.is_paired and np.array_equal(base, candidate))


def compare_matches(
    folders: Sequence[ComparedFolder],
    matches: Sequence[Match],
    metric: Metric,
    scale: ScoreScale,
    replicates: int,
) -> Iterator[Finding]:
    """Yields the finding of each match, without adjusted p-value and verdict."""
    tables = metrics.measure_runs([folder.results for folder in folders], metric.name)
    by_name = {folder.name: table for folder, table in zip(folders, tables, strict=True)}
    sign = -1 if metric.lower else 1
    for match in matches:
        runs = [runs_of(by_name[folder.name], match.env, label) for folder, label in match.sides]
        counts = [len(runs_of(f.results.runs, match.env, label)) for f, label in match.sides]
        typical = [metrics.typical_value(table, metric.name, replicates) for table in runs]
        losses = [count - len(table) for count, table in zip(counts, runs, strict=True)]
        if metric.name == metrics.THRESHOLD_STEPS:
            runs = metrics.restrict_times(runs)
        values = base, candidate = metrics.to_scores(runs[0]), metrics.to_scores(runs[1])
        size, zero = _unit(metric, scale, match.env, base)
        change = difference(candidate, base, replicates=replicates)
        yield Finding(
            match,
            values,
            (_scale(base, zero, sign / size), _scale(candidate, zero, sign / size)),
            (typical[0], typical[1]),
            change,
            scale_interval(change, sign),
            size,
            probability_of_improvement(_scale(candidate, 0, sign), _scale(base, 0, sign)),
            (losses[0], losses[1]),
            student_p_value(candidate, base),
        )


def _scale(scores: Scores, zero: float, factor: float) -> Scores:
    return replace(scores, values=(scores.values - zero) * factor)


def _unit(metric: Metric, scale: ScoreScale, env: str, base: Scores) -> tuple[float, float]:
    """Returns the length of 1 on the normalised scale, and the value that is 0.

    For returns they follow from the references. For times 1 is the base's mean, and 0 is 0.
    """
    if metric.lower:
        low, high = 0.0, float(base.values.mean()) if len(base.values) else math.nan
    else:
        low, high = (returns.get(env, math.nan) for _, returns in (scale.low, scale.high))
    return (high - low if high > low else math.nan), low


def compare_totals(findings: Sequence[Finding], replicates: int) -> Iterator[Finding]:
    """Yields the total of each label that has values in two environments on the scale or more."""
    by_label: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        match = finding.match
        parts = by_label.setdefault((match.candidate.name, match.base_label, match.label), [])
        if math.isfinite(finding.size) and all(len(side.values) for side in finding.values):
            parts.append(finding)
    for parts in by_label.values():
        if len(parts) < 2:
            continue
        scores = base, candidate = (
            _concatenate([part.scores[0] for part in parts]),
            _concatenate([part.scores[1] for part in parts]),
        )
        losses = np.sum([part.losses for part in parts], axis=0)
        change = difference(candidate, base, AGGREGATE, replicates=replicates)
        yield Finding(
            replace(parts[0].match, env=""),
            scores,
            scores,
            (
                aggregate(base, AGGREGATE, replicates=replicates),
                aggregate(candidate, AGGREGATE, replicates=replicates),
            ),
            change,
            gain=change,
            size=1.0,
            probability=probability_of_improvement(candidate, base),
            losses=(int(losses[0]), int(losses[1])),
            p=interval_p_value(change),
        )


def _concatenate(scores: Sequence[Scores]) -> Scores:
    columns = ("values", "tasks", "seeds")
    return Scores(*(np.concatenate([getattr(s, name) for s in scores]) for name in columns))


def adjust_verdicts(findings: Sequence[Finding], margin: float | None) -> list[Finding]:
    """Returns the findings with adjusted p-values, verdicts, and the seeds that would decide.

    Args:
      findings: a family of comparisons.
      margin: the smallest effect that matters, on the normalised scale; None for no margin.
    """
    p_values = adjust_p_values(np.array([finding.p for finding in findings]))
    comparisons = int(np.isfinite(p_values).sum())
    results = []
    for finding, p in zip(findings, p_values, strict=True):
        decision = decide_verdict(
            finding.gain,
            p,
            margin=math.nan if margin is None else margin * finding.size,
            equal=finding.is_equal,
            losses=finding.losses,
        )
        seeds = None
        if decision == UNKNOWN:
            counts = (min(Counter(side.tasks).values(), default=0) for side in finding.values)
            seeds = seeds_needed(finding.gain, min(counts), comparisons)
        results.append(replace(finding, p_adjusted=float(p), verdict=decision, seeds=seeds))
    return results


def decide_verdict(
    gain: Interval,
    p: float,
    *,
    margin: float = math.nan,
    equal: bool = False,
    losses: tuple[int, int] = (0, 0),
) -> str:
    """Returns one of `VERDICTS`.

    Args:
      gain: how much the second is better than the first, with its interval.
      p: the adjusted p-value of no difference.
      margin: the smallest effect that matters, in the same unit; NaN for none.
      equal: True if every seed has the same value in both.
      losses: numbers of runs of the first and of the second that have no value.
    """
    low, high = float(gain.low), float(gain.high)
    first, second = losses
    ahead = second <= first
    if equal or (-margin < low and high < margin):
        return SAME if first == second else UNKNOWN
    if p < LEVEL and low > 0:
        return BETTER if ahead else UNKNOWN
    if p < LEVEL and high < 0:
        return WORSE if first <= second else UNKNOWN
    return SAME if low > -margin and ahead else UNKNOWN


def seeds_needed(gain: Interval, seeds: int, comparisons: int) -> int | None:
    """Returns the seeds that would show the gain, if it is what it seems, with a power of 0.8.

    The level is what Bonferroni's correction leaves to each of the comparisons. The number is
    always larger than `seeds`; None without a gain or an interval.
    """
    share = LEVEL / max(comparisons, 1)
    z = NormalDist()
    wider = z.inv_cdf(1 - share / 2) / z.inv_cdf(1 - LEVEL / 2)
    bounds = (gain.estimate + wider * (end - gain.estimate) for end in (gain.low, gain.high))
    number = required_seeds(Interval(gain.estimate, *bounds, gain.n), seeds, 1 - share)
    return None if number is None else max(number, seeds + 1)


def scale_interval(interval: Interval, factor: float) -> Interval:
    """Returns an interval in another unit; a negative factor swaps its bounds."""
    ends = np.sort([interval.low * factor, interval.high * factor])
    return Interval(interval.estimate * factor, ends[0], ends[1], interval.n)
