"""The figures of gradient estimates: their variance, and the bias of low rank.

Variance is drawn against the windows of an episode, a panel per family. The distance of low-rank
expected updates from full-rank ones is drawn against rank, a row per problem.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rl_es.analysis import drawing
from rl_es.analysis.drawing import FigureKind, FigureOptions, Style
from rl_es.analysis.formatting import format_range
from rl_es.analysis.gradients.tables import GradientResults, family, find_factors, slope_text
from rl_es.analysis.statistics import CONFIDENCE

INTERVAL = f"{CONFIDENCE:.0%} jackknife over seeds, with Student's t"
_EXACT: dict[str, Any] = dict(drawing.REFERENCE_LINE, linewidth=0.9)
_REFERENCES = {"known": "full rank as known", "measured": "full rank as measured"}


def rank_bias_families(gradients: GradientResults, options: FigureOptions) -> list[str]:
    """Returns the families with an environment that knows how far ranks are from full rank."""
    families = {family(env) for env in gradients.bias["env"]}
    return sorted(families, key=drawing.natural_order)


@drawing.paper_style()
def draw_rank_bias(gradients: GradientResults, options: FigureOptions) -> Figure:
    """Draws distances beside the exact line on logarithmic axes, and distances over exact ones."""
    bias = gradients.bias
    problems = [
        (env, agent, factors, group[group["factors"] == factors])
        for (env, agent), group in bias.groupby(["env", "agent"])
        for factors in find_factors(group)
    ]
    looks = drawing.assign_styles({agent: agent for _, agent, *_ in problems})
    figure, panels = drawing.panel_rows(options.sheet, [2] * len(problems), 2.7, 2.2)
    for (env, agent, factors, rows), pair in zip(problems, panels, strict=True):
        _distances(pair[0], rows[rows["reference"] == "known"], looks[agent])
        _ratios(pair[1], rows, looks[agent])
        for panel in pair:
            _ranks(panel, rows)
            panel.set_title(f"{env}: {agent}, {factors} factors")
    alone = next(iter(looks.values())) if len(looks) == 1 else Style("#555555")
    return drawing.finish_figure(figure, _entries(bias, alone), [_note(bias)])


def _distances(panel: Axes, rows: pd.DataFrame, style: Style) -> None:
    """Draws distances; those that are zero are below the panel."""
    panel.set_yscale("log", nonpositive="clip")
    panel.plot(rows["rank"], rows["exact"], zorder=2, **_EXACT)
    _points(panel, rows["rank"], rows[["distance", "low", "high"]], style, "known")
    values = rows[["exact", "distance", "high"]].to_numpy(float)
    values = values[values > 0]
    panel.set_ylim(values.min() / 1.5, values.max() * 1.5)
    drawing.set_log_ticks(panel.yaxis)
    panel.set_ylabel("distance of expected updates")
    if slope := slope_text(rows.iloc[0].to_dict()):
        place = dict(x=0.97, y=0.95, ha="right", va="top", transform=panel.transAxes)
        panel.text(s=f"slope\n{slope}", fontsize=7, **place)


def _ratios(panel: Axes, rows: pd.DataFrame, style: Style) -> None:
    """Draws distances over exact ones, the two references on either side of their rank."""
    panel.axhline(1, zorder=2, **_EXACT)
    references = sorted(set(rows["reference"]))
    for index, reference in enumerate(references):
        to_reference = rows[rows["reference"] == reference]
        ratios = to_reference[["distance", "low", "high"]].div(to_reference["exact"], axis=0)
        shift = 2 ** (0.24 * (index - (len(references) - 1) / 2))
        _points(panel, to_reference["rank"] * shift, ratios, style, reference)
    panel.set_ylabel("distance / exact distance")
    drawing.set_short_ticks(panel.yaxis, 5)


def _points(panel: Axes, at: pd.Series, values: pd.DataFrame, style: Style, reference: str) -> None:
    low = values["low"].clip(lower=np.finfo(float).tiny)
    panel.vlines(at, low, values["high"], color=style.colour, linewidth=1.3, zorder=3)
    panel.plot(at, values["distance"], zorder=4, **_marker(style, reference))


def _marker(style: Style, reference: str) -> dict[str, Any]:
    face = style.colour if reference == "known" else "white"
    look: dict[str, Any] = dict(marker=style.marker, color=style.colour, markerfacecolor=face)
    return look | dict(linestyle="", markersize=4, markeredgewidth=0.8)


def _ranks(panel: Axes, rows: pd.DataFrame) -> None:
    """Sets up a logarithmic axis with a tick at each rank."""
    ranks = sorted(set(rows["rank"]))
    drawing.set_log2_ticks(panel, ranks)
    panel.set_xlim(ranks[0] / 1.4, ranks[-1] * 1.4)
    panel.set_xlabel("rank of the noise")


def _entries(bias: pd.DataFrame, style: Style) -> list[tuple[Artist, str]]:
    entries: list[tuple[Artist, str]] = [(Line2D([], [], **_EXACT), "exact")]
    for reference in sorted(set(bias["reference"])):
        entries.append((Line2D([], [], **_marker(style, reference)), _REFERENCES[reference]))
    return entries


def _note(bias: pd.DataFrame) -> str:
    return (
        "Norm of the difference of expected updates of low rank and of full rank, parameters held "
        "still; its square, without bias, from inner products of estimates of different seeds. "
        "Vertical lines: "
        f"{INTERVAL} (n = {format_range(bias['n'])}). Slope: least squares of log distance on log "
        "rank, full rank as known. "
        f"Antithetic pairs a point: at least {(bias['samples'] * bias['pairs']).min():,}."
    )


FEWEST = 2  # numbers of windows that make a line


def variance_families(gradients: GradientResults, options: FigureOptions) -> list[str]:
    """Returns the families of environments that differ in their number of windows."""
    counts = gradients.table.groupby("family")["windows"].nunique()
    families = [family for family, count in counts.items() if count >= FEWEST]
    return sorted(families, key=drawing.natural_order)


@drawing.paper_style()
def draw_variance(gradients: GradientResults, options: FigureOptions) -> Figure:
    """Draws the relative variance of a pair's estimate against windows, on logarithmic axes."""
    table, styles = gradients.table, gradients.styles
    families = variance_families(gradients, options)
    labels = list(drawing.select_styles(styles, table["label"]))
    figure, axes = drawing.panel_grid(options.sheet, len(families), 2.9, 2.3)
    for panel, name in zip(axes, families, strict=True):
        rows = table[table["family"] == name]
        for label in labels:
            points = rows[rows["label"] == label].sort_values("windows")
            style = styles[label]
            look = dict(color=style.colour, linestyle=style.linestyle, marker=style.marker)
            panel.plot(points["windows"], points["relative_variance"], **look)  # pyright: ignore
        panel.set_xscale("log")
        panel.set_yscale("log")
        ticks = sorted(set(rows["windows"]))
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.set_title(name)
        panel.set_xlabel("windows of an episode")
        if drawing.is_first_in_row(panel):
            panel.set_ylabel("relative variance of a pair")
    note = (
        "Variance of the estimate of an episode's gradient by one antithetic pair, summed over "
        "parameters, over the squared norm of the gradient; parameters held still. "
        f"Samples a point: at least {table['samples'].min():,}."
    )
    entries = [(drawing.legend_handle(styles[label]), label) for label in labels]
    return drawing.finish_figure(figure, entries, [note])


_KINDS: tuple[FigureKind[GradientResults], ...] = (
    FigureKind(
        "variance",
        "Variance of gradient estimates against the windows of an episode",
        draw_variance,
        variance_families,
        "two numbers of windows",
        max_subjects=6,
        interval="",
    ),
    FigureKind(
        "rank_bias",
        "Distance of low-rank expected updates from full-rank ones against rank",
        draw_rank_bias,
        rank_bias_families,
        "two ranks in an environment that knows its expected estimates, and three seeds",
        max_subjects=6,
        interval=INTERVAL,
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
