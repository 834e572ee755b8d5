"""Figures of scores by environment, and over all of them (`rl_es.analysis.scores`).

`normalised`  a panel for each environment and, highlighted, for all of them, a bar per label;
`scores`      one panel, a row for each environment and one for all of them, a dot per label.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import drawing
from rl_es.analysis.drawing import FigureOptions, RowNames, Style
from rl_es.analysis.figures import aggregates
from rl_es.analysis.results import ResultTables
from rl_es.analysis.scores import final_scores, shared_scale
from rl_es.analysis.statistics import Interval, aggregate, empty_interval

TOTALS = {"interquartile_mean": "all: IQM", "mean": "all: mean"}
TOTAL_ROW = "all (IQM)"
_ROW_SHARE = 0.7  # of a row's height, that its dots are spread over
_DOT_INCHES = 0.065  # of height for each dot of a row


@drawing.paper_style()
def draw_normalised(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws a panel per environment and two in total, a bar per label."""
    scale = aggregates.requested_scale(results, options)
    shared = shared_scale(results, scale)
    scores, shared_scores = final_scores(results, scale), final_scores(results, shared)
    complete = aggregates.fully_scored_labels(results, shared_scores, shared)

    def total(name: str, label: str) -> Interval:
        if label not in complete:
            return empty_interval()
        return aggregate(shared_scores[label], name, replicates=options.replicates)

    def mean(env: str, label: str) -> Interval:
        values = scores[label].in_task(env)
        if not len(values.values):
            return empty_interval()
        return aggregate(values, "mean", replicates=options.replicates)

    names = drawing.row_names(options.sheet, list(results.legend))
    size = 2.0, names.panel_height(0.21, frame=0.55), names.left
    titles = {
        name: title.replace("all:", "shared:") if shared.unshared else title
        for name, title in TOTALS.items()
    }
    of_all = [(title, partial(total, name), True) for name, title in titles.items()]
    of_envs = [(env, partial(mean, env), False) for env in scale.environments]
    panels = options.select_panels([*of_all, *of_envs])
    figure, axes = drawing.panel_grid(options.sheet, len(panels), *size, stretch=False)
    for panel, (title, interval, is_total) in zip(axes, panels, strict=True):
        _draw_score_bars(panel, results, names, interval)
        panel.set_title(title)
        if is_total:
            drawing.highlight_panel(panel)
    intervals = drawing.interval_note(results.runs, "black lines", options.replicates, "each")
    totals = "shared" if shared.unshared else "all"
    notes = [
        f"Bars: mean normalised return of the last evaluation, "
        f"{drawing.counts_note(results.runs)}; shaded panels: over {totals} "
        f"environments (IQM: interquartile mean); {intervals}.",
        *aggregates.scale_note(results, shared, complete),
        *drawing.runs_note(results.curves, results.runs),
    ]
    return drawing.finish_figure(figure, [], notes)


def _draw_score_bars(
    panel: Axes, results: ResultTables, names: RowNames, interval: Callable[[str], Interval]
) -> None:
    """Draws a bar per label for its interval of scores."""
    for row, (label, style) in enumerate(results.legend.items()):
        drawing.draw_interval_bar(panel, row, interval(label), style)
    names.label(panel)
    for reference in (0.0, 1.0):
        panel.axvline(reference, zorder=1, **dict(drawing.REFERENCE_LINE, linewidth=0.6))
    drawing.set_short_ticks(panel.xaxis, drawing.count_fitting(panel, 4, 2))
    panel.set_xlabel("normalised return")


@drawing.paper_style()
def draw_scores(results: ResultTables, options: FigureOptions) -> Figure:
    """Draws one panel: a row per environment and one of all, with a dot per label.

    The axis has `aggregates.MIN_SCORE` and `MAX_SCORE` as its furthest ends. An estimate beyond an
    end is an arrow there.
    """
    scale = aggregates.requested_scale(results, options)
    shared = shared_scale(results, scale)
    scores, shared_scores = final_scores(results, scale), final_scores(results, shared)
    complete = aggregates.fully_scored_labels(results, shared_scores, shared)
    total = TOTAL_ROW.replace("all", "shared") if shared.unshared else TOTAL_ROW
    rows = [total, *scale.environments]
    intervals = {
        (row, label): aggregate(values, statistic, replicates=options.replicates)
        for row in rows
        for label, values, statistic in (
            ((name, shared_scores[name], "interquartile_mean") for name in complete)
            if row == total
            else ((name, of_label.in_task(row), "mean") for name, of_label in scores.items())
        )
        if len(values.values)
    }
    names = drawing.row_names(options.sheet, rows)
    row_height = _DOT_INCHES * len(results.legend) / _ROW_SHARE
    size = 4.5, names.panel_height(max(row_height, 0.2), frame=0.55), names.left
    figure, (panel,) = drawing.panel_grid(options.sheet, 1, *size)
    names.label(panel)
    panel.axhspan(-0.6, 0.5, color="#f3f3f0", zorder=0, linewidth=0)
    for row in range(1, len(rows)):
        panel.axhline(row + 0.5, color="#e4e4e4", linewidth=0.5, zorder=0)
    panel.get_yticklabels()[0].set_fontweight("bold")
    ends = _score_limits(intervals.values())
    for index, (label, style) in enumerate(results.legend.items()):
        offset = ((index + 0.5) / len(results.legend) - 0.5) * _ROW_SHARE
        for row, name in enumerate(rows):
            if interval := intervals.get((name, label)):
                _draw_score_dot(panel, row + offset, interval, style, ends)
    for reference in (0.0, 1.0):
        panel.axvline(reference, zorder=1, **drawing.REFERENCE_LINE)
    panel.set_xlim(ends[0] - 0.03 * (ends[1] - ends[0]), ends[1] + 0.03 * (ends[1] - ends[0]))
    drawing.set_short_ticks(panel.xaxis, drawing.count_fitting(panel, 7, 4))
    panel.set_xlabel("normalised return")
    is_outside = any(not _is_within(interval, ends) for interval in intervals.values())
    line = drawing.interval_note(results.runs, "lines", options.replicates, "each")
    notes = [
        "Dots: mean normalised return of the last evaluation, "
        f"{drawing.counts_note(results.runs)}; shaded row: interquartile mean of all; {line}."
        + (" Arrows: beyond the end of the axis." if is_outside else ""),
        *aggregates.scale_note(results, shared, complete),
        *drawing.runs_note(results.curves, results.runs),
    ]
    return drawing.finish_figure(figure, drawing.legend_entries(results.legend), notes)


def _score_limits(intervals: Iterable[Interval]) -> tuple[float, float]:
    """Returns the ends of the axis, which holds 0, 1 and the intervals that are not far away."""
    bounds = [float(x) for i in intervals for x in (i.low, i.estimate, i.high)]
    bounds = [0.0, 1.0, *filter(math.isfinite, bounds)]
    return max(min(bounds), aggregates.MIN_SCORE), min(max(bounds), aggregates.MAX_SCORE)


def _is_within(interval: Interval, ends: tuple[float, float]) -> bool:
    return bool(ends[0] <= interval.estimate <= ends[1])


def _draw_score_dot(
    panel: Axes, y: float, interval: Interval, style: Style, ends: tuple[float, float]
) -> None:
    """Draws an estimate with its interval; one beyond the axis as an arrow at its end."""
    estimate = float(interval.estimate)
    if _is_within(interval, ends):
        drawing.draw_interval_dot(panel, y, interval, style)
        return
    end, arrow = (ends[0], "<") if estimate < ends[0] else (ends[1], ">")
    panel.plot([end], [y], arrow, color=style.colour, zorder=4)
