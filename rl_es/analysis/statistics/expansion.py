"""How far out the percentiles of a bootstrap must lie for few runs: the expanded percentiles.

The bootstrap takes the sample for the population. Its replicates therefore vary by (n - 1) / n of
what the sample itself says of the variance, and its percentiles are those of a normal distribution
where the variance is known. T. Hesterberg ("What Teachers Should Know about the Bootstrap", The
American Statistician 69 (2015), 371-386, section 4) moves the percentiles so that both are made
good for a mean of n runs: the tail becomes Phi(-sqrt(n / (n - 1)) t), where t is the quantile of
Student's distribution with n - 1 degrees of freedom.

Several strata here: the variance that replicates lack is summed over strata, and the degrees of
freedom are Satterthwaite's (F. E. Satterthwaite, "An approximate distribution of estimates of
variance components", Biometrics Bulletin 2 (1946), 110-114), both with the strata's own variances,
so that one noisy environment among quiet ones counts as the few runs that it has.

Axis letters: S runs (of all strata), K strata, T points.
"""

import numpy as np


def tails(values: np.ndarray, strata: np.ndarray, confidence: float) -> np.ndarray:
    """[T] the share of replicates to leave out on each side, for statistics like a mean.

    Args:
      values: [S, T], at least two runs per stratum.
      strata: [S], the stratum of each run.
      confidence: probability that the interval shall cover.
    """
    from scipy.special import ndtr, stdtrit  # scipy.stats would take seconds to import

    groups = [values[strata == stratum] for stratum in np.unique(strata)]
    n = np.array([len(group) for group in groups], dtype=float)[:, None]  # [K, 1]
    # Each stratum's share of the variance of the mean over strata; equal ones where none varies.
    variances = np.stack([group.var(axis=0, ddof=1) for group in groups]) / n  # [K, T]
    still = ~(variances.sum(axis=0) > 0)
    variances[:, still] = 1 / n
    variances = variances / variances.sum(axis=0)
    lacking = (variances * (n - 1) / n).sum(axis=0)
    freedom = 1 / (variances**2 / (n - 1)).sum(axis=0)
    t = stdtrit(freedom, (1 + confidence) / 2)
    return ndtr(-t / np.sqrt(lacking))
