"""Return against environment steps, and against wall-clock time: means over seeds with bands.

The best return so far against environment steps; for losses the lowest loss so far.

Final returns: a bar for the mean, its interval, and each seed as a dot.

Success against environment steps: the share of seeds that are at or above the threshold.

The share of seeds that have reached the threshold, against environment steps.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis.curves import (
    TRIED,
    are_losses,
    best_so_far,
    final_returns,
    over_decades,
    per_run_seconds,
    share_along,
    threshold_times,
)
from rl_es.analysis.drawing import captions, layout, marks, ticks
from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS, FigureOptions
from rl_es.analysis.drawing.layout import row_names
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.figures.aggregates import MOST_LABELS
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.threshold import Reaching, share_reached


def draw_learning_curves(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per environment: return against environment steps."""
    return _against(results, results.curves["env_steps"], marks.STEPS, options, ())


def draw_over_time(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per environment: return against wall-clock time per run, without compilation."""
    seconds = per_run_seconds(results.curves)
    unit, size = marks.unit_of_time(seconds.max())
    name = f"wall-clock time per run ({unit})"
    return _against(results, seconds / size, name, options, captions.time_note(results.curves))


def _against(
    results: ResultTables, x: pd.Series, name: str, options: FigureOptions, said: tuple[str, ...]
) -> Figure:
    curves, runs, shown = results.curves, results.runs, results.shown
    single = False
    with layout.paper():
        figure, axes = layout.grid(options.sheet, len(results.environments), 2.35, 1.8)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            single |= marks.draw_means(panel, curves, here, x, shown, options.replicates)
            marks.dress(panel, env, here)
            marks.dress_abscissa(panel, marks.furthest_abscissa(curves, here, x), name)
            if layout.first_of_row(panel):
                panel.set_ylabel("return")
        band = captions.bands_note(runs, options.replicates, single)
        under = [*band, *said, *captions.runs_note(curves, runs)]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return layout.finish(figure, entries, under)


def draw_best_so_far(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per environment: the mean over seeds of each seed's best so far."""
    curves, runs, shown = results.curves, results.runs, results.shown
    best, steps, single = best_so_far(curves), curves["env_steps"], False
    with layout.paper():
        figure, axes = layout.grid(options.sheet, len(results.environments), 2.5, 1.9)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            loss = are_losses(curves[curves["env"] == env])
            value = -best if loss else best
            single |= marks.draw_means(panel, curves, here, steps, shown, options.replicates, value)
            marks.dress(panel, env, here, loss=loss)
            marks.dress_abscissa(panel, marks.furthest_abscissa(curves, here, steps), marks.STEPS)
            panel.set_ylabel("lowest loss so far" if loss else "best return so far")
        under = [
            *captions.best_note(runs, options.replicates, single),
            *captions.runs_note(curves, runs),
        ]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return layout.finish(figure, entries, under)


def draw_final_returns(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per environment, a bar per label."""
    curves, shown = results.curves, results.shown
    runs = results.runs.assign(final=final_returns(curves, results.runs))
    sheet = options.sheet
    with layout.paper():
        named = row_names(sheet, list(shown))
        size = 2.1, named.high(0.21, frame=0.55), named.left
        figure, axes = layout.grid(sheet, len(results.environments), *size, stretch=False)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            for place, (label, style) in enumerate(shown.items()):
                marks.bar(panel, place, here[here["label"] == label], style, options.replicates)
            marks.dress(panel, env, here, across=True)
            named.beside(panel)
            ticks.shorten_ticks(panel.xaxis, layout.fitting(panel, 4, 2))
            panel.set_xlabel("final return")
        under = [*captions.bars_note(runs, options.replicates), *captions.runs_note(curves, runs)]
        return layout.finish(figure, marks.threshold_entry(runs), under)


PALE = 0.1  # bands of shares are wide, and lie on each other


def threshold_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments that have a threshold."""
    having = set(results.runs[results.runs["threshold"].notna()]["env"])
    return [env for env in results.environments if env in having]


def draw_success(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A row per environment: its return, and beside it the share of seeds that succeed.

    Where returns are minus losses that span decades, the loss is drawn, on a logarithmic axis.
    """
    curves, runs, shown = results.curves, results.runs, results.shown
    losses = [over_decades(curves[curves["env"] == env]) for env in results.environments]
    environments, steps, single = results.environments, curves["env_steps"], False
    with layout.paper():
        figure, rows = layout.rows(options.sheet, [2] * len(environments), 2.6, 1.8)
        for env, loss, (left, right) in zip(environments, losses, rows, strict=True):
            here = runs[runs["env"] == env]
            value = -curves["return_mean"] if loss else None
            single |= marks.draw_means(left, curves, here, steps, shown, options.replicates, value)
            marks.dress(left, env, here, loss=loss)
            left.set_ylabel("loss" if loss else "return")
            for place, (label, style) in enumerate(shown.items()):
                grid, share = share_along(curves, here[here["label"] == label])
                offset = (place + 0.5) / len(shown)
                marks.band(right, grid, share, style, offset, label, PALE)
            _dress(right, env)
            for panel in (left, right):
                marks.dress_abscissa(
                    panel, marks.furthest_abscissa(curves, here, steps), marks.STEPS
                )
        minus = " (loss: minus it)" if any(losses) else ""
        under = [
            *captions.bands_note(runs, options.replicates, single, captions.EVALUATED + minus),
            *captions.shares_note(),
            *captions.runs_note(curves, runs),
        ]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return layout.finish(figure, entries, under)


def _dress(panel: Axes, env: str) -> None:
    panel.set_title(env)
    panel.set_ylim(-0.03, 1.03)
    ticks.shorten_ticks(panel.yaxis, 5)
    panel.set_ylabel("success rate")


_MEDIAN: dict[str, Any] = dict(markerfacecolor="white", markeredgewidth=1.0, markersize=5)


def time_to_threshold_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments that have a threshold, if labels are few enough to be told apart."""
    return threshold_environments(results) if len(results.shown) <= MOST_LABELS else []


def draw_time_to_threshold(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> Figure:
    """A panel per environment: a step function a label."""
    curves, runs, shown = results.curves, results.runs, results.shown
    reached = curves.groupby("run_id")["env_steps"].max()
    stopped = runs["run_id"].map(reached).astype(float)
    with layout.paper():
        figure, axes = layout.grid(options.sheet, len(results.environments), 2.35, 1.8)
        tried = never = 0
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env].assign(stopped=stopped)
            for place, (label, style) in enumerate(shown.items()):
                own = here[here["label"] == label].sort_values(["seed", "run_id"])
                found = threshold_times(curves, own, curves["env_steps"])
                tried, never = tried + len(found.times), never + int((~found.reached).sum())
                stops = own[own["status"].isin(TRIED)]["stopped"].to_numpy(float)
                if np.isfinite(stops).any():
                    _steps(panel, found, stops, style, (place + 0.5) / len(shown), label)
            panel.set_title(env)
            marks.dress_abscissa(panel, here["stopped"].max(), marks.STEPS)
            panel.set_ylim(-0.04, 1.04)
            ticks.shorten_ticks(panel.yaxis, 5)
            if layout.first_of_row(panel):
                panel.set_ylabel("share that reached it")
        under = [
            "Share of seeds that have reached the threshold by each number of steps (Kaplan-Meier; "
            f"an evaluation decides), {captions.counts_note(runs)}. Upright ticks: where seeds "
            f"stopped without ({never} of {tried} in all); one that diverged counts as never. Open "
            "markers: the median.",
            *captions.runs_note(curves, runs, "shares, or (diverged) never there"),
        ]
        look: dict[str, Any] = dict(color=layout.INK, linestyle="")
        entries = [
            *marks.entries(shown),
            (Line2D([], [], marker="|", **look), "stopped without"),
            (Line2D([], [], marker="o", **look, **_MEDIAN), "median"),
        ]
        return layout.finish(figure, entries, under)


def _steps(
    panel: Axes, found: Reaching, stops: np.ndarray, style: Style, offset: float, label: str
) -> None:
    """Draws a label's step function; `stops` [S]: how many steps its runs took."""
    times, shares = share_reached(found)
    times, shares = np.append(0.0, times), np.append(0.0, shares)
    last, look = np.nanmax(stops), dict[str, Any](color=style.colour)
    along = np.append(times, last)
    up = np.append(shares, shares[-1])
    panel.step(along, up, where="post", linestyle=style.line, label=layout.visible(label), **look)

    def height(x: np.ndarray) -> np.ndarray:
        return shares[np.searchsorted(times, x, "right") - 1]

    ends = np.unique(stops[~found.reached & np.isfinite(stops)])
    panel.plot(ends, height(ends), "|", markersize=7, **look)
    marker = np.array([0.5 + 0.5 * offset]) * last
    panel.plot(marker, height(marker), style.marker, markersize=3, **look)
    if shares[-1] >= 0.5 - 1e-12:
        median = times[np.argmax(shares >= 0.5 - 1e-12)]
        panel.plot([median], [0.5], style.marker, zorder=5, **_MEDIAN, **look)
