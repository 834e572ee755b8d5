"""Figures of returns: learning curves, final returns, success rates, times to a threshold.

Curves are means over seeds with bands, against environment steps, wall-clock time, generations or
episodes.
Final returns are bars with an interval and a dot a seed. The success rate is the share of seeds
that are at or above the threshold; the time to the threshold is drawn as the share of seeds that
have reached it.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import drawing
from rl_es.analysis.curves import (
    TRIAL_STATUSES,
    are_losses,
    best_so_far,
    final_returns,
    per_run_seconds,
    span_decades,
    success_curve,
    threshold_times,
)
from rl_es.analysis.drawing import FigureOptions, Style
from rl_es.analysis.figures.aggregates import MAX_LABELS
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics import CONFIDENCE, ThresholdTimes, kaplan_meier

_BEST = "over seeds of each one's best evaluation so far"
_SHARE_ALPHA = 0.1  # bands of shares are wide, and lie on each other
_MEDIAN: dict[str, Any] = dict(markerfacecolor="white", markeredgewidth=1.0, markersize=5)


def draw_learning_curves(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment: return against environment steps."""
    return _draw_returns(results, results.curves["env_steps"], drawing.STEPS_LABEL, options, ())


def draw_over_time(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment: return against wall-clock time a run, without compilation."""
    seconds = per_run_seconds(results.curves)
    unit, size = drawing.time_unit(seconds.max())
    x_label = f"wall-clock time per run ({unit})"
    note = drawing.time_note(results.curves)
    return _draw_returns(results, seconds / size, x_label, options, note)


def draw_over_generations(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment: return against generations, of equal cost or not."""
    return _draw_returns(results, results.curves["generation"], "generations", options, ())


def draw_over_episodes(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment: return against training episodes of all members."""
    return _draw_returns(results, results.curves["episodes"], "episodes", options, ())


@drawing.paper_style()
def _draw_returns(
    results: ResultTables, x: pd.Series, x_label: str, options: FigureOptions, note: tuple[str, ...]
) -> Figure:
    """Draws a panel per environment: return against x."""
    curves, runs, legend = results.curves, results.runs, results.legend
    if options.sheet.log_x:  # lines from zero to the first evaluation would look like learning
        curves, x = curves[x > 0], x[x > 0]
    single, far = False, set[tuple[str, float]]()
    names = {env: results.return_label(env) for env in results.environments}
    figure, axes = drawing.panel_grid(options.sheet, len(results.environments), 2.35, 1.8)
    for panel, env in zip(axes, results.environments, strict=True):
        env_runs = runs[runs["env"] == env]
        single |= drawing.draw_means(panel, curves, env_runs, x, legend, options.replicates)
        drawing.format_panel(panel, env, env_runs)
        end = drawing.largest_x(curves, env_runs, x)
        drawing.format_x_axis(panel, end, x_label, options.sheet.log_x)
        far |= drawing.draw_baselines(panel, results.baselines.get(env, {}))
        if drawing.is_first_in_row(panel) or len({*names.values()}) > 1:
            panel.set_ylabel(names[env])
    notes = [
        *drawing.bands_note(runs, options.replicates, single),
        *drawing.baselines_note(results.has_baselines, far),
        *note,
        *drawing.runs_note(curves, runs),
    ]
    return drawing.finish_figure(figure, _legend(results), notes)


def _legend(results: ResultTables) -> list:
    """Returns the legend's entries of labels and thresholds."""
    return [*drawing.legend_entries(results.legend), *drawing.threshold_entries(results.runs)]


@drawing.paper_style()
def draw_best_so_far(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment: the mean over seeds of each seed's best so far."""
    curves, runs, legend = results.curves, results.runs, results.legend
    best, steps, single = best_so_far(curves), curves["env_steps"], False
    if options.sheet.log_x:
        curves, best, steps = curves[steps > 0], best[steps > 0], steps[steps > 0]
    figure, axes = drawing.panel_grid(options.sheet, len(results.environments), 2.5, 1.9)
    for panel, env in zip(axes, results.environments, strict=True):
        env_runs = runs[runs["env"] == env]
        loss = are_losses(curves[curves["env"] == env])
        y = -best if loss else best
        single |= drawing.draw_means(panel, curves, env_runs, steps, legend, options.replicates, y)
        drawing.format_panel(panel, env, env_runs, loss=loss)
        end = drawing.largest_x(curves, env_runs, steps)
        drawing.format_x_axis(panel, end, drawing.STEPS_LABEL, options.sheet.log_x)
        panel.set_ylabel("lowest loss so far" if loss else "best return so far")
    notes = [
        *drawing.bands_note(runs, options.replicates, single, _BEST),
        *drawing.runs_note(curves, runs),
    ]
    return drawing.finish_figure(figure, _legend(results), notes)


@drawing.paper_style()
def draw_final_returns(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment, a bar per label."""
    curves, legend = results.curves, results.legend
    runs = results.runs.assign(final=final_returns(curves, results.runs))
    names = drawing.row_names(options.sheet, list(legend))
    # The names of baselines stand above the bars.
    head = drawing.longest_baseline_name(
        results.baselines.get(env, {}) for env in results.environments
    )
    size = 2.1, names.panel_height(0.21, frame=0.55 + head), names.left
    count, far = len(results.environments), set[tuple[str, float]]()
    figure, axes = drawing.panel_grid(options.sheet, count, *size, stretch=False)
    for panel, env in zip(axes, results.environments, strict=True):
        env_runs = runs[runs["env"] == env]
        for row, (label, style) in enumerate(legend.items()):
            label_runs = env_runs[env_runs["label"] == label]
            drawing.draw_bar(panel, row, label_runs, style, options.replicates)
        drawing.format_panel(panel, env, env_runs, across=True)
        far |= drawing.draw_baselines(panel, results.baselines.get(env, {}), across=True)
        names.label(panel, head / names.panel_height(0.21, frame=0.0))
        drawing.set_short_ticks(panel.xaxis, drawing.count_fitting(panel, 4, 2))
        panel.set_xlabel(f"final {results.return_label(env)}")
    intervals = drawing.interval_note(runs, "black lines", options.replicates)
    notes = [
        f"Bars: mean return of the last evaluation, {drawing.counts_note(runs)}; dots: seeds; "
        f"{intervals}.",
        *drawing.baselines_note(results.has_baselines, far),
        *drawing.runs_note(curves, runs),
    ]
    return drawing.finish_figure(figure, drawing.threshold_entries(runs), notes)


def threshold_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments that have a threshold."""
    with_threshold = set(results.runs[results.runs["threshold"].notna()]["env"])
    return [env for env in results.environments if env in with_threshold]


@drawing.paper_style()
def draw_success(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a row per environment: its return, and beside it the share of seeds that succeed.

    Where returns are minus losses that span decades, the loss is drawn, on a logarithmic axis.
    """
    curves, runs, legend = results.curves, results.runs, results.legend
    environments, steps, single = results.environments, curves["env_steps"], False
    losses = [span_decades(curves[curves["env"] == env]) for env in environments]
    figure, rows = drawing.panel_rows(options.sheet, [2] * len(environments), 2.6, 1.8)
    for env, loss, (left, right) in zip(environments, losses, rows, strict=True):
        env_runs = runs[runs["env"] == env]
        y = -curves["return_mean"] if loss else None
        single |= drawing.draw_means(left, curves, env_runs, steps, legend, options.replicates, y)
        drawing.format_panel(left, env, env_runs, loss=loss)
        left.set_ylabel("loss" if loss else "return")
        for index, (label, style) in enumerate(legend.items()):
            grid, share = success_curve(curves, env_runs[env_runs["label"] == label])
            offset = (index + 0.5) / len(legend)
            drawing.draw_band(right, grid, share, style, offset, label, _SHARE_ALPHA)
        _format_share_panel(right, env)
        end = drawing.largest_x(curves, env_runs, steps)
        for panel in (left, right):
            drawing.format_x_axis(panel, end, drawing.STEPS_LABEL)
    minus = " (loss: minus it)" if any(losses) else ""
    quantity = drawing.EVALUATION_RETURN + minus
    notes = [
        *drawing.bands_note(runs, options.replicates, single, quantity),
        "Success rate: the share of seeds whose last evaluation is at or above the threshold; "
        f"diverged seeds count as failures. Shaded: {CONFIDENCE:.0%} Wilson score interval.",
        *drawing.runs_note(curves, runs),
    ]
    return drawing.finish_figure(figure, _legend(results), notes)


def _format_share_panel(panel: Axes, env: str) -> None:
    panel.set_title(env)
    panel.set_ylim(-0.03, 1.03)
    drawing.set_short_ticks(panel.yaxis, 5)
    panel.set_ylabel("success rate")


def time_to_threshold_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments that have a threshold, if labels are few enough to tell apart."""
    return threshold_environments(results, options) if len(results.legend) <= MAX_LABELS else []


@drawing.paper_style()
def draw_time_to_threshold(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment: a step function a label."""
    curves, runs, legend = results.curves, results.runs, results.legend
    run_ends = runs["run_id"].map(curves.groupby("run_id")["env_steps"].max()).astype(float)
    figure, axes = drawing.panel_grid(options.sheet, len(results.environments), 2.35, 1.8)
    trials = censored_runs = 0
    for panel, env in zip(axes, results.environments, strict=True):
        env_runs = runs[runs["env"] == env].assign(end=run_ends)
        for index, (label, style) in enumerate(legend.items()):
            rows = env_runs[env_runs["label"] == label].sort_values(["seed", "run_id"])
            times = threshold_times(curves, rows, curves["env_steps"])
            trials += len(times.times)
            censored_runs += int((~times.is_reached).sum())
            ends = rows[rows["status"].isin(TRIAL_STATUSES)]["end"].to_numpy(float)
            if np.isfinite(ends).any():
                offset = (index + 0.5) / len(legend)
                _draw_step_function(panel, times, ends, style, offset, label)
        panel.set_title(env)
        drawing.format_x_axis(panel, env_runs["end"].max(), drawing.STEPS_LABEL)
        panel.set_ylim(-0.04, 1.04)
        drawing.set_short_ticks(panel.yaxis, 5)
        if drawing.is_first_in_row(panel):
            panel.set_ylabel("share that reached it")
    notes = [
        "Share of seeds that have reached the threshold by each number of steps (Kaplan-Meier; "
        f"an evaluation decides), {drawing.counts_note(runs)}. Upright ticks: where seeds "
        f"stopped without ({censored_runs} of {trials} in all); one that diverged counts as never. "
        "Open markers: the median.",
        *drawing.runs_note(curves, runs, "shares, or (diverged) never there"),
    ]
    look: dict[str, Any] = dict(color=drawing.INK, linestyle="")
    entries = [
        *drawing.legend_entries(legend),
        (Line2D([], [], marker="|", **look), "stopped without"),
        (Line2D([], [], marker="o", **look, **_MEDIAN), "median"),
    ]
    return drawing.finish_figure(figure, entries, notes)


def _draw_step_function(
    panel: Axes, runs: ThresholdTimes, ends: np.ndarray, style: Style, offset: float, label: str
) -> None:
    """Draws a label's step function; `ends` [S]: the number of steps of its runs."""
    times, shares = kaplan_meier(runs)
    times, shares = np.append(0.0, times), np.append(0.0, shares)
    last, look = np.nanmax(ends), dict[str, Any](color=style.colour)
    x, y = np.append(times, last), np.append(shares, shares[-1])
    name = drawing.legend_label(label)
    panel.step(x, y, where="post", linestyle=style.linestyle, label=name, **look)

    def height(steps: np.ndarray) -> np.ndarray:
        return shares[np.searchsorted(times, steps, "right") - 1]

    censored_runs = np.unique(ends[~runs.is_reached & np.isfinite(ends)])
    panel.plot(censored_runs, height(censored_runs), "|", markersize=7, **look)
    marker = np.array([0.5 + 0.5 * offset]) * last
    panel.plot(marker, height(marker), style.marker, markersize=3, **look)
    if shares[-1] >= 0.5 - 1e-12:
        median = times[np.argmax(shares >= 0.5 - 1e-12)]
        panel.plot([median], [0.5], style.marker, zorder=5, **_MEDIAN, **look)
