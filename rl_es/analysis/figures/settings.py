"""One setting, all others equal: final return and time against rank, or against width.

Parameters and loss against generations, where a policy has few enough parameters to be drawn.

Sensitivity to settings: the final return of every run against each setting that was varied.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis.curves import (
    COUNTED,
    are_losses,
    center_coordinate,
    center_scalars,
    final_returns,
    per_run_seconds,
)
from rl_es.analysis.drawing import captions, layout, marks, ticks
from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS, FigureOptions
from rl_es.analysis.drawing.palette import Style, styles
from rl_es.analysis.ladders import AXES, Ladder, ladders
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import bootstrap

FULL = 2.5  # times the highest rank: where full rank is placed on the axis
MILLION = 1_000_000


def ablation_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments in which a setting is varied."""
    there = {env for axis in AXES for ladder in ladders(results.runs, axis) for env in ladder.runs}
    return [env for env in results.environments if env in there]


def draw_ablation(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A row per environment: final return, and seconds of a million steps, against the setting."""
    axis = max(AXES, key=lambda axis: sum(len(of.values) for of in ladders(results.runs, axis)))
    seconds = per_run_seconds(results.runs) / results.runs["env_steps"] * MILLION
    final = final_returns(results.curves, results.runs)
    runs = results.runs.assign(final=final, seconds=seconds)
    found = ladders(runs, axis)
    looks = styles({ladder.name: ladder.agent for ladder in found})
    with layout.paper():
        figure, rows = layout.rows(options.sheet, [2] * len(results.environments), 2.6, 1.9)
        for env, pair in zip(results.environments, rows, strict=True):
            here = runs[runs["env"] == env]
            for panel, column in zip(pair, ("final", "seconds"), strict=True):
                for place, ladder in enumerate(found):
                    aside = 2 ** (0.12 * (place - (len(found) - 1) / 2))
                    look = looks[ladder.name]
                    _ablation_line(panel, ladder, env, column, look, aside, options.replicates)
                _ablation_axis(panel, axis, found)
                if column == "final":
                    marks.dress(panel, env, here)
                else:
                    panel.set_title(env)
                    panel.set_ylim(bottom=0)
                    ticks.shorten_ticks(panel.yaxis, 5)
                panel.set_ylabel("final return" if column == "final" else "seconds / M steps")
        full = " (full: full-rank noise)" if any(np.inf in of.values for of in found) else ""
        lined = captions.interval_note(runs, "lines", options.replicates)
        under = [
            f"{axis.capitalize()} varies at otherwise equal settings{full}. Markers: means over "
            f"seeds, {captions.counts_note(runs)}; small dots: seeds; {lined}.",
            "Wall time of this sweep, not a speed benchmark.",
            *captions.time_note(results.curves),
            *captions.runs_note(results.curves, runs),
        ]
        entries = [(marks.handle(looks[ladder.name]), ladder.name) for ladder in found]
        return layout.finish(figure, [*entries, *marks.threshold_entry(runs)], under)


def _ablation_line(
    panel: Axes, ladder: Ladder, env: str, column: str, style: Style, aside: float, replicates: int
) -> None:
    """Means with intervals, joined by a line, and each seed; x is `aside` times the setting."""
    runs = ladder.runs.get(env)
    if runs is None:
        return
    runs = runs[runs["status"].isin(COUNTED) & np.isfinite(runs[column])]
    runs = runs.sort_values(["seed", "run_id"])
    numbers = [value for value in ladder.values if np.isfinite(value)]
    x, y = [], []
    for value in ladder.values:
        own = runs[runs["setting"] == value][column].to_numpy(float)
        if not own.size:
            continue
        at = aside * (value if np.isfinite(value) else FULL * numbers[-1])
        interval = bootstrap(own, replicates=replicates)
        look: dict[str, Any] = dict(color=style.colour)
        panel.plot([at, at], [interval.low, interval.high], linewidth=1.3, zorder=3, **look)
        panel.plot([at], [interval.estimate], style.marker, ms=4.5, zorder=4, mec="white", **look)
        spread = at * 2 ** np.linspace(0.1, 0.24, own.size)
        panel.plot(spread, own, ".", ms=2, alpha=0.6, **look)
        if np.isfinite(value):
            x.append(at)
            y.append(float(interval.estimate))
    panel.plot(x, y, color=style.colour, linestyle=style.line, zorder=2)


def _ablation_axis(panel: Axes, axis: str, found: list[Ladder]) -> None:
    """A logarithmic axis with a tick at each value; full rank stands apart, at the right."""
    values = sorted({value for ladder in found for value in ladder.values})
    numbers = [value for value in values if np.isfinite(value)]
    places, named = list(numbers), [f"{value:g}" for value in numbers]
    if len(values) > len(numbers):
        places.append(FULL * numbers[-1])
        named.append("full")
        panel.axvline(FULL**0.5 * numbers[-1] * 1.1, color="#999999", linewidth=0.6)
    ticks.log2_ticks(panel, places, named)
    panel.set_xlim(places[0] / 1.4, places[-1] * 1.4)
    panel.set_xlabel({"rank": "rank of the noise", "width": "width of the hidden layers"}[axis])


MOST = 4  # parameters of an environment
FAR, REACH = 10.0, 4.0  # in units of the median run's path: too far to show, and what is shown


def parameter_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments whose policies have at most `MOST` parameters."""
    rows = dict(list(results.curves.groupby("env")))
    return [env for env in results.environments if 0 < _count(rows.get(env)) <= MOST]


def _count(rows: pd.DataFrame | None) -> int:
    return 0 if rows is None else center_scalars(rows)


def draw_parameters(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A row per environment: each parameter, and where returns are losses the loss beside them."""
    parts = [results.within([env]) for env in results.environments]
    counts = [center_scalars(part.curves) for part in parts]
    losses = [are_losses(part.curves) for part in parts]
    with layout.paper():
        columns = [count + loss for count, loss in zip(counts, losses, strict=True)]
        figure, rows = layout.rows(options.sheet, columns, 2.5, 1.9)
        cut = False
        for part, count, axes in zip(parts, counts, rows, strict=True):
            for place, panel in enumerate(axes[:count]):
                value = center_coordinate(part.curves, place)
                _parameter_line(panel, part, value, results.shown)
                panel.set_title(part.environments[0])
                panel.set_ylabel("parameter" if count == 1 else f"parameter {place + 1}")
                cut |= _limit(panel, part.curves, value)
            for panel in axes[count:]:
                _parameter_line(panel, part, -part.curves["return_mean"], results.shown)
                marks.dress(panel, part.environments[0], part.runs, loss=True)
                panel.set_ylabel("loss")
        under = captions.medians_note(results.runs, cut)
        under += captions.runs_note(results.curves, results.runs, "medians")
        entries = marks.entries(results.shown)
        entries += marks.threshold_entry(results.runs) if any(losses) else []
        return layout.finish(figure, entries, under)


def _parameter_line(
    panel: Axes, part: ResultTables, value: pd.Series, shown: Mapping[str, Style]
) -> None:
    """Each label's runs and median, of one value, against generations."""
    generation = part.curves["generation"]
    marks.draw_medians(panel, part.curves, part.runs, generation, shown, value)
    marks.dress_abscissa(
        panel, marks.furthest_abscissa(part.curves, part.runs, generation), "generation"
    )


def _limit(panel: Axes, curves: pd.DataFrame, value: pd.Series) -> bool:
    """Limits the axis of a parameter; returns whether some lines leave the panel.

    A run that goes astray moves a parameter by orders of magnitude more than others. Where one
    moves more than `FAR` times as far as the (lower) median run, the panel shows `REACH` times that
    distance, and a line ends where it leaves the panel: it might cross it many times later on.
    """
    rows = curves.assign(value=value).dropna(subset="value").sort_values("generation")
    by_run = rows.groupby("run_id")["value"]
    starts, way = by_run.first(), (rows["value"] - by_run.transform("first")).abs()
    furthest = way.groupby(rows["run_id"]).max()
    usual = furthest.quantile(0.5, interpolation="lower")
    low, high = rows["value"].min(), rows["value"].max()
    cut = bool(furthest.max() > FAR * usual > 0)
    if cut:
        low = max(low, starts.min() - REACH * usual)
        high = min(high, starts.max() + REACH * usual)
    margin = 0.05 * (high - low)
    if margin > 0:
        panel.set_ylim(low - margin, high + margin)
    for line in panel.lines if cut else ():
        _end_outside(line, low - margin, high + margin)
    ticks.shorten_ticks(panel.yaxis, 5)
    return cut


def _end_outside(line: Line2D, low: float, high: float) -> None:
    x, y = (np.asarray(values, float) for values in line.get_data())
    outside = (y < low) | (y > high)
    if outside.any():
        end = int(np.argmax(outside)) + 1
        line.set_data(x[:end], y[:end])


FEWEST = 5  # values of a setting that was varied
WINDOW = 5  # neighbouring values that a running median is taken over
_BEST: dict[str, Any] = dict(marker="*", markersize=8, markeredgecolor=layout.INK, linestyle="")


def varied_settings(results: ResultTables) -> list[str]:
    """The columns of settings that take several numbers."""
    runs = results.runs
    return [
        name
        for name in runs
        if name.startswith("hyper.")
        and pd.api.types.is_float_dtype(runs[name])
        and runs[name].nunique() >= FEWEST
    ]


def sensitivity_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """Every environment, where settings were varied."""
    return results.environments if varied_settings(results) else []


def draw_sensitivity(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A row per environment, a panel per setting."""
    columns = varied_settings(results)
    final = final_returns(results.curves, results.runs)
    runs = results.runs.assign(final=final)
    agents = styles({agent: agent for agent in runs["agent"].unique()})
    counts = [len(columns)] * len(results.environments)
    with layout.paper():
        figure, rows = layout.rows(options.sheet, counts, 2.5, 1.9)
        for env, axes in zip(results.environments, rows, strict=True):
            here = runs[runs["env"] == env]
            for panel, column in zip(axes, columns, strict=True):
                _dots(panel, here, column, agents)
                marks.dress(panel, env, here)
                _axis(panel, here[column], column)
                if layout.first_of_row(panel):
                    panel.set_ylabel("final return")
        under = [
            "Dots: the last evaluation of each run; lines: the median of an agent's runs with "
            f"{WINDOW} neighbouring values; stars: the best run. "
            "Settings vary together: other settings differ from dot to dot. Crosses at the "
            "bottom: runs that diverged or failed.",
            *captions.runs_note(results.curves, results.runs, "medians"),
        ]
        entries = [*marks.entries(agents), (Line2D([], [], color="w", **_BEST), "best")]
        return layout.finish(figure, [*entries, *marks.threshold_entry(runs)], under)


def running_median(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of x [S] without repetition, and the medians of y [S] at `WINDOW` of them."""
    values = np.unique(x)
    reach = WINDOW // 2
    near = (np.abs(np.searchsorted(values, x) - place) <= reach for place in range(len(values)))
    return values, np.array([np.median(y[some]) for some in near])


def _dots(panel: Axes, runs: pd.DataFrame, column: str, agents: Mapping[str, Style]) -> None:
    known = runs[np.isfinite(runs[column].astype(float))]
    counts = known["status"].isin(COUNTED) & np.isfinite(known["final"])
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
        ticks.log_ticks(panel.xaxis, layout.fitting(panel, 5, 3))
    else:
        ticks.shorten_ticks(panel.xaxis, layout.fitting(panel, 5, 3))
    panel.set_xlabel(column.removeprefix("hyper."))
