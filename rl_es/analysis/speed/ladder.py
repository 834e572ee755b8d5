"""Cost against width on logarithmic axes: low-rank noise beside full-rank noise.

A layer of M inputs and N outputs has noise of R (M + N) numbers a pair at rank R, of M N at full
rank: against the width of a network, slopes of 1 and 2 where its inner layers prevail.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rl_es.analysis.drawing import palette, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.speed import look
from rl_es.analysis.speed.source import Speed
from rl_es.analysis.speed.summary import INFERENCE
from rl_es.timings import WHOLE

FEWEST = 3  # widths that make a line
_SAME = ["env", "layers", "population", "episodes", "horizon", "episode_length"]
_OVER_GRID: dict[str, Any] = dict(
    frameon=True, facecolor="white", edgecolor="none", framealpha=1.0, fancybox=False
)
_DRAWN = (INFERENCE, "eggroll", "full_rank_es")


def ladders(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The groups of workloads that differ in nothing but the width of equal layers.

    Each has at least three widths, and both eggroll and full_rank_es in it.
    """
    rows = _with_noise(table)
    layers = rows["widths"].str.split("x")
    equal = layers.map(lambda widths: len(set(widths)) == 1 and widths[0] != "")
    rows, layers = rows[equal & rows["agent"].isin(_DRAWN)], layers[equal]
    rows = rows.assign(layers=layers.map(len), width=layers.map(lambda widths: float(widths[0])))
    groups = [group for _, group in rows.groupby(_SAME, sort=False)]
    return [group for group in groups if _enough(group)]


def where(speed: Speed, options: Options = USUAL) -> list[tuple[str, ...]]:
    """The workloads of each ladder."""
    return [tuple(dict.fromkeys(group["workload"])) for group in ladders(speed.table)]


def _with_noise(table: pd.DataFrame) -> pd.DataFrame:
    """Whole generations, with `noise_seconds`: drawing the noise and applying it in the rollout."""
    keys = ["workload", "contestant"]
    drawn = table[table["part"] == "noise"].set_index(keys)["seconds"]
    applied = table[table["part"] == "rollout"].set_index(keys)["extra_seconds"]
    noise = (drawn + applied).rename("noise_seconds")
    whole = table[(table["part"] == WHOLE) & (table["status"] == "finished")]
    return whole.merge(noise, how="left", left_on=keys, right_index=True)


def _enough(group: pd.DataFrame) -> bool:
    return all(
        group[group["agent"] == agent]["width"].nunique() >= FEWEST
        for agent in ("eggroll", "full_rank_es")
    )


def cost_against_width(speed: Speed, options: Options = USUAL) -> Figure:
    """Left, the time of a step of all members of one ladder; right, the bytes of their noise."""
    (group,) = ladders(speed.table)
    styles = _styles(group)
    with panels.paper():
        figure, axes = panels.grid(options.sheet, 2, 3.5, 2.6)
        time, size = axes
        for label, style in styles.items():
            rows = group[group["contestant"] == label].sort_values("width")
            width = rows["width"].to_numpy()
            steps = (rows["env_steps"] / (rows["population"] * rows["episodes"])).to_numpy()
            _line(time, width, (rows["seconds"] / steps).to_numpy(), style, label)
            if style["agent"] == INFERENCE:
                continue
            noise = (rows["noise_seconds"] / steps).to_numpy()
            _line(time, width, noise, style, f"{label}: noise alone", apart=True)
            _line(size, width, rows["perturbation_bytes"].to_numpy(float), style, label)
        _dress(time, "time per step of all members", look.seconds, group["width"])
        _dress(size, "noise of the population", look.bytes_, group["width"])
        first = group.iloc[0]
        title = f"{first['env']}, {first['layers']} hidden layers, P = {first['population']}"
        for panel in axes:
            panel.set_title(title)
            panel.legend(loc="upper left", fontsize=6.5, borderaxespad=0.5, **_OVER_GRID)
        said = (
            f"Medians of {look.rounds(group)}, whole generations of {first['episode_length']} "
            "steps. Dashed: what the noise costs, that is drawing it, and the rollout beyond pure "
            "batch inference in the same round; the update is not in it. Slopes: least squares on "
            "both logarithms over the widest half of the widths, at least three."
        )
        return panels.finish(figure, [], [said])


def _styles(group: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Colour and marker by label: one colour per agent, a marker of its own for each label."""
    found: dict[str, dict[str, Any]] = {}
    for label, agent in group[["contestant", "agent"]].drop_duplicates().itertuples(index=False):
        marker = palette.MARKERS[len(found) % len(palette.MARKERS)]
        found[label] = {"agent": agent, "color": look.colour(agent), "marker": marker}
    return found


def _line(
    panel: Axes,
    width: np.ndarray,
    cost: np.ndarray,
    style: dict[str, Any],
    label: str,
    apart: bool = False,
) -> None:
    known = np.isfinite(cost) & (cost > 0)
    width, cost = width[known], cost[known]
    if not width.size:
        return
    fit = slope(width, cost)
    said = label if fit is None else f"{label}, slope {fit:.2f}"
    drawn = {"color": style["color"], "marker": style["marker"]}
    (line,) = panel.plot(
        width, cost, linestyle=(0, (3, 1.5)) if apart else "-", label=said, **drawn
    )
    if apart:
        line.set_markerfacecolor("white")


def slope(width: np.ndarray, cost: np.ndarray) -> float | None:
    """The exponent of cost in width over the widest half, at least three widths; None of fewer."""
    used = max(FEWEST, -(-len(width) // 2))
    if len(width) < FEWEST:
        return None
    return float(np.polyfit(np.log(width[-used:]), np.log(cost[-used:]), 1)[0])


def _dress(panel: Axes, name: str, text: Any, widths: Iterable[float]) -> None:
    ticks.log2_ticks(panel, sorted(set(widths)))
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(numticks=8))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    low, high = panel.get_ylim()
    # The legend stands above the lines.
    panel.set_ylim(low, high * (high / low) ** (0.1 + 0.1 * len(panel.lines)))
    panel.set_xlabel("width of the hidden layers")
    panel.set_ylabel(name)
