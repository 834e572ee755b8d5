"""Point estimates over seeds and environments, and their intervals."""

from rl_es.analysis.statistics.aggregates import (
    AGGREGATES,
    MANY_REPLICATES,
    Scores,
    aggregate,
    aggregate_all,
    average_profile,
    run_profile,
)
from rl_es.analysis.statistics.intervals import (
    CONFIDENCE,
    REPLICATES,
    Interval,
    bootstrap,
    empty_interval,
    jackknife,
    resample_indices,
    unbounded_interval,
    wilson,
)
from rl_es.analysis.statistics.threshold import ThresholdTimes, kaplan_meier, median_time
from rl_es.analysis.statistics.two_samples import (
    LabelComparison,
    adjust_p_values,
    are_paired,
    common_tasks,
    compare_tasks,
    difference,
    interval_p_value,
    probability_of_improvement,
    required_seeds,
    student_p_value,
    win_shares,
)
