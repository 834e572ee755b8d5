"""The distance of expected estimates with low-rank noise from those with full rank, by rank.

The squared norm of an expected difference is measured without bias by the inner product of two
independent estimates of it, here as the mean over all pairs of seeds. Estimates are
compared with full rank twice: with its expectation, where the environment knows it (`known`), and
with what was measured of it with the same seeds (`measured`), which assumes nothing.

Intervals are those of the jackknife over seeds with Student's t (J. W. Tukey, 1958; B. Efron, "The
Jackknife, the Bootstrap and Other Resampling Plans", 1982): of the squared distance, whose root is
then taken, and of the slope of the least-squares line of log distance on log rank.

Axis letters: S seeds, D parameters, K ranks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis.ladders import FULL
from rl_es.analysis.statistics import jackknife

RANKS = 2  # that a slope needs at least
SEEDS = 3  # that an interval needs: one is left out, and two make an inner product
COLUMNS = {
    "env": "the environment's label",
    "agent": "the agent whose noise is of low rank",
    "reference": "`known`: distances are from the expectation of full rank; `measured`: from the "
    "mean estimate of full rank, measured with the same seeds",
    "rank": "of the noise",
    "label": "the label of that rank",
    "n": "seeds",
    "samples": "estimates of an episode's gradient, of all seeds",
    "pairs": "antithetic pairs that each estimate is a mean over",
    "exact": "the distance as the environment knows it",
    "distance": "norm of the difference of expected estimates, from inner products of different "
    "seeds; 0 where their mean is negative",
    "low": "lower bound of its 95 % interval",
    "high": "upper bound",
    "slope": "of the least-squares line of log distance on log rank, over the ranks of this "
    "environment, agent and reference",
    "slope_low": "lower bound of its 95 % interval",
    "slope_high": "upper bound",
}
NONE = pd.DataFrame(columns=list(COLUMNS))


def rank_bias(rows: pd.DataFrame) -> pd.DataFrame:
    """The table of a folder's estimates: a row per (environment, agent, reference, rank).

    Environments that do not know their expected estimates have no rows, nor do those where rank is
    known to make no difference. Only seeds with equal expected estimates of full rank, and so at
    the same parameters, are compared.
    """
    known = rows[rows["exact"].notna()]
    known = known.assign(
        agent=known["agent"].replace(FULL), full=[tuple(exact) for exact in known["exact_full"]]
    )
    found = []
    for (env, agent, _), inside in known.groupby(["env", "agent", "full"], sort=True):
        named = {"env": env, "agent": agent}
        found += [{**named, **row} for row in _ladder(inside)]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _ladder(rows: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """The rows of labels that share their environment and their expected estimate of full rank."""
    differs = rows["exact"].map(tuple) != rows["full"]
    low, full = rows[rows["rank"].notna() & differs], rows[rows["rank"].isna()]
    if low["rank"].nunique() < RANKS:
        return
    by_label = [own for _, own in low.groupby(["rank", "label"])]
    expected = np.array(low["exact_full"].iloc[0])
    yield from _against("known", by_label, lambda seeds: expected, set(low["seed"]))
    if len(full):
        own = full[full["label"] == full["label"].min()]
        yield from _against("measured", by_label, partial(_means, own), set(own["seed"]))


def _against(
    reference: str,
    by_label: Sequence[pd.DataFrame],
    of_full: Callable[[Sequence[int]], np.ndarray],
    seeds: set[int],
) -> Iterator[Mapping[str, Any]]:
    """A row per label; `of_full` gives the estimates of full rank at some seeds, [S, D] or [D]."""
    common = sorted(seeds.intersection(*(set(own["seed"]) for own in by_label)))
    if len(common) < SEEDS:
        return
    apart = np.stack([_means(own, common) for own in by_label]) - of_full(common)  # [K, S, D]
    whole = squared(apart)
    without = np.stack([squared(np.delete(apart, seed, 1)) for seed in range(len(common))])
    ranks = np.array([own["rank"].iloc[0] for own in by_label], float)
    fit = jackknife(slope(ranks, whole), slope(ranks, without))
    square = jackknife(whole, without)
    bounds = {"distance": square.estimate, "low": square.low, "high": square.high}
    for place, own in enumerate(by_label):
        yield {
            "reference": reference,
            **_described(own[own["seed"].isin(common)]),
            **{name: float(np.sqrt(max(of[place], 0.0))) for name, of in bounds.items()},
            "slope": float(fit.estimate),
            "slope_low": float(fit.low),
            "slope_high": float(fit.high),
        }


def _described(rows: pd.DataFrame) -> Mapping[str, Any]:
    first = rows.iloc[0]
    exact = np.array(first["exact"]) - np.array(first["exact_full"])
    return {
        "rank": int(first["rank"]),
        "label": first["label"],
        "n": len(rows),
        "samples": int(rows["samples"].sum()),
        "pairs": int(first["pairs"]),
        "exact": float(np.linalg.norm(exact)),
    }


def squared(apart: np.ndarray) -> np.ndarray:
    """[...] the squared norm of the expectation of independent differences [..., S, D], S >= 2.

    It is the mean inner product of two of them: without bias, and so sometimes negative.
    """
    count = apart.shape[-2]
    whole = np.square(apart.sum(-2)).sum(-1)
    return (whole - np.square(apart).sum((-2, -1))) / (count * (count - 1))


def slope(ranks: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """[...] of the least-squares line of log distance on log rank [K], from squares [..., K].

    NaN where a square is not positive.
    """
    logs = np.log(np.where(squares > 0, squares, np.nan)) / 2
    x = np.log(ranks) - np.log(ranks).mean()
    return logs @ x / (x @ x)


def fitted(row: Mapping[str, Any]) -> str:
    """A row's slope and its interval, for people: '-1.002 [-1.008, -0.997]'."""
    found = f"{row['slope']:.3f} [{row['slope_low']:.3f}, {row['slope_high']:.3f}]"
    return found.replace("-", "\N{MINUS SIGN}")


def _means(rows: pd.DataFrame, seeds: Sequence[int]) -> np.ndarray:
    """[S, D] the mean estimates of some seeds."""
    means = dict(zip(rows["seed"], rows["mean"], strict=True))
    return np.stack([np.asarray(means[seed], float) for seed in seeds])
