"""The objective over two parameters as a heat map, and the paths of the centers over it.

Axis letters: T generations.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import drawing
from rl_es.analysis.curves import center_path
from rl_es.analysis.drawing import FigureOptions, Style
from rl_es.analysis.results import ResultTables
from rl_es.results.surfaces import Surface

COLOUR_QUANTILE = 0.95  # of values, which colours reach to if the start is not known
NOT_FINITE = "#d8a0a0"
_END: dict[str, Any] = dict(markersize=4.5, markeredgecolor="white", markeredgewidth=0.6)
_START: dict[str, Any] = dict(
    linestyle="", marker="o", color="white", markeredgecolor=drawing.INK, markersize=5
)
_BEST: dict[str, Any] = dict(
    linestyle="", marker="*", color="#F0E442", markeredgecolor=drawing.INK, markersize=9
)


def surface_environments(results: ResultTables, options: FigureOptions) -> list[str]:
    """Returns the environments that have a surface."""
    return [env for env in results.environments if env in results.surfaces]


@drawing.paper_style()
def draw_surface(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment: minus the return in colours, each label's centers as lines."""
    surfaces = [results.surfaces[env] for env in results.environments]
    figure, axes = drawing.panel_grid(options.sheet, len(surfaces), 3.6, 2.7)
    for panel, surface in zip(axes, surfaces, strict=True):
        part = results.within([surface.env])
        image = _draw_heat_map(panel, surface, _start_loss(part))
        _draw_colour_bar(figure, panel, image, surface)
        _draw_paths(panel, part, results.legend)
        _format_surface_panel(panel, surface)
    entries = [*drawing.legend_entries(results.legend), *_marker_entries()]
    return drawing.finish_figure(figure, entries, [_note(surfaces)])


def _note(surfaces: Sequence[Surface]) -> str:
    grids = {" x ".join(map(str, surface.returns.shape)) for surface in surfaces}
    episodes = {surface.episodes for surface in surfaces}
    counts = " or ".join(sorted(map(str, episodes)))
    noun = "episode" if episodes == {1} else "episodes"
    gaps = any(np.isnan(surface.returns).any() for surface in surfaces)
    reddish = "; reddish where it is not finite" if gaps else ""
    return (
        f"Colours: minus the mean return of {counts} {noun} at each of "
        f"{' or '.join(sorted(grids))} points{reddish}. Lines: the unperturbed parameters of each "
        "label's first seed; markers: where each seed ends."
    )


def _start_loss(part: ResultTables) -> float:
    """Returns the median of minus the first return of runs; NaN where no run was evaluated."""
    rows = part.curves.sort_values("generation").groupby("run_id")["return_mean"].first()
    return -float(rows.median())


def _draw_heat_map(panel: Axes, surface: Surface, start: float) -> ScalarMappable:
    """Draws the heat map: light where the return is high."""
    losses = -surface.returns
    colours = mpl.colormaps["bone_r"].with_extremes(bad=NOT_FINITE)
    x, y = (_edges(axis) for axis in (surface.first, surface.second))
    return panel.imshow(
        losses.T,
        origin="lower",
        extent=(x[0], x[1], y[0], y[1]),
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        norm=_colour_norm(losses[np.isfinite(losses)], start),
    )


def _edges(axis: np.ndarray) -> tuple[float, float]:
    """Returns where the first point's cell starts and the last one's ends."""
    half = (axis[-1] - axis[0]) / (len(axis) - 1) / 2
    return float(axis[0] - half), float(axis[-1] + half)


def _colour_norm(losses: np.ndarray, start: float) -> Normalize:
    """Returns the map from losses to colours: logarithmic where all are above zero.

    Colours reach twice as far above the best point as the start is: values beyond are far from any
    path that leads down, and would take most of the colours.

    Args:
      losses: Minus the returns that are finite.
      start: Minus the return of the start, NaN where it is not known.
    """
    low, high = (losses.min(), losses.max()) if losses.size else (0.0, 0.0)
    if low == high:
        return Normalize(low - 1, low + 1)
    if start > low:
        top = low * (start / low) ** 2 if low > 0 else low + 2 * (start - low)
    else:
        top = np.quantile(losses, COLOUR_QUANTILE, method="lower")
    return (LogNorm if low > 0 else Normalize)(low, top if low < top < high else high)


def _draw_colour_bar(figure: Figure, panel: Axes, image: ScalarMappable, surface: Surface) -> None:
    """Draws the bar of colours, with an arrow where values lie beyond it."""
    losses, norm = -surface.returns, image.norm
    beyond = bool(np.nanmax(losses, initial=-np.inf) > (norm.vmax or 0))
    bar = figure.colorbar(
        image, ax=panel, extend="max" if beyond else "neither", pad=0.02, use_gridspec=False
    )
    if isinstance(norm, LogNorm):
        drawing.set_log_ticks(bar.ax.yaxis)
    else:
        drawing.set_short_ticks(bar.ax.yaxis, 5)
    bar.outline.set_linewidth(0.6)
    non_negative = bool(np.nanmin(losses, initial=0) >= 0)
    bar.set_label("loss" if non_negative else "minus the return")


def _draw_paths(panel: Axes, part: ResultTables, legend: dict[str, Style]) -> None:
    """Draws the centers of each label's runs: the first seed's path, and where all seeds end."""
    for label, style in legend.items():
        runs = part.runs[part.runs["label"] == label].sort_values(["seed", "run_id"])
        paths = [center_path(part.curves, run_id) for run_id in runs["run_id"]]
        paths = [path for path in paths if path.shape[1:] == (2,)]  # [T, 2]
        for index, path in enumerate(paths):
            if index == 0:
                panel.plot(*path.T, color="white", linewidth=2.6)
                panel.plot(*path.T, color=style.colour, linestyle=style.linestyle, linewidth=1.4)
            panel.plot(*path[-1], style.marker, color=style.colour, zorder=4, **_END)
        for start in sorted({tuple(path[0]) for path in paths}):
            panel.plot(*start, zorder=5, **_START)


def _format_surface_panel(panel: Axes, surface: Surface) -> None:
    """Marks the best grid point, and sets title and axes."""
    if np.isfinite(surface.returns).any():
        x, y = np.unravel_index(np.nanargmax(surface.returns), surface.returns.shape)
        panel.plot(surface.first[x], surface.second[y], zorder=5, **_BEST)
    panel.set_title(surface.env)
    panel.grid(False)
    panel.set_xlim(_edges(surface.first))
    panel.set_ylim(_edges(surface.second))
    for axis in (panel.xaxis, panel.yaxis):
        drawing.set_short_ticks(axis, 5)
    panel.set_xlabel("parameter 1")
    panel.set_ylabel("parameter 2")


def _marker_entries() -> list[tuple[Artist, str]]:
    return [(Line2D([], [], **_START), "start"), (Line2D([], [], **_BEST), "best grid point")]
