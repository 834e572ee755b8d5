"""Point estimates over seeds and environments, and their intervals."""

from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    REPLICATES,
    Interval,
    bootstrap,
    mean,
    resamples,
    wilson,
)

__all__ = ["CONFIDENCE", "REPLICATES", "Interval", "bootstrap", "mean", "resamples", "wilson"]
