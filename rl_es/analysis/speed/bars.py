"""Two figures of bars: the share of pure batch inference, and the parts of a generation."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rl_es.analysis.drawing import palette, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.speed import look
from rl_es.analysis.speed.source import Speed
from rl_es.analysis.speed.summary import BARE, INFERENCE
from rl_es.timings import PARTS

ROOM = 1.3  # the length of the axis over the longest bar, whose value is written in the rest
_COLOURS = dict(zip(PARTS, (palette.ORANGE, look.LIGHT, palette.PURPLE, palette.BLUE), strict=True))
_VALUE: dict[str, Any] = dict(va="center", size=6, color=panels.INK, zorder=5)
_ON_LINES: dict[str, Any] = dict(bbox=dict(facecolor="white", edgecolor="none", pad=0.8))


def with_shares(speed: Speed, options: Options = USUAL) -> list[str]:
    """The workloads in which pure batch inference was timed, and more than the floors."""
    table = speed.table
    held = table["share"].notna() & ~table["agent"].isin((BARE, INFERENCE))
    return speed.having(table[held])


def with_parts(speed: Speed, options: Options = USUAL) -> list[str]:
    """The workloads in which parts were timed."""
    return speed.having(_apart(speed))


def _apart(speed: Speed) -> pd.DataFrame:
    return speed.table[speed.table["part"].isin(PARTS)]


def shares(speed: Speed, options: Options = USUAL) -> Figure:
    """A panel per workload: the rate of each contestant in percent of pure batch inference."""
    table, workloads, sheet, cut = speed.table, speed.workloads, options.sheet, False
    with panels.paper():
        most = max(len(look.whole(table, workload)) for workload in workloads)
        figure, axes = look.grid(sheet, table["contestant"], len(workloads), most)
        for panel, workload in zip(axes, workloads, strict=True):
            rows = look.whole(table, workload)
            look.panel_of_names(panel, sheet, rows, speed.named[workload])
            # The bare environment may be a hundred times as fast: its bar ends with the axis.
            others = rows[rows["agent"] != BARE]["share_high"]
            end = ROOM * np.nanmax([100.0, *others])
            panel.set_xlim(0, end)
            panel.axvline(100, color=panels.INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
            for place, row in enumerate(rows.to_dict("records")):
                if row["share"] == row["share"]:
                    cut |= _share(panel, place, row, end)
            ticks.shorten_ticks(panel.xaxis, 5)
            panel.set_xlabel("% of pure batch inference")
        said = (
            f"Environment steps a second over those of pure batch inference (the same rollout, the "
            f"unperturbed policy shared by all members) in the same round: the median of "
            f"{look.rounds(table)}; black lines: quartiles."
        )
        beyond = ("Bars with an arrow go on beyond the axis.",) if cut else ()
        return panels.finish(figure, [], [said, *beyond])


def _share(panel: Axes, place: int, row: dict[str, Any], end: float) -> bool:
    """Draws one bar with its whisker and value; returns whether the axis cuts it."""
    share, high = row["share"], row["share_high"]
    fill = look.colour(row["agent"])
    panel.barh(place, min(share, end), 0.72, color=fill, alpha=0.75, linewidth=0, zorder=2)
    value = f"{share:,.0f}" if share >= 9.95 else f"{share:.1f}"
    if share > 0.9 * end:
        panel.text(0.985 * end, place, f"{value} \N{RIGHTWARDS ARROW}", ha="right", **_VALUE)
        return True
    panel.plot([row["share_low"], high], [place, place], color=panels.INK, linewidth=1.0, zorder=4)
    panel.text(max(share, high) + 0.015 * end, place, value, ha="left", **_VALUE, **_ON_LINES)
    return False


def parts(speed: Speed, options: Options = USUAL) -> Figure:
    """The shares of a generation's parts in their sum, and the time of the whole generation."""
    table, apart, sheet = speed.table, _apart(speed), options.sheet
    with panels.paper():
        labels = set(apart["contestant"])  # the same lines in every panel, some of them not run
        figure, axes = look.grid(sheet, labels, len(speed.workloads), len(labels))
        for panel, workload in zip(axes, speed.workloads, strict=True):
            rows = look.whole(table, workload)
            rows = rows[rows["contestant"].isin(labels)]
            look.panel_of_names(panel, sheet, rows, speed.named[workload])
            for place, row in enumerate(rows.to_dict("records")):
                if row["status"] == "finished":
                    _stack(panel, place, row, apart[apart["workload"] == workload])
            panel.set_xlim(0, 138)
            panel.set_xticks([0, 25, 50, 75, 100])
            panel.set_xlabel("% of the parts' time")
        entries = [(Patch(color=_COLOURS[part], linewidth=0), part) for part in PARTS]
        said = (
            f"Each part compiled and timed alone, medians of {look.rounds(table)}; at the right, "
            "the time of a whole generation, compiled as one. Noise: drawing it; rollout: whole "
            "episodes (persistent strategies: a window) of the perturbed policies; update: the "
            "estimate and the optimiser's step."
        )
        return panels.finish(figure, entries, [said])


def _stack(panel: Axes, place: int, row: dict[str, Any], apart: pd.DataFrame) -> None:
    own = apart[apart["contestant"] == row["contestant"]].set_index("part")["seconds"]
    ends = np.cumsum([0.0, *(own.get(part, 0.0) for part in PARTS)])
    for part, start, end in zip(PARTS, ends[:-1], ends[1:], strict=True):
        width = 100 * (end - start) / ends[-1]
        panel.barh(place, width, 0.72, left=100 * start / ends[-1], color=_COLOURS[part], zorder=2)
    panel.text(102, place, look.seconds(row["seconds"]), ha="left", **_VALUE)
