"""What the figures of gradient estimates are drawn from.

The distance of expected estimates with low-rank noise from those with full rank, by rank.

The squared norm of an expected difference is measured without bias by the inner product of two
independent estimates of it, here as the mean over all pairs of seeds. Estimates are
compared with full rank twice: with its expectation, where the environment knows it (`known`), and
with what was measured of it with the same seeds (`measured`), which assumes nothing.

Intervals are those of the jackknife over seeds with Student's t (J. W. Tukey, 1958; B. Efron, "The
Jackknife, the Bootstrap and Other Resampling Plans", 1982): of the squared distance, whose root is
then taken, and of the slope of the least-squares line of log distance on log rank.

Axis letters: S seeds, D parameters, K ranks.

Variance and bias of gradient estimates: one row per (environment, label), over its seeds.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis import scores
from rl_es.analysis.drawing import palette
from rl_es.analysis.drawing.palette import Style, natural_order, styles
from rl_es.analysis.formatting import format_range
from rl_es.analysis.ladders import FULL
from rl_es.analysis.statistics import jackknife
from rl_es.errors import UserError
from rl_es.results import checksums, gradient_estimates

RANKS = 2  # that a slope needs at least
SEEDS = 3  # that an interval needs: one is left out, and two make an inner product
RANK_BIAS_COLUMNS = {
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
NONE = pd.DataFrame(columns=list(RANK_BIAS_COLUMNS))


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
    return pd.DataFrame(found, columns=list(RANK_BIAS_COLUMNS))


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


def slope_text(row: Mapping[str, Any]) -> str:
    """A row's slope and its interval, for people: '-1.002 [-1.008, -0.997]'."""
    found = f"{row['slope']:.3f} [{row['slope_low']:.3f}, {row['slope_high']:.3f}]"
    return found.replace("-", "\N{MINUS SIGN}")


def _means(rows: pd.DataFrame, seeds: Sequence[int]) -> np.ndarray:
    """[S, D] the mean estimates of some seeds."""
    means = dict(zip(rows["seed"], rows["mean"], strict=True))
    return np.stack([np.asarray(means[seed], float) for seed in seeds])


REFERENCE = "pes"  # the label whose mean others are compared with, where it is there
SUMMARY_COLUMNS = {
    "env": "the environment's label",
    "family": "the label without a number at its end",
    "windows": "windows of an episode",
    "label": "the agent's label",
    "agent": "its name in the registry",
    "n": "seeds, each measured by itself",
    "samples": "estimates of an episode's gradient, of all seeds",
    "pairs": "antithetic pairs that each estimate is a mean over",
    "gradient_norm": "norm of the mean estimate, corrected for its own noise",
    "relative_variance": "variance of one pair's estimate, summed over parameters, over the "
    "squared norm of the gradient; mean over seeds",
    "relative_variance_low": "the least of a seed",
    "relative_variance_high": "the largest of a seed",
    "distance": f"norm of the difference of the mean estimate from that of `{REFERENCE}` in the "
    "same environment, corrected for its expected noise, over the gradient's norm",
    "distance_noise": "the distance that noise alone would make",
}


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """The summary of a table of estimates, in the order of environments and legends."""
    place = list(styles(dict(zip(rows["label"], rows["agent"], strict=True))))
    found = []
    for env, inside in rows.groupby("env"):
        reference = inside[inside["label"] == REFERENCE]
        known = _pooled(reference) if len(reference) else None
        for label, own in inside.groupby("label"):
            found.append({"env": env, "label": label, **_row(own, known)})
    found.sort(key=lambda row: (natural_order(row["env"]), place.index(row["label"])))
    table = pd.DataFrame(found)
    table["family"] = [family(env) for env in table["env"]]
    return table[list(SUMMARY_COLUMNS)]


def family(env: str) -> str:
    """An environment's label without a number at its end."""
    return re.sub(r"[ _-]*\d+$", "", env) or env


def _pooled(rows: pd.DataFrame) -> tuple[np.ndarray, float]:
    """The mean estimate over seeds, and the expected square of its noise."""
    weights = rows["samples"].to_numpy(float)
    means = np.stack(rows["mean"].to_list())
    total = weights.sum()
    noise = float((weights * rows["variance"].to_numpy(float)).sum() / total**2)
    return (weights[:, None] * means).sum(0) / total, noise


def _row(rows: pd.DataFrame, known: tuple[np.ndarray, float] | None) -> Mapping[str, Any]:
    mean, noise = _pooled(rows)
    square = float(np.square(mean).sum()) - noise
    norm = np.sqrt(square) if square > 0 else np.nan
    pairs = int(rows["pairs"].iloc[0])
    relative = pairs * rows["variance"].to_numpy(float) / (square if square > 0 else np.nan)
    distance, floor = np.nan, np.nan
    if known is not None and rows["label"].iloc[0] != REFERENCE:
        apart = float(np.square(mean - known[0]).sum()) - noise - known[1]
        size = np.sqrt(max(float(np.square(known[0]).sum()) - known[1], 1e-300))
        distance = np.sqrt(max(apart, 0.0)) / size
        floor = np.sqrt(noise + known[1]) / size
    return {
        "windows": int(rows["windows"].iloc[0]),
        "agent": rows["agent"].iloc[0],
        "n": len(rows),
        "samples": int(rows["samples"].sum()),
        "pairs": pairs,
        "gradient_norm": norm,
        "relative_variance": relative.mean(),
        "relative_variance_low": relative.min(),
        "relative_variance_high": relative.max(),
        "distance": distance,
        "distance_noise": floor,
    }


BIAS = "rank_bias.csv"
_TEXTS = ("env", "family", "label", "agent", "reference")
_WHOLE = ("windows", "n", "samples", "pairs", "rank")


@dataclass(frozen=True)
class GradientResults:
    """The summary of a folder of gradient estimates, or of some of its families.

    Attributes:
      table: `summary.summarise`.
      bias: `rank_bias.rank_bias`; empty where no environment knows its expected estimates.
      styles: of all labels of the folder, in the order of legends.
    """

    table: pd.DataFrame
    bias: pd.DataFrame
    styles: Mapping[str, Style]

    def within(self, subjects: Sequence[str]) -> "GradientResults":
        """Some families alone."""
        rows = self.table[self.table["family"].isin(subjects)]
        bias = self.bias[self.bias["env"].isin(rows["env"])]
        return replace(self, table=rows.reset_index(drop=True), bias=bias.reset_index(drop=True))

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The rows of the summary and, where there are any, of the bias by rank."""
        return {"gradients": self.table, **({"rank_bias": self.bias} if len(self.bias) else {})}

    def counted(self) -> str:
        """'n = 3 seeds'."""
        return f"n = {format_range(self.table['n'])} seeds"


def from_tables(table: pd.DataFrame, bias: pd.DataFrame | None = None) -> GradientResults:
    """The source made of a whole summary, and of the table of bias by rank if there is one."""
    styles = palette.styles(dict(zip(table["label"], table["agent"], strict=True)))
    return GradientResults(table, NONE if bias is None else bias, styles)


def load(folder: Path) -> GradientResults:
    """Reads a folder: its estimates, or else the tables made from them.

    Raises:
      UserError: it holds neither, or a damaged file.
    """
    if (folder / gradient_estimates.FOLDER).is_dir():
        rows = gradient_estimates.load(folder)
        return from_tables(summarise(rows), rank_bias(rows))
    bias = folder / BIAS
    found = _read(bias, RANK_BIAS_COLUMNS) if bias.exists() else None
    return from_tables(_read(folder / "summary.csv", SUMMARY_COLUMNS), found)


def _read(path: Path, columns: Collection[str]) -> pd.DataFrame:
    checksums.check_sums(path)
    table = scores.read_scale(path, list(columns), "table of gradient estimates")[list(columns)]
    if table.empty:
        raise UserError(f"{path}: not a readable table of gradient estimates (it has no rows)")
    for name in columns:
        if name not in _TEXTS:
            table[name] = scores.read_numbers(path, table, name)
        if name in _WHOLE:
            if not (table[name] % 1 == 0).all():
                raise UserError(f"{path}: column '{name}': must be whole numbers")
            table[name] = table[name].astype(int)
    return table
