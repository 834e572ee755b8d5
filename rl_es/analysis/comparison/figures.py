"""The figures of a comparison: learning curves of all folders, and a forest plot of differences.

Learning curves of the base are solid, those of the others dashed, in a row per label. Differences
tell how much better the others are, on the normalised scale. With more than two folders each has a
colour.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import drawing
from rl_es.analysis.comparison.findings import BETTER, SAME, UNKNOWN, WORSE, Finding, Match, runs_of
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.curves import curves_of_runs
from rl_es.analysis.drawing import DEFAULT_OPTIONS, FigureKind, FigureOptions
from rl_es.analysis.statistics import CONFIDENCE
from rl_es.config import BLACK, COLOURS, MARKERS, Style

CANDIDATE_COLOURS = tuple(colour for colour in COLOURS if colour != BLACK)
DASHES = ("dashed", "dotted", "dashdot", "long")
COLUMNS = 5  # environments per figure
TOTAL = "all environments"
SHAPES = {BETTER: ">", WORSE: "<", SAME: "s", UNKNOWN: "o"}
SOLID = (BETTER, WORSE)  # filled markers: a difference was found
SPREAD = 0.7  # the share of a row that several candidates take


def folder_colour(index: int) -> str:
    """Returns the colour of a folder by its index; the base, which is the first, is black."""
    return CANDIDATE_COLOURS[(index - 1) % len(CANDIDATE_COLOURS)] if index else BLACK


@drawing.paper_style()
def draw_curves(comparison: Comparison, options: FigureOptions) -> Figure:
    """Draws mean return against environment steps: a column per environment, a row per label."""
    labels = list(dict.fromkeys(match.base_label for match in comparison.matches))
    environments = comparison.environments
    has_single = False
    counts = [len(environments)] * len(labels)
    figure, rows = drawing.panel_rows(options.sheet, counts, 2.0, 1.45)
    for label, row in zip(labels, rows, strict=True):
        for env, panel in zip(environments, row, strict=True):
            matches = [m for m in comparison.matches if (m.env, m.base_label) == (env, label)]
            if not matches:
                panel.set_axis_off()
                continue
            has_single |= _draw_panel(panel, comparison, matches, options.replicates)
            panel.set_title(env if row is rows[0] else "")
            if drawing.is_first_in_row(panel):
                panel.set_ylabel(label)
            if row is not rows[-1]:
                panel.set_xlabel("")
    runs = comparison.base.results.runs
    entries = [
        (drawing.legend_handle(_style(comparison, BLACK, index)), folder.name)
        for index, folder in enumerate(comparison.folders)
    ]
    entries += drawing.threshold_entries(runs[runs["env"].isin(environments)])
    note = _curve_note(comparison, options, has_single)
    return drawing.finish_figure(figure, entries, [note])


def _draw_panel(
    panel: Axes, comparison: Comparison, matches: Sequence[Match], replicates: int
) -> bool:
    """Draws the curves that are compared; returns True if single seeds are drawn as well."""
    env, label = matches[0].env, matches[0].base_label
    sides = [matches[0].sides[0], *(match.sides[1] for match in matches)]
    ends = [runs_of(f.results.curves, env, name)["env_steps"].max() for f, name in sides]
    end = max(float(np.nan_to_num(steps)) for steps in ends)
    colour = comparison.base.results.styles[label].colour
    has_single = False
    for folder, name in sides:
        points, index = folder.results.curves, comparison.folders.index(folder)
        runs, style = runs_of(folder.results.runs, env, name), _style(comparison, colour, index)
        curves = curves_of_runs(points, runs, points["env_steps"])
        offset = (index + 0.5) / len(comparison.folders)
        drawing.draw_mean(panel, curves, style, offset, replicates, folder.name)
        has_single |= drawing.draw_single_runs(panel, curves, style, end)
    drawing.format_panel(panel, "", runs_of(comparison.base.results.runs, env, label))
    drawing.format_x_axis(panel, end, drawing.STEPS_LABEL)
    return has_single


def _style(comparison: Comparison, colour: str, index: int) -> Style:
    """Returns the style of a folder's curves: of this colour, or of its own among several."""
    ink = colour if len(comparison.folders) == 2 else folder_colour(index)
    line = DASHES[(index - 1) % len(DASHES)] if index else "solid"
    return Style(ink, line, MARKERS[index % len(MARKERS)])


def _curve_note(comparison: Comparison, options: FigureOptions, has_single: bool) -> str:
    names = {m.name for m in comparison.matches if m.base_label != m.label}
    remark = f" Rows are named by the base: {'; '.join(sorted(names))}." if names else ""
    return (
        f"Lines: mean {drawing.EVALUATION_RETURN}, {comparison.sample_note()}; shaded: "
        f"{CONFIDENCE:.0%} bootstrap interval over seeds ({options.replicates:,} replicates)."
        f"{drawing.SINGLE_SEEDS_NOTE if has_single else ''}{remark}"
    )


@drawing.paper_style()
def draw_differences(comparison: Comparison, options: FigureOptions) -> Figure:
    """Draws a panel per environment and one for all, with a row per label, on the same x axis."""
    groups = {
        env: [f for f in comparison.findings if f.match.env == env]
        for env in difference_environments(comparison)
    }
    groups |= {TOTAL: comparison.totals} if comparison.totals else {}
    order = list(dict.fromkeys(match.base_label for match in comparison.matches))
    positions = {f.match.name: order.index(f.match.base_label) for f in comparison.findings}
    labels = sorted(positions, key=lambda label: positions[label])
    colours = _candidate_colours(comparison)
    places = np.arange(len(colours)) - (len(colours) - 1) / 2
    shifts = dict(zip(colours, places * SPREAD / len(colours), strict=True))
    names = drawing.row_names(options.sheet, labels)
    row = 0.19 + 0.11 * (len(colours) - 1)
    size = 2.1, names.panel_height(row, frame=0.55), names.left
    figure, axes = drawing.panel_grid(options.sheet, len(groups), *size, stretch=False)
    for panel, (title, findings) in zip(axes, groups.items(), strict=True):
        for finding in findings:
            name = finding.match.candidate.name
            height = labels.index(finding.match.name) + shifts[name]
            _draw_finding(panel, finding, height, colours[name])
        panel.set_title(title)
        names.label(panel)
    _format_axes(axes, comparison.margin)
    verdicts = {finding.verdict for finding in (*comparison.findings, *comparison.totals)}
    entries: list[tuple[Artist, str]] = [
        (Line2D([], [], **_marker(verdict, drawing.INK)), verdict)
        for verdict in SHAPES
        if verdict in verdicts
    ]
    if len(colours) > 1:
        entries += [(Line2D([], [], color=ink), name) for name, ink in colours.items()]
    return drawing.finish_figure(figure, entries, _difference_notes(comparison))


def difference_environments(
    comparison: Comparison, options: FigureOptions = DEFAULT_OPTIONS
) -> list[str]:
    """Returns the environments that have a difference on the normalised scale."""
    finite = {f.match.env for f in comparison.findings if np.isfinite(f.normalised_gain.estimate)}
    return [env for env in comparison.environments if env in finite]


def _candidate_colours(comparison: Comparison) -> Mapping[str, str]:
    """Returns the colour of each candidate by its name."""
    names = [folder.name for folder in comparison.candidates]
    if len(names) == 1:
        return {names[0]: drawing.INK}
    return {name: folder_colour(index) for index, name in enumerate(names, start=1)}


def _draw_finding(panel: Axes, finding: Finding, height: float, ink: str) -> None:
    gain = finding.normalised_gain
    if not np.isfinite(gain.estimate):
        drawing.write_row_note(panel, height)
        return
    panel.plot([gain.low, gain.high], [height, height], color=ink, linewidth=1.0, zorder=3)
    panel.plot([gain.estimate], [height], color=ink, zorder=4, **_marker(finding.verdict, ink))


def _marker(verdict: str, ink: str) -> dict[str, Any]:
    return dict(
        marker=SHAPES[verdict],
        linestyle="none",
        markersize=4.5,
        markerfacecolor=ink if verdict in SOLID else "white",
        markeredgecolor=ink,
        markeredgewidth=0.8,
    )


def _format_axes(axes: Sequence[Axes], margin: float | None) -> None:
    """Sets the same x axis for all panels, with a line at 0 and the margin shaded."""
    for panel in axes:
        panel.autoscale_view()
    limits = np.array([panel.get_xlim() for panel in axes])
    low, high = float(limits[:, 0].min()), float(limits[:, 1].max())
    for panel in axes:
        panel.axvline(0, color="#555555", linewidth=0.7, zorder=2)
        if margin is not None:
            panel.axvspan(-margin, margin, color="#000000", alpha=0.07, lw=0)
        panel.set_xlim(min(low, 0), max(high, 0))
        drawing.set_short_ticks(panel.xaxis, 5)
        panel.set_xlabel("normalised difference")


def _difference_notes(comparison: Comparison) -> list[str]:
    metric, names = comparison.metric, [f"‘{folder.name}’" for folder in comparison.folders]
    scale = comparison.scale.description
    if metric.lower:
        scale = "in shares of the base's mean, less time to the right"
    margin = "" if comparison.margin is None else " Shaded: the margin."
    order = " In a row, others from above as in the legend." if len(names) > 2 else ""
    return [
        f"How much better {' and '.join(names[1:])} than {names[0]} in {metric.title} ({scale}), "
        f"{comparison.sample_note()}; lines: {CONFIDENCE:.0%} bootstrap interval "
        f"({comparison.replicates:,} replicates). All environments: interquartile mean. "
        f"Filled: p < 0.05, adjusted for {len(comparison.findings)} comparisons.{margin}{order}",
        *(f"Not in it: {line}." for line in comparison.lost_runs),
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
