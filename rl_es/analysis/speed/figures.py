"""The figures of a speed benchmark: shares of pure batch inference, parts, cost against width.

Cost against width has logarithmic axes and shows low-rank noise beside full-rank noise. A layer of
M inputs and N outputs has noise of R (M + N) numbers a pair at rank R, and of M N at full rank.
Against the width of a network these are slopes of 1 and 2 where its inner layers prevail.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rl_es.analysis import drawing
from rl_es.analysis.ablations import low_rank_agents
from rl_es.analysis.drawing import FigureKind, FigureOptions
from rl_es.analysis.speed import tables
from rl_es.analysis.speed.tables import BARE, INFERENCE, KEYS, SpeedResults
from rl_es.config import BLUE, MARKERS, ORANGE, PURPLE
from rl_es.results.timings import PARTS, WHOLE

ROOM = 1.3  # the length of the axis over the longest bar, whose value is written in the rest
_COLOURS = dict(zip(PARTS, (ORANGE, tables.LIGHT, PURPLE, BLUE), strict=True))
_VALUE: dict[str, Any] = dict(va="center", size=6, color=drawing.INK, zorder=5)
_ON_LINES: dict[str, Any] = dict(bbox=dict(facecolor="white", edgecolor="none", pad=0.8))


def workloads_with_shares(speed: SpeedResults, options: FigureOptions) -> list[str]:
    """Returns the workloads in which pure batch inference was timed, and more than the floors."""
    table = speed.table
    agents = table["share"].notna() & ~table["agent"].isin((BARE, INFERENCE))
    return speed.having(table[agents])


def workloads_with_parts(speed: SpeedResults, options: FigureOptions) -> list[str]:
    """Returns the workloads in which parts were timed."""
    return speed.having(_part_rows(speed))


def _part_rows(speed: SpeedResults) -> pd.DataFrame:
    return speed.table[speed.table["part"].isin(PARTS)]


@drawing.paper_style()
def share_bars(speed: SpeedResults, options: FigureOptions) -> Figure:
    """Draws a panel per workload: each contestant's rate in percent of pure batch inference."""
    table, workloads, sheet, cut = speed.table, speed.workloads, options.sheet, False
    most = max(len(tables.generation_rows(table, workload)) for workload in workloads)
    figure, axes = tables.panel_grid(sheet, table["contestant"], len(workloads), most)
    for panel, workload in zip(axes, workloads, strict=True):
        rows = tables.generation_rows(table, workload)
        tables.panel_of_names(panel, sheet, rows, speed.titles[workload])
        # The bare environment may be a hundred times as fast: its bar ends with the axis.
        shares = rows[rows["agent"] != BARE]["share_high"]
        end = ROOM * np.nanmax([100.0, *shares])
        panel.set_xlim(0, end)
        panel.axvline(100, color=drawing.INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
        for index, row in enumerate(rows.to_dict("records")):
            if row["share"] == row["share"]:
                cut |= _share(panel, index, row, end)
        drawing.set_short_ticks(panel.xaxis, 5)
        panel.set_xlabel("% of pure batch inference")
    note = (
        f"Environment steps a second over those of pure batch inference (the same rollout, the "
        f"unperturbed policy shared by all members) in the same round: the median of "
        f"{tables.count_rounds(table)}; black lines: quartiles."
    )
    beyond = ("Bars with an arrow go on beyond the axis.",) if cut else ()
    return drawing.finish_figure(figure, [], [note, *beyond])


def _share(panel: Axes, index: int, row: dict[str, Any], end: float) -> bool:
    """Draws one bar with its whisker and value; returns True if the axis cuts it."""
    share, high = row["share"], row["share_high"]
    fill = tables.contestant_colour(row["agent"])
    panel.barh(index, min(share, end), 0.72, color=fill, alpha=0.75, linewidth=0, zorder=2)
    value = f"{share:,.0f}" if share >= 9.95 else f"{share:.1f}"
    if share > 0.9 * end:
        panel.text(0.985 * end, index, f"{value} \N{RIGHTWARDS ARROW}", ha="right", **_VALUE)
        return True
    panel.plot([row["share_low"], high], [index, index], color=drawing.INK, linewidth=1.0, zorder=4)
    panel.text(max(share, high) + 0.015 * end, index, value, ha="left", **_VALUE, **_ON_LINES)
    return False


@drawing.paper_style()
def part_bars(speed: SpeedResults, options: FigureOptions) -> Figure:
    """Draws the shares of a generation's parts in their sum, and the generation's time."""
    table, parts, sheet = speed.table, _part_rows(speed), options.sheet
    labels = set(parts["contestant"])  # the same lines in every panel, some of them not run
    figure, axes = tables.panel_grid(sheet, labels, len(speed.workloads), len(labels))
    for panel, workload in zip(axes, speed.workloads, strict=True):
        rows = tables.generation_rows(table, workload)
        rows = rows[rows["contestant"].isin(labels)]
        tables.panel_of_names(panel, sheet, rows, speed.titles[workload])
        for index, row in enumerate(rows.to_dict("records")):
            if row["status"] == "finished":
                _stack(panel, index, row, parts[parts["workload"] == workload])
        panel.set_xlim(0, 138)
        panel.set_xticks([0, 25, 50, 75, 100])
        panel.set_xlabel("% of the parts' time")
    entries = [(Patch(color=_COLOURS[part], linewidth=0), part) for part in PARTS]
    note = (
        f"Each part compiled and timed alone, medians of {tables.count_rounds(table)}; at the "
        "right, the time of a whole generation, compiled as one. Noise: drawing it; rollout: "
        "whole episodes (persistent strategies: a window) of the perturbed policies; update: "
        "the estimate and the optimiser's step."
    )
    return drawing.finish_figure(figure, entries, [note])


def _stack(panel: Axes, index: int, row: dict[str, Any], parts: pd.DataFrame) -> None:
    """Draws the bar of a contestant, a segment per part, and the time of a generation."""
    of_contestant = parts[parts["contestant"] == row["contestant"]]
    seconds = of_contestant.set_index("part")["seconds"]
    ends = np.cumsum([0.0, *(seconds.get(part, 0.0) for part in PARTS)])
    for part, start, end in zip(PARTS, ends[:-1], ends[1:], strict=True):
        width = 100 * (end - start) / ends[-1]
        panel.barh(index, width, 0.72, left=100 * start / ends[-1], color=_COLOURS[part], zorder=2)
    panel.text(102, index, tables.format_seconds(row["seconds"]), ha="left", **_VALUE)


FEWEST = 3  # widths that make a line
_SAME = ["env", "layers", "population", "episodes", "horizon", "episode_length"]
_OVER_GRID: dict[str, Any] = dict(
    frameon=True, facecolor="white", edgecolor="none", framealpha=1.0, fancybox=False
)


def width_ladders(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns the groups of workloads that differ in nothing but the width of equal layers.

    Each group has at least three widths of a low-rank agent and of its full-rank relative.
    """
    relatives = low_rank_agents(table["agent"])
    contestants = {INFERENCE, *relatives, *relatives.values()}
    rows = _with_noise(table)
    layers = rows["widths"].str.split("x")
    equal = layers.map(lambda widths: len(set(widths)) == 1 and widths[0] != "")
    rows, layers = rows[equal & rows["agent"].isin(contestants)], layers[equal]
    rows = rows.assign(layers=layers.map(len), width=layers.map(lambda widths: float(widths[0])))
    groups = [group for _, group in rows.groupby(_SAME, sort=False)]
    return [group for group in groups if _has_ladder(group, relatives)]


def ladder_workloads(speed: SpeedResults, options: FigureOptions) -> list[tuple[str, ...]]:
    """Returns the workloads of each ladder."""
    return [tuple(dict.fromkeys(group["workload"])) for group in width_ladders(speed.table)]


def _with_noise(table: pd.DataFrame) -> pd.DataFrame:
    """Returns generations with `noise_seconds`: of sampling noise and applying it in rollouts."""
    sampling = table[table["part"] == "noise"].set_index(KEYS)["seconds"]
    application = table[table["part"] == "rollout"].set_index(KEYS)["extra_seconds"]
    noise = (sampling + application).rename("noise_seconds")
    generations = table[(table["part"] == WHOLE) & (table["status"] == "finished")]
    return generations.merge(noise, how="left", left_on=KEYS, right_index=True)


def _has_ladder(group: pd.DataFrame, relatives: Mapping[str, str]) -> bool:
    widths = group.groupby("agent")["width"].nunique()
    return any(
        min(widths.get(full, 0), widths.get(low, 0)) >= FEWEST for full, low in relatives.items()
    )


@drawing.paper_style()
def cost_against_width(speed: SpeedResults, options: FigureOptions) -> Figure:
    """Draws the time of a step of all members of one ladder, and the bytes of their noise."""
    (group,) = width_ladders(speed.table)
    styles = _styles(group)
    figure, axes = drawing.panel_grid(options.sheet, 2, 3.5, 2.6)
    time, size = axes
    for label, style in styles.items():
        rows = group[group["contestant"] == label].sort_values("width")
        width = rows["width"].to_numpy()
        steps = (rows["env_steps"] / (rows["population"] * rows["episodes"])).to_numpy()
        _line(time, width, (rows["seconds"] / steps).to_numpy(), style, label)
        if style["agent"] == INFERENCE:
            continue
        noise = (rows["noise_seconds"] / steps).to_numpy()
        _line(time, width, noise, style, f"{label}: noise alone", noise=True)
        _line(size, width, rows["perturbation_bytes"].to_numpy(float), style, label)
    _dress(time, "time per step of all members", tables.format_seconds, group["width"])
    _dress(size, "noise of the population", tables.format_bytes, group["width"])
    first = group.iloc[0]
    title = f"{first['env']}, {first['layers']} hidden layers, P = {first['population']}"
    for panel in axes:
        panel.set_title(title)
        panel.legend(loc="upper left", fontsize=6.5, borderaxespad=0.5, **_OVER_GRID)
    note = (
        f"Medians of {tables.count_rounds(group)}, whole generations of "
        f"{first['episode_length']} steps. Dashed: what the noise costs, that is drawing "
        "it, and the rollout beyond pure batch inference in the same round; the update is not "
        "in it. Slopes: least squares on both logarithms over the widest half of the widths, "
        "at least three."
    )
    return drawing.finish_figure(figure, [], [note])


def _styles(group: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Returns colour and marker by label: a colour per agent, and a marker per label."""
    styles: dict[str, dict[str, Any]] = {}
    for label, agent in group[["contestant", "agent"]].drop_duplicates().itertuples(index=False):
        marker = MARKERS[len(styles) % len(MARKERS)]
        styles[label] = {"agent": agent, "color": tables.contestant_colour(agent), "marker": marker}
    return styles


def _line(
    panel: Axes,
    width: np.ndarray,
    cost: np.ndarray,
    style: dict[str, Any],
    label: str,
    noise: bool = False,
) -> None:
    """Draws cost against width, with its slope in the legend; dashed for the `noise` alone."""
    positive = np.isfinite(cost) & (cost > 0)
    width, cost = width[positive], cost[positive]
    if not width.size:
        return
    fit = slope(width, cost)
    text = label if fit is None else f"{label}, slope {fit:.2f}"
    look = {"color": style["color"], "marker": style["marker"]}
    (line,) = panel.plot(width, cost, linestyle=(0, (3, 1.5)) if noise else "-", label=text, **look)
    if noise:
        line.set_markerfacecolor("white")


def slope(width: np.ndarray, cost: np.ndarray) -> float | None:
    """Returns the exponent of cost in width over the widest half; None of fewer than three."""
    count = max(FEWEST, -(-len(width) // 2))
    if len(width) < FEWEST:
        return None
    return float(np.polyfit(np.log(width[-count:]), np.log(cost[-count:]), 1)[0])


def _dress(panel: Axes, name: str, text: Any, widths: Iterable[float]) -> None:
    """Sets up logarithmic axes with a tick at each width."""
    drawing.set_log2_ticks(panel, sorted(set(widths)))
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(numticks=8))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    low, high = panel.get_ylim()
    # The legend stands above the lines.
    panel.set_ylim(low, high * (high / low) ** (0.1 + 0.1 * len(panel.lines)))
    panel.set_xlabel("width of the hidden layers")
    panel.set_ylabel(name)


_KINDS: tuple[FigureKind[SpeedResults], ...] = (
    FigureKind(
        "share_of_inference",
        "Environment steps a second, pure batch inference being 100",
        share_bars,
        workloads_with_shares,
        "pure batch inference among the contestants, and an agent or a peer",
        interval=drawing.QUARTILES,
    ),
    FigureKind(
        "parts",
        "The parts of a generation",
        part_bars,
        workloads_with_parts,
        "an agent whose parts were timed",
        interval="",
    ),
    FigureKind(
        "cost_against_width",
        "Cost against the width of the network",
        cost_against_width,
        ladder_workloads,
        "three widths of equal layers, with a low-rank agent and its full-rank relative",
        max_subjects=1,
        interval="",
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
