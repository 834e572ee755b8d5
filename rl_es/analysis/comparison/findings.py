"""The numbers of a comparison: a finding for each match, and a total for each label.

The verdict on a difference between two sets of runs: better, worse, same, or cannot tell.

Of K comparisons made at once:

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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from rl_es.analysis.comparison.matching import MatchedValues, labels_of_both
from rl_es.analysis.statistics.aggregates import Scores, aggregate
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval
from rl_es.analysis.statistics.two_samples import (
    adjust_p_values,
    are_paired,
    difference,
    interval_p,
    probability_of_improvement,
    seeds_to_tell,
    student_p,
)

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "same", "cannot tell"
VERDICTS = (BETTER, WORSE, SAME, UNKNOWN)
LEVEL = 1 - CONFIDENCE


def verdict(
    found: Interval,
    p: float,
    *,
    margin: float = math.nan,
    equal: bool = False,
    lost: tuple[int, int] = (0, 0),
) -> str:
    """One of `VERDICTS`.

    Args:
      found: how much the second is better than the first, with its interval.
      p: that there is no difference, adjusted.
      margin: the smallest effect that matters, in the same unit; NaN for none.
      equal: whether every seed has the same value in both.
      lost: runs of the first and of the second that have no value.
    """
    low, high = float(found.low), float(found.high)
    first, second = lost
    ahead = second <= first
    if equal or (-margin < low and high < margin):
        return SAME if first == second else UNKNOWN
    if p < LEVEL and low > 0:
        return BETTER if ahead else UNKNOWN
    if p < LEVEL and high < 0:
        return WORSE if first <= second else UNKNOWN
    return SAME if low > -margin and ahead else UNKNOWN


def seeds_needed(found: Interval, seeds: int, comparisons: int) -> int | None:
    """How many seeds would show the difference, if it is what it seems, with a power of 0.8.

    At the level that Bonferroni's correction leaves to each of the comparisons. It is always more
    than there are; None without a difference or an interval.
    """
    share = LEVEL / max(comparisons, 1)
    z = NormalDist()
    wider = z.inv_cdf(1 - share / 2) / z.inv_cdf(1 - LEVEL / 2)
    bounds = (found.estimate + wider * (end - found.estimate) for end in (found.low, found.high))
    needed = seeds_to_tell(Interval(found.estimate, *bounds, found.n), seeds, 1 - share)
    return None if needed is None else max(needed, seeds + 1)


def scale_margin(found: Interval, factor: float) -> Interval:
    """An interval in another unit; a negative factor swaps its bounds."""
    ends = np.sort([found.low * factor, found.high * factor])
    return Interval(found.estimate * factor, ends[0], ends[1], found.n)


AGGREGATE = "interquartile_mean"


@dataclass(frozen=True)
class Finding:
    """How the runs of another folder differ from those of the base.

    Attributes:
      other: the folder's name.
      env: the environment; None over all.
      environments: `env`, or those that a total is over.
      base_label, label: of the base, and of the other folder.
      base, against: the typical value of each (`Sides.typical`), or the aggregate of its scores.
      difference: the other minus the base, in the unit of the metric (for a total: of scores).
      gain: the same, with the sign for which more is better.
      size: the length of 1 on the normalised scale, in the metric's unit; NaN where there is none.
      relative: the difference divided by the base's mean.
      probability: that a run of the other is better than one of the base.
      paired: whether both ran the same seeds.
      equal: whether every seed has the same value in both, or all runs have one value.
      lost: how many runs of each have no value.
      runs: the smaller number of runs of the two; for a total, in any environment.
      p, adjusted: see `verdicts`.
      verdict: one of `verdicts.VERDICTS`.
      seeds: how many seeds would decide, where the verdict is that one cannot tell.
    """

    other: str
    env: str | None
    environments: tuple[str, ...]
    base_label: str
    label: str
    base: Interval
    against: Interval
    difference: Interval
    gain: Interval
    size: float
    relative: float
    probability: Interval
    paired: bool
    equal: bool
    lost: tuple[int, int]
    runs: int
    p: float
    adjusted: float = math.nan
    verdict: str = ""
    seeds: int | None = None

    @property
    def shown(self) -> str:
        """For people: the label, or both."""
        return labels_of_both(self.base_label, self.label)

    @property
    def normalised(self) -> Interval:
        """The gain on the normalised scale; NaN where there is none."""
        return scale_margin(self.gain, 1 / self.size)


def compare_pair(of: MatchedValues, replicates: int) -> Finding:
    """The finding of one environment, without adjusted p and verdict."""
    match, base, other = of.match, of.base, of.other
    found = difference(other, base, replicates=replicates)
    signed = [replace(s, values=of.sign * s.values) for s in (other, base)]
    mean = float(base.values.mean()) if len(base.values) else math.nan
    paired = bool(len(base.values)) and bool(len(other.values)) and are_paired(other, base)
    return Finding(
        match.other.name,
        match.env,
        (match.env,),
        match.base,
        match.label,
        *of.typical,
        difference=found,
        gain=scale_margin(found, of.sign),
        size=of.size,
        relative=float(found.estimate) / abs(mean) if mean else math.nan,
        probability=probability_of_improvement(*signed),
        paired=paired,
        equal=_equal(base, other, paired),
        lost=of.lost,
        runs=min(len(base.values), len(other.values)),
        p=student_p(other, base),
    )


def compare_total(parts: Sequence[MatchedValues], replicates: int) -> Finding | None:
    """The finding of a label over its environments; None if fewer than two are on the scale."""
    fitting = [of for of in parts if of.usable]
    if len(fitting) < 2:
        return None
    both = [of.scores() for of in fitting]
    base, other = (_joined([scores[side] for scores in both]) for side in (0, 1))
    found = difference(other, base, AGGREGATE, replicates=replicates)
    match = fitting[0].match
    lost = sum(of.lost[0] for of in fitting), sum(of.lost[1] for of in fitting)
    paired = are_paired(other, base)
    return Finding(
        match.other.name,
        None,
        tuple(of.match.env for of in fitting),
        match.base,
        match.label,
        aggregate(base, AGGREGATE, replicates=replicates),
        aggregate(other, AGGREGATE, replicates=replicates),
        difference=found,
        gain=found,
        size=1.0,
        relative=math.nan,
        probability=probability_of_improvement(other, base),
        paired=paired,
        equal=_equal(base, other, paired),
        lost=lost,
        runs=min(min(len(of.base.values), len(of.other.values)) for of in fitting),
        p=interval_p(found),
    )


def _joined(scores: Sequence[Scores]) -> Scores:
    parts = ("values", "tasks", "seeds")
    return Scores(*(np.concatenate([getattr(s, name) for s in scores]) for name in parts))


def adjust_verdicts(findings: Sequence[Finding], margin: float | None) -> list[Finding]:
    """The findings with adjusted p-values, verdicts, and the seeds that would decide.

    Args:
      findings: a family of comparisons.
      margin: the smallest effect that matters, on the normalised scale; None for no margin.
    """
    ps = adjust_p_values(np.array([finding.p for finding in findings]))
    tests = int(np.isfinite(ps).sum())
    out = []
    for finding, p in zip(findings, ps, strict=True):
        least = math.nan if margin is None else margin * finding.size
        of: dict[str, Any] = dict(margin=least, equal=finding.equal, lost=finding.lost)
        said = verdict(finding.gain, p, **of)
        more = seeds_needed(finding.gain, finding.runs, tests) if said == UNKNOWN else None
        out.append(replace(finding, adjusted=float(p), verdict=said, seeds=more))
    return out


def _equal(base: Scores, other: Scores, paired: bool) -> bool:
    values = np.concatenate([base.values, other.values])
    alike = len(values) > 0 and bool((values == values[0]).all())
    alike &= min(len(base.values), len(other.values)) > 1
    return alike or (paired and np.array_equal(base.values, other.values))
