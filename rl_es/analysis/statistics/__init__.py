"""Point estimates over seeds and environments, and their intervals."""

from rl_es.analysis.statistics.aggregates import (
    AGGREGATES,
    MANY_REPLICATES,
    Scores,
    aggregate,
    aggregates,
)
from rl_es.analysis.statistics.difference import difference, seeds_to_tell
from rl_es.analysis.statistics.improvement import are_paired, probability_of_improvement
from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    REPLICATES,
    Interval,
    bootstrap,
    nothing,
    resamples,
    unbounded,
    wilson,
)
from rl_es.analysis.statistics.jackknife import jackknife
from rl_es.analysis.statistics.profiles import average_profile, run_profile
from rl_es.analysis.statistics.significance import (
    Comparison,
    adjusted,
    comparisons,
    interval_p,
    student_p,
)
from rl_es.analysis.statistics.threshold import Reaching, median_time, share_reached

__all__ = [
    "AGGREGATES",
    "CONFIDENCE",
    "MANY_REPLICATES",
    "REPLICATES",
    "Comparison",
    "Interval",
    "Reaching",
    "Scores",
    "adjusted",
    "aggregate",
    "aggregates",
    "are_paired",
    "average_profile",
    "bootstrap",
    "comparisons",
    "difference",
    "interval_p",
    "jackknife",
    "median_time",
    "nothing",
    "probability_of_improvement",
    "resamples",
    "run_profile",
    "seeds_to_tell",
    "share_reached",
    "student_p",
    "unbounded",
    "wilson",
]
