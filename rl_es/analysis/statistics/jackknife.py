"""The jackknife: intervals of smooth statistics that are no means, as is a mean over pairs of runs.

J. W. Tukey, "Bias and confidence in not quite large samples", Annals of Mathematical Statistics 29
(1958), 614; B. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", SIAM 1982. For a
mean it is Student's interval. Statistics that pair runs cannot be resampled with replacement: a run
would be paired with itself.

Axis letters: S runs (seeds).
"""

import numpy as np

from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval


def jackknife(
    estimate: np.ndarray, without: np.ndarray, confidence: float = CONFIDENCE
) -> Interval:
    """The interval of a statistic.

    Args:
      estimate: [...] of all runs.
      without: [S, ...] of all runs but one, for each of them.
      confidence: probability that the interval shall cover.

    Returns:
      An `Interval` of arrays [...], around the estimate; bounds are NaN for fewer than two runs,
      and where any number is NaN.
    """
    from scipy.special import stdtrit  # scipy.stats would take seconds to import

    runs, estimate = len(without), np.asarray(estimate, np.float64)
    if runs < 2:
        return Interval(estimate, *(np.full(estimate.shape, np.nan) for _ in range(2)), n=runs)
    variance = (runs - 1) / runs * np.square(without - without.mean(0)).sum(0)
    half = stdtrit(runs - 1, (1 + confidence) / 2) * np.sqrt(variance)
    return Interval(estimate, estimate - half, estimate + half, n=runs)
