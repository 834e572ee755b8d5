"""Made `rliable.json`: what rliable 1.2.0 says of some scores. Run where it is installed.

It does not import beside pandas 3, so it has an environment of its own:

    python3.11 -m venv /tmp/rliable && /tmp/rliable/bin/pip install rliable==1.2.0 'pandas<3'
    /tmp/rliable/bin/python tests/analysis/statistics/record_rliable.py
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from rliable import library, metrics  # type: ignore[import-not-found]

SHAPES = ((10, 1), (10, 7), (5, 16), (7, 3))  # runs x environments
REPLICATES = 20_000
THRESHOLDS = np.linspace(-1, 3, 21)


def interval(x: np.ndarray) -> list[float]:
    """The 95 % stratified percentile interval of the interquartile mean."""
    _, found = library.get_interval_estimates(
        {"x": x}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=REPLICATES
    )
    return found["x"][:, 0].tolist()


def main() -> None:
    """Records every statistic of scores that are drawn here."""
    generator = np.random.default_rng(20211)
    cases = []
    for runs, tasks in SHAPES:
        x = generator.normal(1.0, 0.7, (runs, tasks)) + generator.exponential(0.5, tasks)
        y = generator.normal(0.8, 0.9, (runs, tasks)) + generator.exponential(0.5, tasks)
        y[0] = x[0]  # ties
        cases.append(
            {
                "x": x.tolist(),
                "y": y.tolist(),
                "mean": metrics.aggregate_mean(x),
                "median": metrics.aggregate_median(x),
                "interquartile_mean": metrics.aggregate_iqm(x),
                "optimality_gap": metrics.aggregate_optimality_gap(x),
                "interquartile_mean_interval": interval(x),
                "probability_of_improvement": metrics.probability_of_improvement(x, y),
                "run_profile": [float(library.run_score_deviation(x, t)) for t in THRESHOLDS],
                "average_profile": [float(library.mean_score_deviation(x, t)) for t in THRESHOLDS],
            }
        )
    recorded = {
        "rliable": importlib.metadata.version("rliable"),
        "thresholds": THRESHOLDS.tolist(),
        "cases": cases,
    }
    path = Path(__file__).with_name("rliable.json")
    path.write_text(json.dumps(recorded, indent=1) + "\n")


main()
