"""The share of seeds that have reached the threshold, against environment steps."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import reaching
from rl_es.analysis.drawing import lines, marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.figures import success
from rl_es.analysis.figures.across import MOST_LABELS
from rl_es.analysis.results import Results
from rl_es.analysis.shares import TRIED
from rl_es.analysis.statistics import Reaching, share_reached

_MEDIAN: dict[str, Any] = dict(markerfacecolor="white", markeredgewidth=1.0, markersize=5)


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments that have a threshold, if labels are few enough to be told apart."""
    return success.where(results) if len(results.shown) <= MOST_LABELS else []


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A panel per environment: a step function a label."""
    curves, runs, shown = results.curves, results.runs, results.shown
    reached = curves.groupby("run_id")["env_steps"].max()
    stopped = runs["run_id"].map(reached).astype(float)
    with panels.paper():
        figure, axes = panels.grid(options.sheet, len(results.environments), 2.35, 1.8)
        tried = never = 0
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env].assign(stopped=stopped)
            for place, (label, style) in enumerate(shown.items()):
                own = here[here["label"] == label].sort_values(["seed", "run_id"])
                found = reaching.of_runs(curves, own, curves["env_steps"])
                tried, never = tried + len(found.times), never + int((~found.reached).sum())
                stops = own[own["status"].isin(TRIED)]["stopped"].to_numpy(float)
                if np.isfinite(stops).any():
                    _steps(panel, found, stops, style, (place + 0.5) / len(shown), label)
            panel.set_title(env)
            lines.abscissa(panel, here["stopped"].max(), lines.STEPS)
            panel.set_ylim(-0.04, 1.04)
            ticks.shorten_ticks(panel.yaxis, 5)
            if panels.first_of_row(panel):
                panel.set_ylabel("share that reached it")
        under = [
            "Share of seeds that have reached the threshold by each number of steps (Kaplan-Meier; "
            f"an evaluation decides), {notes.counts(runs)}. Upright ticks: where seeds stopped "
            f"without ({never} of {tried} in all); one that diverged counts as never. Open "
            "markers: the median.",
            *notes.on_runs(curves, runs, "shares, or (diverged) never there"),
        ]
        look: dict[str, Any] = dict(color=panels.INK, linestyle="")
        entries = [
            *marks.entries(shown),
            (Line2D([], [], marker="|", **look), "stopped without"),
            (Line2D([], [], marker="o", **look, **_MEDIAN), "median"),
        ]
        return panels.finish(figure, entries, under)


def _steps(
    panel: Axes, found: Reaching, stops: np.ndarray, style: Style, offset: float, label: str
) -> None:
    """Draws a label's step function; `stops` [S]: how many steps its runs took."""
    times, shares = share_reached(found)
    times, shares = np.append(0.0, times), np.append(0.0, shares)
    last, look = np.nanmax(stops), dict[str, Any](color=style.colour)
    along = np.append(times, last)
    up = np.append(shares, shares[-1])
    panel.step(along, up, where="post", linestyle=style.line, label=panels.visible(label), **look)

    def height(x: np.ndarray) -> np.ndarray:
        return shares[np.searchsorted(times, x, "right") - 1]

    ends = np.unique(stops[~found.reached & np.isfinite(stops)])
    panel.plot(ends, height(ends), "|", markersize=7, **look)
    marker = np.array([0.5 + 0.5 * offset]) * last
    panel.plot(marker, height(marker), style.marker, markersize=3, **look)
    if shares[-1] >= 0.5 - 1e-12:
        median = times[np.argmax(shares >= 0.5 - 1e-12)]
        panel.plot([median], [0.5], style.marker, zorder=5, **_MEDIAN, **look)
