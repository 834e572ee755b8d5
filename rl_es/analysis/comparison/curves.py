"""Learning curves of the base (solid) and of the others (dashed), a row per label."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import alignment
from rl_es.analysis.comparison.colours import colour
from rl_es.analysis.comparison.matching import Folder, Match
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.drawing import lines, marks, notes, panels
from rl_es.analysis.drawing.options import Options
from rl_es.analysis.drawing.palette import BLACK, DASHDOT, DASHED, DOTTED, LONG, MARKERS, Style
from rl_es.analysis.statistics import CONFIDENCE

DASHES = (DASHED, DOTTED, DASHDOT, LONG)
COLUMNS = 5  # environments per figure


def draw(comparison: Comparison, options: Options) -> Figure:
    """A column per environment, a row per label: mean return against environment steps."""
    labels = list(dict.fromkeys(match.base for match in comparison.matched))
    environments = comparison.environments
    single = False
    with panels.paper():
        counts = [len(environments)] * len(labels)
        figure, rows = panels.rows(options.sheet, counts, 2.0, 1.45)
        for label, row in zip(labels, rows, strict=True):
            for env, panel in zip(environments, row, strict=True):
                matched = [m for m in comparison.matched if (m.env, m.base) == (env, label)]
                if not matched:
                    panel.set_axis_off()
                    continue
                single |= _panel(panel, comparison, matched, options.replicates)
                panel.set_title(env if row is rows[0] else "")
                if panels.first_of_row(panel):
                    panel.set_ylabel(label)
                if row is not rows[-1]:
                    panel.set_xlabel("")
        return panels.finish(figure, _entries(comparison), _notes(comparison, options, single))


def _panel(panel: Axes, comparison: Comparison, matched: list[Match], replicates: int) -> bool:
    """Draws the curves that are compared; returns whether single seeds are drawn as well."""
    first = matched[0]
    sides = [(comparison.base, first.base), *((match.other, match.label) for match in matched)]
    ends = [_furthest(folder, first.env, label) for folder, label in sides]
    single = False
    for folder, label in sides:
        curves, runs = folder.results.curves, folder.results.runs
        own = runs[(runs["env"] == first.env) & (runs["label"] == label)]
        place = comparison.folders.index(folder)
        style = _style(comparison, first.base, place)
        found = alignment.of_runs(curves, own, curves["env_steps"])
        offset = (place + 0.5) / len(comparison.folders)
        marks.mean_and_band(panel, found, style, offset, replicates, folder.name)
        single |= marks.single_runs(panel, found, style, max(ends))
    runs = comparison.base.results.runs
    marks.dress(panel, "", runs[(runs["env"] == first.env) & (runs["label"] == first.base)])
    lines.abscissa(panel, max(ends), lines.STEPS)
    return single


def _furthest(folder: Folder, env: str, label: str) -> float:
    curves = folder.results.curves
    own = curves[(curves["env"] == env) & (curves["label"] == label)]
    return float(np.nan_to_num(own["env_steps"].max()))


def _style(comparison: Comparison, label: str, place: int) -> Style:
    """In the label's own colour; with several others, in that of the folder."""
    known = comparison.base.results.styles[label].colour
    return _dashed(known if len(comparison.folders) == 2 else colour(place), place)


def _dashed(shown: str, place: int) -> Style:
    line = "-" if place == 0 else DASHES[(place - 1) % len(DASHES)]
    return Style(shown, line, MARKERS[place % len(MARKERS)])


def _entries(comparison: Comparison) -> list[tuple[Artist, str]]:
    found = []
    for place, folder in enumerate(comparison.folders):
        shown = BLACK if len(comparison.folders) == 2 else colour(place)
        found.append((marks.handle(_dashed(shown, place)), folder.name))
    runs = comparison.base.results.runs
    return found + marks.threshold_entry(runs[runs["env"].isin(comparison.environments)])


def _notes(comparison: Comparison, options: Options, single: bool) -> list[str]:
    renamed = {m.shown for m in comparison.matched if m.base != m.label}
    held = f" Rows are named by the base: {'; '.join(sorted(renamed))}." if renamed else ""
    return [
        f"Lines: mean {notes.EVALUATED}, {comparison.counted()}; shaded: "
        f"{CONFIDENCE:.0%} bootstrap interval over seeds ({options.replicates:,} replicates)."
        f"{notes.THIN if single else ''}{held}"
    ]
