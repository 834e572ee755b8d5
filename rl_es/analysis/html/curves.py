"""The learning curves as data for the browser: the means and bands that the figures draw.

Axis letters: T grid points.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from rl_es.analysis import alignment
from rl_es.analysis.html import look
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import REPLICATES, bootstrap

MOST_NUMBERS = 150_000  # numbers in the page for means, and for seeds: some megabytes of text
FEWEST_POINTS = 20  # that a mean keeps, however many there are
DIGITS = 5


def data(results: Results, *, replicates: int = REPLICATES) -> dict[str, Any]:
    """What the script draws, ready for JSON.

    Returns:
      `axes`: the title of each abscissa; `labels`: the name and look of each; `environments`: the
      name and thresholds of each, and in `curves`, for each axis, a list of its labels' curves;
      `seeds`: whether the curves have the single seeds that count in means (not where there are
      very many of them).
    """
    axes = abscissae(results.curves)
    points = len(axes) * len(results.curves)
    seeds = 2 * points <= MOST_NUMBERS
    pairs = len(axes) * len(results.runs[["env", "label"]].drop_duplicates())
    most = max(FEWEST_POINTS, MOST_NUMBERS // (4 * max(pairs, 1)))
    return {
        "axes": [{"title": title} for title in axes],
        "labels": [{"name": name, **look.of(style)} for name, style in results.shown.items()],
        "environments": [
            _environment(results, env, axes, replicates, most, seeds)
            for env in results.environments
        ],
        "seeds": seeds,
    }


def abscissae(curves: pd.DataFrame) -> dict[str, pd.Series]:
    """What returns may be drawn against, by title; aligned with the rows of `curves`."""
    known = {
        "environment steps": curves["env_steps"].astype(float),
        "wall-clock seconds per run": alignment.per_run_seconds(curves),
        "generations": curves["generation"].astype(float),
    }
    return {title: column for title, column in known.items() if column.notna().any()}


def _environment(
    results: Results,
    env: str,
    axes: Mapping[str, pd.Series],
    replicates: int,
    most: int,
    seeds: bool,
) -> dict[str, Any]:
    """What is drawn of one environment."""
    here = results.curves[results.curves["env"] == env]
    runs = results.runs[results.runs["env"] == env]
    drawn = []
    for x in axes.values():
        curves = []
        for place, label in enumerate(results.shown):
            own = runs[runs["label"] == label]
            if own.empty:
                continue
            found = alignment.of_runs(here, own, x.loc[here.index])
            mean = _mean(found, replicates, most)
            curves.append({"label": place, **mean, "seeds": _single(found, seeds)})
        drawn.append(curves)
    thresholds = np.sort(runs["threshold"].dropna().unique())
    return {"name": env, "thresholds": numbers(thresholds), "curves": drawn}


def _mean(found: list[alignment.Curve], replicates: int, most: int) -> dict[str, Any]:
    """The mean over counted seeds and its interval, on at most `most` points [T]."""
    counted = alignment.counted(found)
    grid, returns = alignment.align(counted)
    kept = np.unique(np.linspace(0, grid.size - 1, min(most, grid.size)).round().astype(int))
    interval = bootstrap(returns[:, kept], replicates=replicates)
    return {
        "n": len(counted),
        "x": numbers(grid[kept]),
        "mean": numbers(interval.estimate),
        "low": numbers(interval.low),
        "high": numbers(interval.high),
    }


def _single(found: list[alignment.Curve], wanted: bool) -> list[dict[str, Any]]:
    """Single seeds: those that are in no mean, and all others too where they are `wanted`."""
    return [
        {
            "seed": curve.seed,
            "lost": curve.status not in alignment.COUNTED,
            "status": curve.status,
            "x": numbers(curve.x),
            "y": numbers(curve.y),
        }
        for curve in found
        if wanted or curve.status not in alignment.COUNTED
    ]


def numbers(values: np.ndarray) -> list[float | int | None]:
    """Numbers for JSON in few characters: rounded, and None where they are not finite."""
    rounded = (float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)
    return [int(v) if v is not None and v.is_integer() else v for v in rounded]
