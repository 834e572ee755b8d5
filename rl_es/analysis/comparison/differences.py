"""Differences as a forest plot: how much better the others are, on the normalised scale."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis.comparison.colours import colour
from rl_es.analysis.comparison.findings import Finding
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.comparison.verdicts import BETTER, SAME, UNKNOWN, WORSE
from rl_es.analysis.drawing import marks, panels, ticks
from rl_es.analysis.drawing.names import names
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.statistics import CONFIDENCE

TOTAL = "all environments"
SHAPES = {BETTER: ">", WORSE: "<", SAME: "s", UNKNOWN: "o"}
SOLID = (BETTER, WORSE)  # filled markers: a difference was found
_SPREAD = 0.7  # the share of a row that several others take


def draw(comparison: Comparison, options: Options) -> Figure:
    """A panel per environment and one for all, with a row per label; all have the same x axis."""
    groups = [
        *((env, [f for f in comparison.findings if f.env == env]) for env in where(comparison)),
        *([(TOTAL, comparison.totals)] if comparison.totals else []),
    ]
    labels = _labels(comparison)
    others = [folder.name for folder in comparison.others]
    with panels.paper():
        named = names(options.sheet, labels)
        row = 0.19 + 0.11 * (len(others) - 1)
        size = 2.1, named.high(row, frame=0.55), named.left
        figure, axes = panels.grid(options.sheet, len(groups), *size, stretch=False)
        for panel, (title, own) in zip(axes, groups, strict=True):
            for one in own:
                shift = others.index(one.other) - (len(others) - 1) / 2
                height = labels.index(one.shown) + shift * _SPREAD / len(others)
                _mark(panel, one, height, _colour(others, one.other))
            panel.set_title(title)
            named.beside(panel)
        _axis(axes, comparison)
        return panels.finish(figure, list(_entries(comparison)), _notes(comparison))


def where(comparison: Comparison, options: Options = USUAL) -> list[str]:
    """The environments in which a difference is known on the normalised scale."""
    having = {f.env for f in comparison.findings if np.isfinite(f.normalised.estimate)}
    return [env for env in comparison.environments if env in having]


def _labels(comparison: Comparison) -> list[str]:
    """The rows, in the order of the base's labels."""
    order = list(dict.fromkeys(match.base for match in comparison.matched))
    found = {one.shown: order.index(one.base_label) for one in comparison.findings}
    return sorted(found, key=lambda label: found[label])


def _colour(others: Sequence[str], other: str) -> str:
    return panels.INK if len(others) == 1 else colour(others.index(other) + 1)


def _mark(panel: Axes, one: Finding, height: float, ink: str) -> None:
    found = one.normalised
    if not np.isfinite(found.estimate):
        marks.row_note(panel, height)
        return
    panel.plot([found.low, found.high], [height, height], color=ink, linewidth=1.0, zorder=3)
    panel.plot([found.estimate], [height], color=ink, zorder=4, **_shape(one.verdict, ink))


def _shape(verdict: str, ink: str) -> dict[str, Any]:
    inside = ink if verdict in SOLID else "white"
    return dict(
        marker=SHAPES[verdict],
        linestyle="none",
        markersize=4.5,
        markerfacecolor=inside,
        markeredgecolor=ink,
        markeredgewidth=0.8,
    )


def _axis(axes: Sequence[Axes], comparison: Comparison) -> None:
    """The same x axis for all panels, with a line at 0 and the margin shaded."""
    for panel in axes:
        panel.autoscale_view()
    limits = np.array([panel.get_xlim() for panel in axes])
    low, high = float(limits[:, 0].min()), float(limits[:, 1].max())
    for panel in axes:
        panel.axvline(0, color="#555555", linewidth=0.7, zorder=2)
        if comparison.margin is not None:
            panel.axvspan(-comparison.margin, comparison.margin, color="#000000", alpha=0.07, lw=0)
        panel.set_xlim(min(low, 0), max(high, 0))
        ticks.shorten_ticks(panel.xaxis, 5)
        panel.set_xlabel("normalised difference")


def _entries(comparison: Comparison) -> Iterator[tuple[Artist, str]]:
    found = {one.verdict for one in (*comparison.findings, *comparison.totals)}
    for verdict in SHAPES:
        if verdict in found:
            yield Line2D([], [], **_shape(verdict, panels.INK)), verdict
    others = [folder.name for folder in comparison.others]
    if len(others) > 1:
        for other in others:
            yield Line2D([], [], color=_colour(others, other)), other


def _notes(comparison: Comparison) -> list[str]:
    base, metric = f"‘{comparison.base.name}’", comparison.metric
    others = " and ".join(f"‘{folder.name}’" for folder in comparison.others)
    scale = comparison.scale.told
    if metric.lower:
        scale = "in shares of the base's mean, less time to the right"
    margin = "" if comparison.margin is None else " Shaded: the margin."
    order = " In a row, others from above as in the legend." if len(comparison.others) > 1 else ""
    return [
        f"How much better {others} than {base} in {metric.title} ({scale}), "
        f"{comparison.counted()}; lines: {CONFIDENCE:.0%} bootstrap interval "
        f"({comparison.replicates:,} replicates). All environments: interquartile mean. "
        f"Filled: p < 0.05, adjusted for {len(comparison.findings)} comparisons.{margin}{order}",
        *(f"Not in it: {line}." for line in comparison.lost),
    ]
