"""The figures of a comparison: learning curves of all folders, and a forest plot of differences.

Learning curves of the base are solid, those of the others dashed, in a row per label. Differences
tell how much better the others are, on the normalised scale. With more than two folders each has a
colour.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis.comparison.findings import BETTER, SAME, UNKNOWN, WORSE, Finding
from rl_es.analysis.comparison.matching import ComparedFolder, Match, runs_of
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.curves import curves_of_runs
from rl_es.analysis.drawing import captions, layout, marks
from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS, FigureKind, FigureOptions
from rl_es.analysis.drawing.palette import (
    BLACK,
    COLOURS,
    DASHDOT,
    DASHED,
    DOTTED,
    LONG,
    MARKERS,
    Style,
)
from rl_es.analysis.statistics.intervals import CONFIDENCE

OF_OTHERS = tuple(colour for colour in COLOURS if colour != BLACK)


def colour(index: int) -> str:
    """Returns the colour of a folder by its index; the base, which is the first, is black."""
    return BLACK if index == 0 else OF_OTHERS[(index - 1) % len(OF_OTHERS)]


DASHES = (DASHED, DOTTED, DASHDOT, LONG)
COLUMNS = 5  # environments per figure


def draw_curves(comparison: Comparison, options: FigureOptions) -> Figure:
    """Draws mean return against environment steps: a column per environment, a row per label."""
    labels = list(dict.fromkeys(match.base for match in comparison.matches))
    environments = comparison.environments
    single = False
    with layout.paper_style():
        counts = [len(environments)] * len(labels)
        figure, rows = layout.panel_rows(options.sheet, counts, 2.0, 1.45)
        for label, row in zip(labels, rows, strict=True):
            for env, panel in zip(environments, row, strict=True):
                matches = [m for m in comparison.matches if (m.env, m.base) == (env, label)]
                if not matches:
                    panel.set_axis_off()
                    continue
                single |= _panel(panel, comparison, matches, options.replicates)
                panel.set_title(env if row is rows[0] else "")
                if layout.is_first_in_row(panel):
                    panel.set_ylabel(label)
                if row is not rows[-1]:
                    panel.set_xlabel("")
        return layout.finish_figure(
            figure, _curve_entries(comparison), _curve_notes(comparison, options, single)
        )


def _panel(panel: Axes, comparison: Comparison, matches: list[Match], replicates: int) -> bool:
    """Draws the curves that are compared; returns True if single seeds are drawn as well."""
    first = matches[0]
    sides = [(comparison.base, first.base), *((match.other, match.label) for match in matches)]
    ends = [_furthest(folder, first.env, label) for folder, label in sides]
    single = False
    for folder, label in sides:
        points = folder.results.curves
        runs = runs_of(folder.results.runs, first.env, label)
        index = comparison.folders.index(folder)
        style = _style(comparison, first.base, index)
        curves = curves_of_runs(points, runs, points["env_steps"])
        offset = (index + 0.5) / len(comparison.folders)
        marks.draw_mean(panel, curves, style, offset, replicates, folder.name)
        single |= marks.draw_single_runs(panel, curves, style, max(ends))
    marks.format_panel(panel, "", runs_of(comparison.base.results.runs, first.env, first.base))
    marks.format_x_axis(panel, max(ends), marks.STEPS_LABEL)
    return single


def _furthest(folder: ComparedFolder, env: str, label: str) -> float:
    """Returns the largest number of environment steps of a label's runs."""
    points = runs_of(folder.results.curves, env, label)
    return float(np.nan_to_num(points["env_steps"].max()))


def _style(comparison: Comparison, label: str, index: int) -> Style:
    """Returns a style in the label's colour, with several others in that of the folder."""
    of_label = comparison.base.results.styles[label].colour
    return _dashed(of_label if len(comparison.folders) == 2 else colour(index), index)


def _dashed(ink: str, index: int) -> Style:
    line = "-" if index == 0 else DASHES[(index - 1) % len(DASHES)]
    return Style(ink, line, MARKERS[index % len(MARKERS)])


def _curve_entries(comparison: Comparison) -> list[tuple[Artist, str]]:
    entries = []
    for index, folder in enumerate(comparison.folders):
        ink = BLACK if len(comparison.folders) == 2 else colour(index)
        entries.append((marks.legend_handle(_dashed(ink, index)), folder.name))
    runs = comparison.base.results.runs
    return entries + marks.threshold_entries(runs[runs["env"].isin(comparison.environments)])


def _curve_notes(comparison: Comparison, options: FigureOptions, single: bool) -> list[str]:
    renamed = {m.name for m in comparison.matches if m.base != m.label}
    remark = f" Rows are named by the base: {'; '.join(sorted(renamed))}." if renamed else ""
    return [
        f"Lines: mean {captions.EVALUATION_RETURN}, {comparison.sample_note()}; shaded: "
        f"{CONFIDENCE:.0%} bootstrap interval over seeds ({options.replicates:,} replicates)."
        f"{captions.SINGLE_SEEDS_NOTE if single else ''}{remark}"
    ]


TOTAL = "all environments"
SHAPES = {BETTER: ">", WORSE: "<", SAME: "s", UNKNOWN: "o"}
SOLID = (BETTER, WORSE)  # filled markers: a difference was found
_SPREAD = 0.7  # the share of a row that several others take


def draw_differences(comparison: Comparison, options: FigureOptions) -> Figure:
    """Draws a panel per environment and one for all, with a row per label, on the same x axis."""
    groups = [
        *(
            (env, [f for f in comparison.findings if f.env == env])
            for env in difference_environments(comparison)
        ),
        *([(TOTAL, comparison.totals)] if comparison.totals else []),
    ]
    labels = _labels(comparison)
    other_names = [folder.name for folder in comparison.other_folders]
    with layout.paper_style():
        names = layout.row_names(options.sheet, labels)
        row = 0.19 + 0.11 * (len(other_names) - 1)
        size = 2.1, names.panel_height(row, frame=0.55), names.left
        figure, axes = layout.panel_grid(options.sheet, len(groups), *size, stretch=False)
        for panel, (title, findings) in zip(axes, groups, strict=True):
            for finding in findings:
                shift = other_names.index(finding.other) - (len(other_names) - 1) / 2
                height = labels.index(finding.name) + shift * _SPREAD / len(other_names)
                _mark(panel, finding, height, _colour(other_names, finding.other))
            panel.set_title(title)
            names.label(panel)
        _axis(axes, comparison)
        return layout.finish_figure(
            figure, list(_verdict_entries(comparison)), _difference_notes(comparison)
        )


def difference_environments(
    comparison: Comparison, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """Returns the environments that have a difference on the normalised scale."""
    finite = {f.env for f in comparison.findings if np.isfinite(f.normalised.estimate)}
    return [env for env in comparison.environments if env in finite]


def _labels(comparison: Comparison) -> list[str]:
    """Returns the names of rows, in the order of the base's labels."""
    order = list(dict.fromkeys(match.base for match in comparison.matches))
    positions = {f.name: order.index(f.base_label) for f in comparison.findings}
    return sorted(positions, key=lambda label: positions[label])


def _colour(other_names: Sequence[str], other: str) -> str:
    return layout.INK if len(other_names) == 1 else colour(other_names.index(other) + 1)


def _mark(panel: Axes, finding: Finding, height: float, ink: str) -> None:
    gain = finding.normalised
    if not np.isfinite(gain.estimate):
        marks.write_row_note(panel, height)
        return
    panel.plot([gain.low, gain.high], [height, height], color=ink, linewidth=1.0, zorder=3)
    panel.plot([gain.estimate], [height], color=ink, zorder=4, **_shape(finding.verdict, ink))


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
    """Sets the same x axis for all panels, with a line at 0 and the margin shaded."""
    for panel in axes:
        panel.autoscale_view()
    limits = np.array([panel.get_xlim() for panel in axes])
    low, high = float(limits[:, 0].min()), float(limits[:, 1].max())
    for panel in axes:
        panel.axvline(0, color="#555555", linewidth=0.7, zorder=2)
        if comparison.margin is not None:
            panel.axvspan(-comparison.margin, comparison.margin, color="#000000", alpha=0.07, lw=0)
        panel.set_xlim(min(low, 0), max(high, 0))
        marks.set_short_ticks(panel.xaxis, 5)
        panel.set_xlabel("normalised difference")


def _verdict_entries(comparison: Comparison) -> Iterator[tuple[Artist, str]]:
    verdicts = {finding.verdict for finding in (*comparison.findings, *comparison.totals)}
    for verdict in SHAPES:
        if verdict in verdicts:
            yield Line2D([], [], **_shape(verdict, layout.INK)), verdict
    other_names = [folder.name for folder in comparison.other_folders]
    if len(other_names) > 1:
        for other in other_names:
            yield Line2D([], [], color=_colour(other_names, other)), other


def _difference_notes(comparison: Comparison) -> list[str]:
    base, metric = f"‘{comparison.base.name}’", comparison.metric
    other_names = " and ".join(f"‘{folder.name}’" for folder in comparison.other_folders)
    scale = comparison.scale.description
    if metric.lower:
        scale = "in shares of the base's mean, less time to the right"
    margin = "" if comparison.margin is None else " Shaded: the margin."
    order = (
        " In a row, others from above as in the legend."
        if len(comparison.other_folders) > 1
        else ""
    )
    return [
        f"How much better {other_names} than {base} in {metric.title} ({scale}), "
        f"{comparison.sample_note()}; lines: {CONFIDENCE:.0%} bootstrap interval "
        f"({comparison.replicates:,} replicates). All environments: interquartile mean. "
        f"Filled: p < 0.05, adjusted for {len(comparison.findings)} comparisons.{margin}{order}",
        *(f"Not in it: {line}." for line in comparison.lost),
    ]


DIFFERENCES, CURVES = "differences", "curves"
KINDS: dict[str, FigureKind[Comparison]] = {
    kind.name: kind
    for kind in (
        FigureKind(
            DIFFERENCES,
            "How much better the others are than the base, with intervals",
            draw_differences,
            difference_environments,
            max_subjects=11,
        ),
        FigureKind(
            CURVES,
            "Learning curves of the base and of the others",
            draw_curves,
            lambda comparison, options: comparison.environments,
            max_subjects=COLUMNS,
        ),
    )
}
