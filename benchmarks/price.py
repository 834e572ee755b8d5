"""Measures how often a run of one label ends above a run of each other, over results folders.

    python -m benchmarks.price FOLDER ... [--label "full rank"] [--metric final]

Printed are, for each other label, the probability of improvement with its 95 % interval, the number
of runs, and the p-value of its distance from a half, over all environments and for each one. Ties
count half. The p-value is of a permutation test: under its hypothesis the two runs of a seed could
as well have each other's label.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rl_es.analysis.metrics import measure_runs, to_scores
from rl_es.analysis.results import load_results
from rl_es.analysis.statistics import probability_of_improvement, win_shares

PERMUTATIONS = 20_000
Pairs = Mapping[str, np.ndarray]  # by environment: returns [seeds, 2] of two labels


def load_runs(folders: list[Path], metric: str) -> pd.DataFrame:
    """Returns env, label, seed and value of the counted runs of all folders."""
    results = [load_results(folder) for folder in folders]
    columns = ["env", "label", "seed", "value"]
    return pd.concat([measure_runs([one], metric)[0][columns] for one in results])


def pair_runs(runs: pd.DataFrame, first: str, second: str) -> Pairs:
    """Returns the values of two labels by environment, of the seeds that both have."""
    table = runs[runs["label"].isin((first, second))]
    wide = table.pivot(index=["env", "seed"], columns="label", values="value").dropna()
    return {env: rows[[first, second]].to_numpy() for env, rows in wide.groupby(level="env")}


def improvement(pairs: Pairs) -> float:
    """Returns the share of pairs of runs that the first label wins, a mean over environments."""
    return float(np.mean([win_shares(*rows.T).mean() for rows in pairs.values()]))


def p_value(pairs: Pairs, rng: np.random.Generator) -> float:
    """Returns the two-sided p-value of a probability of improvement that differs from a half."""
    observed = abs(improvement(pairs) - 0.5)
    extreme = 0
    for _ in range(PERMUTATIONS):
        swapped = {
            env: np.where(rng.random((len(rows), 1)) < 0.5, rows, rows[:, ::-1])
            for env, rows in pairs.items()
        }
        extreme += abs(improvement(swapped) - 0.5) >= observed - 1e-12
    return (extreme + 1) / (PERMUTATIONS + 1)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Probabilities of improvement over folders.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--label", default="full rank")
    parser.add_argument("--metric", default="final", choices=("final", "best", "auc", "seconds"))
    options = parser.parse_args()
    runs = load_runs(options.folders, options.metric)
    rng = np.random.default_rng(0)
    print(f"probability that a run of {options.label} has the higher {options.metric}")
    for label in dict.fromkeys(runs["label"]):
        if label == options.label:
            continue
        pairs = pair_runs(runs, options.label, label)
        parts = {"all": pairs} | {env: {env: rows} for env, rows in pairs.items()}
        print(f"\n{label}")
        for name, part in parts.items():
            chosen = runs[runs["env"].isin(part)]
            scores = [to_scores(chosen[chosen["label"] == one]) for one in (options.label, label)]
            interval = probability_of_improvement(*scores)
            print(
                f"  {name:44} {interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
                f"  n {interval.n:4}  p {p_value(part, rng):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
