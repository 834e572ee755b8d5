"""Parameters and loss against generations, where a policy has few enough parameters to be drawn."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import alignment, centers
from rl_es.analysis.drawing import lines, marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.results import Results

MOST = 4  # parameters of an environment
FAR, REACH = 10.0, 4.0  # in units of the median run's path: too far to show, and what is shown


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments whose policies have at most `MOST` parameters."""
    rows = dict(list(results.curves.groupby("env")))
    return [env for env in results.environments if 0 < _count(rows.get(env)) <= MOST]


def _count(rows: pd.DataFrame | None) -> int:
    return 0 if rows is None else centers.scalars(rows)


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A row per environment: each parameter, and where returns are losses the loss beside them."""
    parts = [results.within([env]) for env in results.environments]
    counts = [centers.scalars(part.curves) for part in parts]
    losses = [alignment.are_losses(part.curves) for part in parts]
    with panels.paper():
        columns = [count + loss for count, loss in zip(counts, losses, strict=True)]
        figure, rows = panels.rows(options.sheet, columns, 2.5, 1.9)
        cut = False
        for part, count, axes in zip(parts, counts, rows, strict=True):
            for place, panel in enumerate(axes[:count]):
                value = centers.coordinate(part.curves, place)
                _line(panel, part, value, results.shown)
                panel.set_title(part.environments[0])
                panel.set_ylabel("parameter" if count == 1 else f"parameter {place + 1}")
                cut |= _limit(panel, part.curves, value)
            for panel in axes[count:]:
                _line(panel, part, -part.curves["return_mean"], results.shown)
                marks.dress(panel, part.environments[0], part.runs, loss=True)
                panel.set_ylabel("loss")
        under = notes.on_medians(results.runs, cut)
        under += notes.on_runs(results.curves, results.runs, "medians")
        entries = marks.entries(results.shown)
        entries += marks.threshold_entry(results.runs) if any(losses) else []
        return panels.finish(figure, entries, under)


def _line(panel: Axes, part: Results, value: pd.Series, shown: Mapping[str, Style]) -> None:
    """Each label's runs and median, of one value, against generations."""
    generation = part.curves["generation"]
    lines.medians(panel, part.curves, part.runs, generation, shown, value)
    lines.abscissa(panel, lines.furthest(part.curves, part.runs, generation), "generation")


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
