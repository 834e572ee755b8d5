"""The tables of gradient estimates: variance by label, and the bias of low rank by rank.

The bias is the distance of expected estimates with low-rank noise from those with full rank. The
squared norm of an expected difference is measured without bias by the inner product of two
independent estimates of it, here as the mean over all pairs of seeds. Estimates are compared with
full rank twice: with its expectation, where the environment knows it (`known`), and with what was
measured of it with the same seeds (`measured`), which assumes nothing.

Intervals are those of the jackknife over seeds with Student's t (J. W. Tukey, 1958; B. Efron, "The
Jackknife, the Bootstrap and Other Resampling Plans", 1982): of the squared distance, whose root is
then taken, and of the slope of the least-squares line of log distance on log rank.

Axis letters: S seeds, D parameters, K ranks.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es import registry
from rl_es.analysis import drawing, scores
from rl_es.analysis.ablations import low_rank_agents
from rl_es.analysis.drawing import Style, natural_order
from rl_es.analysis.formatting import format_range
from rl_es.analysis.statistics import jackknife
from rl_es.errors import UserError
from rl_es.results import checksums, gradient_estimates

FEWEST_RANKS = 2  # that a slope needs
FEWEST_SEEDS = 3  # that an interval needs: one is left out, and two make an inner product
RANK_BIAS_COLUMNS = {
    "env": "the environment's label",
    "agent": "the agent whose noise is of low rank",
    "reference": "`known`: distances are from the expectation of full rank; `measured`: from the "
    "mean estimate of full rank, measured with the same seeds",
    "factors": "of the noise: normal, sphere or orthogonal",
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
    "environment, agent, factors and reference; none where the exact distance is not as 1 / rank",
    "slope_low": "lower bound of its 95 % interval",
    "slope_high": "upper bound",
}
NONE = pd.DataFrame(columns=list(RANK_BIAS_COLUMNS))


def rank_bias(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the bias of a folder's estimates, by environment, agent, factors, reference and rank.

    Environments that do not know their expected estimates have no rows, nor do those where rank is
    known to make no difference. Only seeds with equal expected estimates of full rank, and so at
    the same parameters, are compared.
    """
    exact = rows[rows["exact"].notna()]
    exact = exact.assign(
        agent=exact["agent"].replace(low_rank_agents(exact["agent"])),
        full=[tuple(full) for full in exact["exact_full"]],
    )
    table = [
        {"env": env, "agent": agent, "factors": factors, **row}
        for (env, agent, _), group in exact.groupby(["env", "agent", "full"], sort=True)
        for factors in find_factors(group)
        for row in _ladder_rows(group[group["rank"].isna() | (group["factors"] == factors)])
    ]
    return pd.DataFrame(table, columns=list(RANK_BIAS_COLUMNS))


def find_factors(rows: pd.DataFrame) -> list[str]:
    """Returns the distributions of factors among rows, sorted."""
    return sorted(rows["factors"].dropna().unique())


def _ladder_rows(rows: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """Yields a row per label and reference, of labels with one expected estimate of full rank."""
    differs = rows["exact"].map(tuple) != rows["full"]
    low, full = rows[rows["rank"].notna() & differs], rows[rows["rank"].isna()]
    if low["rank"].nunique() < FEWEST_RANKS:
        return
    by_label = [group for _, group in low.groupby(["rank", "label"])]
    full_expectation = np.array(low["exact_full"].iloc[0])
    yield from _distance_rows("known", by_label, lambda seeds: full_expectation, set(low["seed"]))
    if len(full):
        first = full[full["label"] == full["label"].min()]
        means = partial(_means, first)
        yield from _distance_rows("measured", by_label, means, set(first["seed"]))


def _distance_rows(
    reference: str,
    by_label: Sequence[pd.DataFrame],
    full_rank: Callable[[Sequence[int]], np.ndarray],
    seeds: set[int],
) -> Iterator[Mapping[str, Any]]:
    """Yields a row per label; `full_rank` returns estimates at some seeds, [S, D] or [D]."""
    common = sorted(seeds.intersection(*(set(rows["seed"]) for rows in by_label)))
    if len(common) < FEWEST_SEEDS:
        return
    estimates = np.stack([_means(rows, common) for rows in by_label])
    differences = estimates - full_rank(common)  # [K, S, D]
    squares = squared_norm(differences)
    without = np.stack([squared_norm(np.delete(differences, s, 1)) for s in range(len(common))])
    ranks = np.array([rows["rank"].iloc[0] for rows in by_label], float)
    columns = [_label_columns(rows[rows["seed"].isin(common)]) for rows in by_label]
    products = ranks * [label["exact"] for label in columns]
    if np.ptp(products) > 1e-6 * products.max():  # no power of the rank, such as orthogonal factors
        ranks = np.full_like(ranks, np.nan)
    fit = jackknife(slope(ranks, squares), slope(ranks, without))
    square = jackknife(squares, without)
    bounds = {"distance": square.estimate, "low": square.low, "high": square.high}
    for index in range(len(by_label)):
        yield {
            "reference": reference,
            **columns[index],
            **{name: float(np.sqrt(max(values[index], 0.0))) for name, values in bounds.items()},
            "slope": float(fit.estimate),
            "slope_low": float(fit.low),
            "slope_high": float(fit.high),
        }


def _label_columns(rows: pd.DataFrame) -> Mapping[str, Any]:
    """Returns the columns that describe the estimates of one label."""
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


def squared_norm(differences: np.ndarray) -> np.ndarray:
    """Returns the squared norm [...] of the expectation of differences [..., S, D], S >= 2.

    Differences are independent. The result is the mean inner product of two of them: without bias,
    and so sometimes negative.
    """
    count = differences.shape[-2]
    of_sum = np.square(differences.sum(-2)).sum(-1)
    return (of_sum - np.square(differences).sum((-2, -1))) / (count * (count - 1))


def slope(ranks: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Returns the slopes [...] of log distance on log rank [K], from squared distances [..., K].

    The line is that of least squares.
    NaN where a square is not positive.
    """
    logs = np.log(np.where(squares > 0, squares, np.nan)) / 2
    x = np.log(ranks) - np.log(ranks).mean()
    return logs @ x / (x @ x)


def slope_text(row: Mapping[str, Any]) -> str:
    """Returns a row's slope and its interval, for people: '-1.002 [-1.008, -0.997]'; else ''."""
    if np.isnan(row["slope"]):
        return ""
    text = f"{row['slope']:.3f} [{row['slope_low']:.3f}, {row['slope_high']:.3f}]"
    return text.replace("-", "\N{MINUS SIGN}")


def _means(rows: pd.DataFrame, seeds: Sequence[int]) -> np.ndarray:
    """Returns the mean estimates [S, D] of some seeds."""
    means = dict(zip(rows["seed"], rows["mean"], strict=True))
    return np.stack([np.asarray(means[seed], float) for seed in seeds])


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
    "distance": "norm of the difference of the mean estimate from that of `{reference}` in the "
    "same environment, corrected for its expected noise, over the gradient's norm",
    "distance_noise": "the distance that noise alone would make",
}


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the summary of a table of estimates, in the order of environments and legends."""
    order = list(drawing.assign_styles(dict(zip(rows["label"], rows["agent"], strict=True))))
    reference_label, summary = find_reference(order), []
    for env, env_rows in rows.groupby("env"):
        reference_rows = env_rows[env_rows["label"] == reference_label]
        reference = _pool(reference_rows) if len(reference_rows) else None
        for label, group in env_rows.groupby("label"):
            subtrahend = None if label == reference_label else reference
            summary.append({"env": env, "label": label, **_summary_columns(group, subtrahend)})
    summary.sort(key=lambda row: (natural_order(row["env"]), order.index(row["label"])))
    table = pd.DataFrame(summary)
    table["family"] = [family(env) for env in table["env"]]
    return table[list(SUMMARY_COLUMNS)]


def find_reference(labels: Iterable[str]) -> str | None:
    """Returns the label whose mean estimate others are compared with, or would be."""
    return registry.reference_agent("gradients", labels) or registry.reference_agent(
        "gradients", registry.agents.names()
    )


def family(env: str) -> str:
    """Returns an environment's label without a number at its end."""
    return re.sub(r"[ _-]*\d+$", "", env) or env


def _pool(rows: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Returns the mean estimate [D] over seeds, and the expected square of its noise."""
    weights = rows["samples"].to_numpy(float)
    means = np.stack(rows["mean"].to_list())
    total = weights.sum()
    noise = float((weights * rows["variance"].to_numpy(float)).sum() / total**2)
    return (weights[:, None] * means).sum(0) / total, noise


def _summary_columns(
    rows: pd.DataFrame, reference: tuple[np.ndarray, float] | None
) -> Mapping[str, Any]:
    """Returns the columns of a label's estimates, and of their distance from the reference's."""
    mean, noise = _pool(rows)
    square = float(np.square(mean).sum()) - noise
    norm = np.sqrt(square) if square > 0 else np.nan
    pairs = int(rows["pairs"].iloc[0])
    relative = pairs * rows["variance"].to_numpy(float) / (square if square > 0 else np.nan)
    distance, floor = np.nan, np.nan
    if reference is not None:
        reference_mean, other_noise = reference
        squared_distance = float(np.square(mean - reference_mean).sum()) - noise - other_noise
        size = np.sqrt(max(float(np.square(reference_mean).sum()) - other_noise, 1e-300))
        distance = np.sqrt(max(squared_distance, 0.0)) / size
        floor = np.sqrt(noise + other_noise) / size
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
_TEXTS = ("env", "family", "label", "agent", "factors", "reference")
_INTEGERS = ("windows", "n", "samples", "pairs", "rank")


@dataclass(frozen=True)
class GradientResults:
    """The summary of a folder of gradient estimates, or of some of its families.

    Attributes:
      table: the rows of `summarise`.
      bias: the rows of `rank_bias`; empty where no environment knows its expected estimates.
      styles: the styles of all labels of the folder, in the order of legends.
    """

    table: pd.DataFrame
    bias: pd.DataFrame
    styles: Mapping[str, Style]

    def within(self, subjects: Sequence[str]) -> "GradientResults":
        """Returns some families alone."""
        rows = self.table[self.table["family"].isin(subjects)]
        bias = self.bias[self.bias["env"].isin(rows["env"])]
        return replace(self, table=rows.reset_index(drop=True), bias=bias.reset_index(drop=True))

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Returns the rows of the summary and, where there are any, of the bias by rank."""
        return {"gradients": self.table, **({"rank_bias": self.bias} if len(self.bias) else {})}

    def sample_note(self) -> str:
        """Returns 'n = 3 seeds'."""
        return f"n = {format_range(self.table['n'])} seeds"


def from_tables(table: pd.DataFrame, bias: pd.DataFrame | None = None) -> GradientResults:
    """Returns the source of a folder's summary and, if there is one, of its bias by rank."""
    styles = drawing.assign_styles(dict(zip(table["label"], table["agent"], strict=True)))
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
    by_rank = _read(bias, RANK_BIAS_COLUMNS) if bias.exists() else None
    return from_tables(_read(folder / "summary.csv", SUMMARY_COLUMNS), by_rank)


def _read(path: Path, columns: Collection[str]) -> pd.DataFrame:
    checksums.check_sums(path)
    table = scores.read_csv_table(path, list(columns), "table of gradient estimates")[list(columns)]
    if table.empty:
        raise UserError(f"{path}: not a readable table of gradient estimates (it has no rows)")
    for name in columns:
        if name not in _TEXTS:
            table[name] = scores.read_number_column(path, table, name)
        if name in _INTEGERS:
            if not (table[name] % 1 == 0).all():
                raise UserError(f"{path}: column '{name}': must be whole numbers")
            table[name] = table[name].astype(int)
    return table
