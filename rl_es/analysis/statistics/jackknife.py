"""The jackknife: intervals of smooth statistics that are no means, as is a mean over pairs of runs.

J. W. Tukey, "Bias and confidence in not quite large samples", Annals of Mathematical Statistics 29
(1958), 614; B. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", SIAM 1982. For a
mean it is Student's interval. Statistics that pair runs cannot be resampled with replacement: a run
would be paired with itself.

Axis letters: S runs (seeds).
"""

import numpy as np

from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval, unbounded


def jackknife(estimate: np.ndarray, without: np.ndarray) -> Interval:
    """The 95 % interval of a statistic.

    Args:
      estimate: [...] of all runs.
      without: [S, ...] of all runs but one, for each of them.

    Returns:
      An `Interval` of arrays [...], around the estimate; bounds are NaN for fewer than two runs,
      and where any number is NaN.
    """
    from scipy.special import stdtrit  # scipy.stats would take seconds to import

    runs, estimate = len(without), np.asarray(estimate, np.float64)
    if runs < 2:
        return unbounded(estimate, runs)
    variance = (runs - 1) / runs * np.square(without - without.mean(0)).sum(0)
    half = stdtrit(runs - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance)
    return Interval(estimate, estimate - half, estimate + half, n=runs)
