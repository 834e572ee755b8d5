"""Figures of settings and of evolved parameters.

`ablation`     final return and time against rank, width or population, all else being equal;
`sensitivity`  the final return of every run against each setting that was varied;
`parameters`   parameters and loss against generations, where a policy has few enough parameters.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import drawing
from rl_es.analysis.ablations import Ablation, ablated_settings, find_ablations
from rl_es.analysis.curves import (
    COUNTED_STATUSES,
    are_losses,
    center_coordinate,
    count_center_scalars,
    final_returns,
    per_run_seconds,
)
from rl_es.analysis.drawing import FigureOptions, Style
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics import bootstrap

FULL_RANK_FACTOR = 2.5  # times the highest rank: where full rank is placed on the axis
MILLION = 1_000_000
MAX_PARAMETERS = 4  # of an environment's policies
# In units of the median run's path: a path too long to show, and the distance that is shown.
STRAY_DISTANCE, PANEL_DISTANCE = 10.0, 4.0
MIN_VALUES = 5  # of a setting that was varied
WINDOW = 5  # neighbouring values that a running median is taken over
_SETTING_LABELS = {
    "rank": "rank of the noise",
    "width": "width of the hidden layers",
    "population": "population",
}
_BEST: dict[str, Any] = dict(marker="*", markersize=8, markeredgecolor=drawing.INK, linestyle="")


def ablation_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments in which a setting is varied."""
    ablated_envs = {
        env
        for setting in ablated_settings(results.runs)
        for ablation in find_ablations(results.runs, setting)
        for env in ablation.runs
    }
    return [env for env in results.environments if env in ablated_envs]


@drawing.paper_style()
def draw_ablation(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a row per environment: final return, and seconds of a million steps."""
    setting, *_ = ablated_settings(results.runs)
    seconds = per_run_seconds(results.runs) / results.runs["env_steps"] * MILLION
    final = final_returns(results.curves, results.runs)
    runs = results.runs.assign(final=final, seconds=seconds)
    ablations = find_ablations(runs, setting)
    styles = drawing.assign_styles(
        {ablation.name: ablation.agent for ablation in ablations}, results.plugin_styles
    )
    legend = results.restyle(styles)
    styles = dict(zip(styles, legend.values(), strict=True))
    counts = [2] * len(results.environments)
    far = set[tuple[str, float]]()
    figure, rows = drawing.panel_rows(options.sheet, counts, 2.6, 1.9)
    for env, pair in zip(results.environments, rows, strict=True):
        for panel, column in zip(pair, ("final", "seconds"), strict=True):
            for index, ablation in enumerate(ablations):
                factor = 2 ** (0.12 * (index - (len(ablations) - 1) / 2))
                style = styles[ablation.name]
                _draw_ablation_line(panel, ablation, env, column, style, factor, options.replicates)
            _format_ablation_axis(panel, setting, ablations)
            if column == "final":
                drawing.format_panel(panel, env, runs[runs["env"] == env])
                far |= drawing.draw_baselines(panel, results.baselines.get(env, {}))
                panel.set_ylabel(f"final {results.return_label(env)}")
            else:
                panel.set_title(env)
                panel.set_ylim(bottom=0)
                drawing.set_short_ticks(panel.yaxis, 5)
                panel.set_ylabel("seconds / M steps")
    has_full = any(np.inf in ablation.values for ablation in ablations)
    full = " (full: full-rank noise)" if has_full else ""
    intervals = drawing.interval_note(runs, "lines", options.replicates)
    notes = [
        f"{setting.capitalize()} varies at otherwise equal settings{full}. Markers: means over "
        f"seeds, {drawing.counts_note(runs)}; small dots: seeds; {intervals}.",
        *drawing.baselines_note(results.has_baselines, far),
        "Wall time of this sweep, not a speed benchmark.",
        *drawing.time_note(results.curves),
        *drawing.runs_note(results.curves, results.runs),
    ]
    entries = [
        *drawing.legend_entries(legend),
        *drawing.threshold_entries(runs),
    ]
    return drawing.finish_figure(figure, entries, notes)


def _draw_ablation_line(
    panel: Axes,
    ablation: Ablation,
    env: str,
    column: str,
    style: Style,
    factor: float,
    replicates: int,
) -> None:
    """Draws means with intervals, joined by a line, and each seed; x is `factor` * setting."""
    runs = ablation.runs.get(env)
    if runs is None:
        return
    runs = runs[runs["status"].isin(COUNTED_STATUSES) & np.isfinite(runs[column])]
    runs = runs.sort_values(["seed", "run_id"])
    numbers = [value for value in ablation.values if np.isfinite(value)]
    look: dict[str, Any] = dict(color=style.colour)
    xs, ys = [], []
    for value in ablation.values:
        seeds = runs[runs["setting"] == value][column].to_numpy(float)
        if not seeds.size:
            continue
        x = factor * (value if np.isfinite(value) else FULL_RANK_FACTOR * numbers[-1])
        interval = bootstrap(seeds, replicates=replicates)
        panel.plot([x, x], [interval.low, interval.high], linewidth=1.3, zorder=3, **look)
        panel.plot([x], [interval.estimate], style.marker, ms=4.5, zorder=4, mec="white", **look)
        spread = x * 2 ** np.linspace(0.1, 0.24, seeds.size)
        panel.plot(spread, seeds, ".", ms=2, alpha=0.6, **look)
        if np.isfinite(value):
            xs.append(x)
            ys.append(float(interval.estimate))
    panel.plot(xs, ys, color=style.colour, linestyle=style.linestyle, zorder=2)


def _format_ablation_axis(panel: Axes, setting: str, ablations: list[Ablation]) -> None:
    """Sets a logarithmic axis with a tick at each value; full rank stands apart, at the right."""
    values = sorted({value for ablation in ablations for value in ablation.values})
    numbers = [value for value in values if np.isfinite(value)]
    ticks, names = list(numbers), [f"{value:g}" for value in numbers]
    if len(values) > len(numbers):
        ticks.append(FULL_RANK_FACTOR * numbers[-1])
        names.append("full")
        middle = FULL_RANK_FACTOR**0.5 * numbers[-1] * 1.1
        panel.axvline(middle, color="#999999", linewidth=0.6)
    drawing.set_log2_ticks(panel, ticks, names)
    panel.set_xlim(ticks[0] / 1.4, ticks[-1] * 1.4)
    panel.set_xlabel(_SETTING_LABELS[setting])


def parameter_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments whose policies have at most `MAX_PARAMETERS` parameters."""
    counts = {env: count_center_scalars(rows) for env, rows in results.curves.groupby("env")}
    return [env for env in results.environments if 0 < counts.get(env, 0) <= MAX_PARAMETERS]


@drawing.paper_style()
def draw_parameters(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a row per environment: each parameter, and the loss where returns are losses."""
    parts = [results.within([env]) for env in results.environments]
    counts = [count_center_scalars(part.curves) for part in parts]
    losses = [are_losses(part.curves) for part in parts]
    columns = [count + loss for count, loss in zip(counts, losses, strict=True)]
    figure, rows = drawing.panel_rows(options.sheet, columns, 2.5, 1.9)
    cut = False
    for part, count, axes in zip(parts, counts, rows, strict=True):
        (env,) = part.environments
        for index, panel in enumerate(axes[:count]):
            value = center_coordinate(part.curves, index)
            _draw_against_generation(panel, part, value, results.legend)
            panel.set_title(env)
            panel.set_ylabel("parameter" if count == 1 else f"parameter {index + 1}")
            cut |= _limit_parameter_axis(panel, part.curves, value)
        for panel in axes[count:]:
            _draw_against_generation(panel, part, -part.curves["return_mean"], results.legend)
            drawing.format_panel(panel, env, part.runs, loss=True)
            panel.set_ylabel("loss")
    lost_runs = not results.runs["status"].isin(COUNTED_STATUSES).all()
    crosses = "; crosses: where one diverged or failed" if lost_runs else ""
    beyond = " A line that leaves its panel ends there." if cut else ""
    notes = [
        "Thick: median over seeds, of the unperturbed policy, "
        f"{drawing.counts_note(results.runs)}; thin: seeds{crosses}.{beyond}",
        *drawing.runs_note(results.curves, results.runs, "medians"),
    ]
    entries = drawing.legend_entries(results.legend)
    entries += drawing.threshold_entries(results.runs) if any(losses) else []
    return drawing.finish_figure(figure, entries, notes)


def _draw_against_generation(
    panel: Axes, part: ResultTables, value: pd.Series, legend: Mapping[str, Style]
) -> None:
    """Draws each label's runs and median, of one value, against generations."""
    generation = part.curves["generation"]
    drawing.draw_medians(panel, part.curves, part.runs, generation, legend, value)
    end = drawing.largest_x(part.curves, part.runs, generation)
    drawing.format_x_axis(panel, end, "generation")


def _limit_parameter_axis(panel: Axes, curves: pd.DataFrame, value: pd.Series) -> bool:
    """Limits the axis of a parameter; returns whether some lines leave the panel.

    A run that goes astray moves a parameter by orders of magnitude more than others. Where one
    moves more than `STRAY_DISTANCE` times as far as the (lower) median run, the panel shows
    `PANEL_DISTANCE` times that distance, and a line ends where it leaves the panel: it might cross
    it many times later on.
    """
    rows = curves.assign(value=value).dropna(subset="value").sort_values("generation")
    by_run = rows.groupby("run_id")["value"]
    starts, distance = by_run.first(), (rows["value"] - by_run.transform("first")).abs()
    furthest = distance.groupby(rows["run_id"]).max()
    usual = furthest.quantile(0.5, interpolation="lower")
    low, high = rows["value"].min(), rows["value"].max()
    cut = bool(furthest.max() > STRAY_DISTANCE * usual > 0)
    if cut:
        low = max(low, starts.min() - PANEL_DISTANCE * usual)
        high = min(high, starts.max() + PANEL_DISTANCE * usual)
    margin = 0.05 * (high - low)
    if margin > 0:
        panel.set_ylim(low - margin, high + margin)
    for line in panel.lines if cut else ():
        _end_outside(line, low - margin, high + margin)
    drawing.set_short_ticks(panel.yaxis, 5)
    return cut


def _end_outside(line: Line2D, low: float, high: float) -> None:
    """Ends a line at its first point outside the limits."""
    x, y = (np.asarray(values, float) for values in line.get_data())
    outside = (y < low) | (y > high)
    if outside.any():
        end = int(np.argmax(outside)) + 1
        line.set_data(x[:end], y[:end])


def varied_settings(results: ResultTables, env: str | None = None) -> list[str]:
    """Returns the columns of settings of which an agent has several numbers in one environment.

    Numbers that differ between agents or environments alone say nothing of a setting.

    Args:
      results: Results of some environments.
      env: The environment; None for any.
    """
    runs = results.runs if env is None else results.runs[results.runs["env"] == env]
    columns = [
        name
        for name in runs
        if name.startswith("hyper.") and pd.api.types.is_float_dtype(runs[name])
    ]
    counts = runs.groupby(["env", "agent"])[columns].nunique().max()
    return [name for name in columns if counts[name] >= MIN_VALUES]


def sensitivity_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments in which settings were varied."""
    return [env for env in results.environments if varied_settings(results, env)]


@drawing.paper_style()
def draw_sensitivity(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a row per environment, a panel per setting."""
    columns = {env: varied_settings(results, env) for env in results.environments}
    runs = results.runs.assign(final=final_returns(results.curves, results.runs))
    styles = drawing.assign_styles(
        {agent: agent for agent in runs["agent"].unique()}, results.plugin_styles
    )
    legend = results.restyle(styles)
    styles = dict(zip(styles, legend.values(), strict=True))
    counts = [len(columns[env]) for env in results.environments]
    figure, rows = drawing.panel_rows(options.sheet, counts, 2.5, 1.9)
    for env, axes in zip(results.environments, rows, strict=True):
        env_runs = runs[runs["env"] == env]
        for panel, column in zip(axes, columns[env], strict=True):
            _draw_dots(panel, env_runs, column, styles)
            drawing.format_panel(panel, env, env_runs)
            _format_setting_axis(panel, env_runs[column], column)
            if drawing.is_first_in_row(panel):
                panel.set_ylabel(f"final {results.return_label(env)}")
    notes = [
        "Dots: the last evaluation of each run; lines: the median of an agent's runs with "
        f"{WINDOW} neighbouring values; stars: the best run. "
        "Settings vary together: other settings differ from dot to dot. Crosses at the "
        "bottom: runs that diverged or failed.",
        *drawing.runs_note(results.curves, results.runs, "medians"),
    ]
    entries = [
        *drawing.legend_entries(legend),
        (Line2D([], [], color="w", **_BEST), "best"),
        *drawing.threshold_entries(runs),
    ]
    return drawing.finish_figure(figure, entries, notes)


def running_median(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct values of x [S], and the medians of y [S] at `WINDOW` of them."""
    values = np.unique(x)
    reach = WINDOW // 2
    positions = np.searchsorted(values, x)
    near = (np.abs(positions - position) <= reach for position in range(len(values)))
    return values, np.array([np.median(y[mask]) for mask in near])


def _draw_dots(panel: Axes, runs: pd.DataFrame, column: str, styles: Mapping[str, Style]) -> None:
    """Draws each run as a dot, each agent's running median, lost runs, and the best run."""
    runs = runs[np.isfinite(runs[column].astype(float))]
    is_counted = runs["status"].isin(COUNTED_STATUSES) & np.isfinite(runs["final"])
    alive, lost_runs = runs[is_counted], runs[~is_counted]
    for agent, style in styles.items():
        look: dict[str, Any] = dict(color=style.colour)
        rows = alive[alive["agent"] == agent].sort_values([column, "seed", "run_id"])
        x, y = rows[column].to_numpy(float), rows["final"].to_numpy(float)
        panel.plot(x, y, style.marker, ms=2.6, alpha=0.7, mew=0, **look)
        line: dict[str, Any] = dict(linestyle=style.linestyle, linewidth=1.0, alpha=0.6)
        panel.plot(*running_median(x, y), **line, **look)
        ends = lost_runs[lost_runs["agent"] == agent][column].to_numpy(float)
        bottom = panel.get_xaxis_transform()
        panel.plot(ends, np.full(len(ends), 0.03), "x", ms=3.5, transform=bottom, **look)
    if len(alive):
        best = alive.sort_values(["final", "run_id"]).iloc[-1]
        colour = styles[best["agent"]].colour
        panel.plot([best[column]], [best["final"]], color=colour, zorder=5, **_BEST)


def _format_setting_axis(panel: Axes, values: pd.Series, column: str) -> None:
    """Sets the axis of a setting, logarithmic where the values span a decade."""
    values = values.dropna()
    if values.min() > 0 and values.max() >= 10 * values.min():
        panel.set_xscale("log")
        panel.set_xlim(values.min() / 1.3, values.max() * 1.3)
        drawing.set_log_ticks(panel.xaxis, drawing.count_fitting(panel, 5, 3))
    else:
        drawing.set_short_ticks(panel.xaxis, drawing.count_fitting(panel, 5, 3))
    panel.set_xlabel(column.removeprefix("hyper."))
