"""Sensitivity to settings: the final return of every run against each setting that was varied."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import alignment
from rl_es.analysis.drawing import marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style, styles
from rl_es.analysis.results import Results

FEWEST = 5  # values of a setting that was varied
WINDOW = 5  # neighbouring values that a running median is taken over
_BEST: dict[str, Any] = dict(marker="*", markersize=8, markeredgecolor=panels.INK, linestyle="")


def varied(results: Results) -> list[str]:
    """The columns of settings that take several numbers."""
    runs = results.runs
    return [
        name
        for name in runs
        if name.startswith("hyper.")
        and pd.api.types.is_float_dtype(runs[name])
        and runs[name].nunique() >= FEWEST
    ]


def where(results: Results, options: Options = USUAL) -> list[str]:
    """Every environment, where settings were varied."""
    return results.environments if varied(results) else []


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A row per environment, a panel per setting."""
    columns = varied(results)
    final = alignment.final_returns(results.curves, results.runs)
    runs = results.runs.assign(final=final)
    agents = styles({agent: agent for agent in runs["agent"].unique()})
    counts = [len(columns)] * len(results.environments)
    with panels.paper():
        figure, rows = panels.rows(options.sheet, counts, 2.5, 1.9)
        for env, axes in zip(results.environments, rows, strict=True):
            here = runs[runs["env"] == env]
            for panel, column in zip(axes, columns, strict=True):
                _dots(panel, here, column, agents)
                marks.dress(panel, env, here)
                _axis(panel, here[column], column)
                if panels.first_of_row(panel):
                    panel.set_ylabel("final return")
        under = [
            "Dots: the last evaluation of each run; lines: the median of an agent's runs with "
            f"{WINDOW} neighbouring values; stars: the best run. "
            "Settings vary together: other settings differ from dot to dot. Crosses at the "
            "bottom: runs that diverged or failed.",
            *notes.on_runs(results.curves, results.runs, "medians"),
        ]
        entries = [*marks.entries(agents), (Line2D([], [], color="w", **_BEST), "best")]
        return panels.finish(figure, [*entries, *marks.threshold_entry(runs)], under)


def running_median(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of x [S] without repetition, and the medians of y [S] at `WINDOW` of them."""
    values = np.unique(x)
    reach = WINDOW // 2
    near = (np.abs(np.searchsorted(values, x) - place) <= reach for place in range(len(values)))
    return values, np.array([np.median(y[some]) for some in near])


def _dots(panel: Axes, runs: pd.DataFrame, column: str, agents: Mapping[str, Style]) -> None:
    known = runs[np.isfinite(runs[column].astype(float))]
    counts = known["status"].isin(alignment.COUNTED) & np.isfinite(known["final"])
    alive, lost = known[counts], known[~counts]
    for agent, style in agents.items():
        look: dict[str, Any] = dict(color=style.colour)
        own = alive[alive["agent"] == agent].sort_values([column, "seed", "run_id"])
        x, y = own[column].to_numpy(float), own["final"].to_numpy(float)
        panel.plot(x, y, style.marker, ms=2.6, alpha=0.7, mew=0, **look)
        line: dict[str, Any] = dict(linestyle=style.line, linewidth=1.0, alpha=0.6)
        panel.plot(*running_median(x, y), **line, **look)
        ends = lost[lost["agent"] == agent][column].to_numpy(float)
        bottom = panel.get_xaxis_transform()
        panel.plot(ends, np.full(len(ends), 0.03), "x", ms=3.5, transform=bottom, **look)
    if len(alive):
        best = alive.sort_values(["final", "run_id"]).iloc[-1]
        colour = agents[best["agent"]].colour
        panel.plot([best[column]], [best["final"]], color=colour, zorder=5, **_BEST)


def _axis(panel: Axes, values: pd.Series, column: str) -> None:
    """Logarithmic where the values span a decade."""
    known = values.dropna()
    if known.min() > 0 and known.max() >= 10 * known.min():
        panel.set_xscale("log")
        panel.set_xlim(known.min() / 1.3, known.max() * 1.3)
        ticks.log_ticks(panel.xaxis, panels.fitting(panel, 5, 3))
    else:
        ticks.shorten_ticks(panel.xaxis, panels.fitting(panel, 5, 3))
    panel.set_xlabel(column.removeprefix("hyper."))
