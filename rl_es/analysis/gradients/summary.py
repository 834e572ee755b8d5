"""Variance and bias of gradient estimates: one row per (environment, label), over its seeds."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis.drawing.palette import natural, styles

REFERENCE = "pes"  # the label whose mean others are compared with, where it is there
COLUMNS = {
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
    found.sort(key=lambda row: (natural(row["env"]), place.index(row["label"])))
    table = pd.DataFrame(found)
    table["family"] = [family(env) for env in table["env"]]
    return table[list(COLUMNS)]


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
