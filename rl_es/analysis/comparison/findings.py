"""The findings of a comparison: one for each match, one total for each label, and their verdicts.

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

from rl_es.analysis.comparison.matching import MatchedValues, join_labels
from rl_es.analysis.statistics.aggregates import Scores, aggregate
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval
from rl_es.analysis.statistics.two_samples import (
    adjust_p_values,
    are_paired,
    difference,
    interval_p_value,
    probability_of_improvement,
    required_seeds,
    student_p_value,
)

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "same", "cannot tell"
VERDICTS = (BETTER, WORSE, SAME, UNKNOWN)
LEVEL = 1 - CONFIDENCE


def verdict(
    gain: Interval,
    p: float,
    *,
    margin: float = math.nan,
    equal: bool = False,
    lost: tuple[int, int] = (0, 0),
) -> str:
    """Returns one of `VERDICTS`.

    Args:
      gain: how much the second is better than the first, with its interval.
      p: the adjusted p-value of no difference.
      margin: the smallest effect that matters, in the same unit; NaN for none.
      equal: True if every seed has the same value in both.
      lost: numbers of runs of the first and of the second that have no value.
    """
    low, high = float(gain.low), float(gain.high)
    first, second = lost
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
    needed = required_seeds(Interval(gain.estimate, *bounds, gain.n), seeds, 1 - share)
    return None if needed is None else max(needed, seeds + 1)


def scale_interval(interval: Interval, factor: float) -> Interval:
    """Returns an interval in another unit; a negative factor swaps its bounds."""
    ends = np.sort([interval.low * factor, interval.high * factor])
    return Interval(interval.estimate * factor, ends[0], ends[1], interval.n)


AGGREGATE = "interquartile_mean"


@dataclass(frozen=True)
class Finding:
    """A difference of the runs of another folder from those of the base.

    Attributes:
      other: the other folder's name.
      env: the environment; None for a total over several.
      environments: `env`, or those that a total is over.
      base_label: the label in the base.
      label: the label in the other folder.
      base: the base's typical value (`MatchedValues.typical`), or the aggregate of its scores.
      against: the same of the other folder.
      difference: the other minus the base, in the unit of the metric (for a total: of scores).
      gain: the difference with the sign for which more is better.
      size: the length of 1 on the normalised scale, in the metric's unit; NaN where there is none.
      relative: the difference divided by the base's mean.
      probability: the probability that a run of the other is better than one of the base.
      paired: True if both ran the same seeds.
      equal: True if every seed has the same value in both, or all runs have the same value.
      lost: number of runs of each that have no value.
      runs: the smaller number of runs of the two; for a total, in any environment.
      p: the p-value of no difference.
      adjusted: the p-value adjusted for the number of comparisons.
      verdict: one of `VERDICTS`.
      seeds: the seeds that would decide, where the verdict is that one cannot tell.
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
    def name(self) -> str:
        """The label for people, or both labels where they differ."""
        return join_labels(self.base_label, self.label)

    @property
    def normalised(self) -> Interval:
        """The gain on the normalised scale; NaN where there is none."""
        return scale_interval(self.gain, 1 / self.size)


def compare_pair(values: MatchedValues, replicates: int) -> Finding:
    """Returns the finding of one match, without adjusted p-value and verdict."""
    base, other = values.base, values.other
    change = difference(other, base, replicates=replicates)
    signed = [replace(s, values=values.sign * s.values) for s in (other, base)]
    mean = float(base.values.mean()) if len(base.values) else math.nan
    paired = bool(len(base.values)) and bool(len(other.values)) and are_paired(other, base)
    return Finding(
        **_match_fields([values]),
        env=values.match.env,
        base=values.typical[0],
        against=values.typical[1],
        difference=change,
        gain=scale_interval(change, values.sign),
        size=values.size,
        relative=float(change.estimate) / abs(mean) if mean else math.nan,
        probability=probability_of_improvement(*signed),
        paired=paired,
        equal=_are_equal(base, other, paired),
        p=student_p_value(other, base),
    )


def compare_total(parts: Sequence[MatchedValues], replicates: int) -> Finding | None:
    """Returns the finding of a label over its environments; None without two on the scale."""
    usable = [part for part in parts if part.usable]
    if len(usable) < 2:
        return None
    scores = [part.scores() for part in usable]
    base, other = (_concatenate([pair[side] for pair in scores]) for side in (0, 1))
    change = difference(other, base, AGGREGATE, replicates=replicates)
    paired = are_paired(other, base)
    return Finding(
        **_match_fields(usable),
        env=None,
        base=aggregate(base, AGGREGATE, replicates=replicates),
        against=aggregate(other, AGGREGATE, replicates=replicates),
        difference=change,
        gain=change,
        size=1.0,
        relative=math.nan,
        probability=probability_of_improvement(other, base),
        paired=paired,
        equal=_are_equal(base, other, paired),
        p=interval_p_value(change),
    )


def _match_fields(parts: Sequence[MatchedValues]) -> dict[str, Any]:
    """Returns the fields of a finding that name what is compared and count its runs."""
    match = parts[0].match
    return {
        "other": match.other.name,
        "environments": tuple(part.match.env for part in parts),
        "base_label": match.base,
        "label": match.label,
        "lost": (sum(part.lost[0] for part in parts), sum(part.lost[1] for part in parts)),
        "runs": min(min(len(part.base.values), len(part.other.values)) for part in parts),
    }


def _concatenate(scores: Sequence[Scores]) -> Scores:
    parts = ("values", "tasks", "seeds")
    return Scores(*(np.concatenate([getattr(s, name) for s in scores]) for name in parts))


def adjust_verdicts(findings: Sequence[Finding], margin: float | None) -> list[Finding]:
    """Returns the findings with adjusted p-values, verdicts, and the seeds that would decide.

    Args:
      findings: a family of comparisons.
      margin: the smallest effect that matters, on the normalised scale; None for no margin.
    """
    ps = adjust_p_values(np.array([finding.p for finding in findings]))
    comparisons = int(np.isfinite(ps).sum())
    adjusted = []
    for finding, p in zip(findings, ps, strict=True):
        gain, smallest = finding.gain, math.nan if margin is None else margin * finding.size
        decision = verdict(gain, p, margin=smallest, equal=finding.equal, lost=finding.lost)
        unknown = decision == UNKNOWN
        seeds = seeds_needed(gain, finding.runs, comparisons) if unknown else None
        adjusted.append(replace(finding, adjusted=float(p), verdict=decision, seeds=seeds))
    return adjusted


def _are_equal(base: Scores, other: Scores, paired: bool) -> bool:
    """Returns True if every seed has the same value in both, or all runs have the same value."""
    values = np.concatenate([base.values, other.values])
    constant = len(values) > 0 and bool((values == values[0]).all())
    constant &= min(len(base.values), len(other.values)) > 1
    return constant or (paired and np.array_equal(base.values, other.values))
