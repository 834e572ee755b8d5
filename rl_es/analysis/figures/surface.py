"""The objective over two parameters as a heat map, and the paths of the centers over it."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import curves
from rl_es.analysis.drawing import captions, layout, marks, ticks
from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS, FigureOptions
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.results import ResultTables
from rl_es.results.surfaces import Surface

FAR = 0.95  # the quantile of values that colours reach to if the start is not known
NOT_FINITE = "#d8a0a0"
_END: dict[str, Any] = dict(markersize=4.5, markeredgecolor="white", markeredgewidth=0.6)
_START: dict[str, Any] = dict(
    linestyle="", marker="o", color="white", markeredgecolor=layout.INK, markersize=5
)
_BEST: dict[str, Any] = dict(
    linestyle="", marker="*", color="#F0E442", markeredgecolor=layout.INK, markersize=9
)


def surface_environments(
    results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """The environments that have a surface."""
    return [env for env in results.environments if env in results.surfaces]


def draw_surface(results: ResultTables, options: FigureOptions = DEFAULT_OPTIONS) -> Figure:
    """A panel per environment: minus the return in colours, each label's centers as lines."""
    shown = [results.surfaces[env] for env in results.environments]
    with layout.paper():
        figure, axes = layout.grid(options.sheet, len(shown), 3.6, 2.7)
        for panel, surface in zip(axes, shown, strict=True):
            part = results.within([surface.env])
            image = _map(panel, surface, _start(part))
            _bar(figure, panel, image, surface)
            _ways(panel, part, results.shown)
            _dress(panel, surface)
        under = captions.surfaces_note(shown)
        return layout.finish(figure, [*marks.entries(results.shown), *_entries()], under)


def _start(part: ResultTables) -> float:
    """Minus the return that runs start from: their median; NaN where no run was evaluated."""
    rows = part.curves.sort_values("generation").groupby("run_id")["return_mean"].first()
    return -float(rows.median())


def _map(panel: Axes, surface: Surface, start: float) -> ScalarMappable:
    """The heat map: light where the return is high."""
    value = -surface.returns
    colours = mpl.colormaps["bone_r"].with_extremes(bad=NOT_FINITE)
    x, y = (_edges(axis) for axis in (surface.first, surface.second))
    return panel.imshow(
        value.T,
        origin="lower",
        extent=(x[0], x[1], y[0], y[1]),
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        norm=_norm(value[np.isfinite(value)], start),
    )


def _edges(axis: np.ndarray) -> tuple[float, float]:
    """Where the first point's cell starts and the last one's ends."""
    half = (axis[-1] - axis[0]) / (len(axis) - 1) / 2
    return float(axis[0] - half), float(axis[-1] + half)


def _norm(value: np.ndarray, start: float) -> Normalize:
    """From minus a return to a colour: logarithmic where all are above zero.

    Colours reach twice as far above the best point as the start is: values beyond are far from any
    path that leads down, and would take most of the colours.

    Args:
      value: minus the returns that are finite.
      start: minus the return of the start, NaN where it is not known.
    """
    low, high = (value.min(), value.max()) if value.size else (0.0, 0.0)
    if low == high:
        return Normalize(low - 1, low + 1)
    if start > low:
        top = low * (start / low) ** 2 if low > 0 else low + 2 * (start - low)
    else:
        top = np.quantile(value, FAR, method="lower")
    return (LogNorm if low > 0 else Normalize)(low, top if low < top < high else high)


def _bar(figure: Figure, panel: Axes, image: ScalarMappable, surface: Surface) -> None:
    """The bar of colours, with an arrow where values lie beyond it."""
    value, norm = -surface.returns, image.norm
    beyond = bool(np.nanmax(value, initial=-np.inf) > (norm.vmax or 0))
    bar = figure.colorbar(
        image, ax=panel, extend="max" if beyond else "neither", pad=0.02, use_gridspec=False
    )
    if isinstance(norm, LogNorm):
        ticks.log_ticks(bar.ax.yaxis)
    else:
        ticks.shorten_ticks(bar.ax.yaxis, 5)
    bar.outline.set_linewidth(0.6)
    losses = bool(np.nanmin(value, initial=0) >= 0)
    bar.set_label("loss" if losses else "minus the return")


def _ways(panel: Axes, part: ResultTables, shown: dict[str, Style]) -> None:
    """The centers of each label's runs: the first seed's path, and where all seeds end."""
    for label, style in shown.items():
        runs = part.runs[part.runs["label"] == label].sort_values(["seed", "run_id"])
        ways = [curves.center_path(part.curves, run_id) for run_id in runs["run_id"]]
        ways = [way for way in ways if way.shape[1:] == (2,)]
        for place, way in enumerate(ways):
            if place == 0:
                panel.plot(*way.T, color="white", linewidth=2.6)
                panel.plot(*way.T, color=style.colour, linestyle=style.line, linewidth=1.4)
            panel.plot(*way[-1], style.marker, color=style.colour, zorder=4, **_END)
        for start in sorted({tuple(way[0]) for way in ways}):
            panel.plot(*start, zorder=5, **_START)


def _dress(panel: Axes, surface: Surface) -> None:
    if np.isfinite(surface.returns).any():
        x, y = np.unravel_index(np.nanargmax(surface.returns), surface.returns.shape)
        panel.plot(surface.first[x], surface.second[y], zorder=5, **_BEST)
    panel.set_title(surface.env)
    panel.grid(False)
    panel.set_xlim(_edges(surface.first))
    panel.set_ylim(_edges(surface.second))
    for axis in (panel.xaxis, panel.yaxis):
        ticks.shorten_ticks(axis, 5)
    panel.set_xlabel("parameter 1")
    panel.set_ylabel("parameter 2")


def _entries() -> list[tuple[Artist, str]]:
    return [(Line2D([], [], **_START), "start"), (Line2D([], [], **_BEST), "best grid point")]
