"""When runs first reached their threshold, in steps, seconds or any other abscissa.

That is at the first evaluation at or above the threshold. A run without one is censored at its last
evaluation, one that diverged never arrives, and one that failed is left out.
"""

import numpy as np
import pandas as pd

from rl_es.analysis.shares import TRIED
from rl_es.analysis.statistics import Reaching


def of_runs(curves: pd.DataFrame, runs: pd.DataFrame, x: pd.Series) -> Reaching:
    """When some runs reached their threshold.

    Args:
      curves: rows of the curves table.
      runs: the wanted rows of the runs table, of environments with a threshold.
      x: the abscissa, such as environment steps, aligned with the rows of `curves`.
    """
    tried = runs[runs["status"].isin(TRIED)].sort_values(["seed", "run_id"])
    points = curves[["run_id", "return_mean"]].assign(x=x.astype(float))
    points = points[points["run_id"].isin(tried["run_id"]) & np.isfinite(points["x"])]
    threshold = points["run_id"].map(tried.set_index("run_id")["threshold"]).astype(float)
    there = points[points["return_mean"].astype(float) >= threshold]
    first = tried["run_id"].map(there.groupby("run_id")["x"].min()).astype(float)
    last = tried["run_id"].map(points.groupby("run_id")["x"].max()).astype(float).fillna(0.0)
    reached = first.notna().to_numpy(bool)
    lost = (tried["status"] == "diverged").to_numpy(bool)
    ended = np.where(lost, np.inf, last.to_numpy(float))
    return Reaching(np.where(reached, first.to_numpy(float), ended), reached)
