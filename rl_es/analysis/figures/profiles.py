"""Performance profiles: the share of runs, and of environments, that score above each threshold."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import scores
from rl_es.analysis.drawing import marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.figures import across
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import average_profile, run_profile

POINTS = 151
LOWEST, HIGHEST = -1.0, 3.0  # scores further out would leave no room for all others
PALE = 0.12
KINDS = {
    "runs": (run_profile, "share of runs above", "single runs"),
    "environments": (average_profile, "share of environments above", "environments"),
}


def draw(results: Results, options: Options = USUAL) -> Figure:
    """Two panels: of single runs' scores, and of the mean scores of environments."""
    on = across.scale(results, options)
    scored = scores.finals(results, on)
    shown = across.everywhere(results, scored, on)
    values = np.concatenate([scored[label].values for label in shown] or [np.array([0.0, 1.0])])
    low = max(min(0.0, values.min()), LOWEST)
    high = min(max(1.0, values.max()), HIGHEST)
    thresholds = np.linspace(low, high, POINTS)
    with panels.paper():
        figure, axes = panels.grid(options.sheet, len(KINDS), 2.6, 1.9)
        for panel, (profile, name, title) in zip(axes, KINDS.values(), strict=True):
            for place, (label, style) in enumerate(shown.items()):
                found = profile(scored[label], thresholds, replicates=options.replicates)
                marks.band(panel, thresholds, found, style, place / len(shown), label, PALE)
            _dress(panel, low, high, name, title)
        lined = notes.interval(results.runs, "shaded", options.replicates, "each share, pointwise,")
        under = [
            f"Of the last evaluation of each run, {notes.counts(results.runs)} an environment; "
            f"{lined}.",
            *across.said(results, on, shown),
            *notes.on_runs(results.curves, results.runs, "profiles"),
        ]
        return panels.finish(figure, marks.entries(shown), under)


def _dress(panel: Axes, low: float, high: float, name: str, title: str) -> None:
    panel.set_title(title)
    panel.set_xlim(low, high)
    panel.set_ylim(-0.03, 1.03)
    ticks.shorten_ticks(panel.xaxis, panels.fitting(panel, 5, 3))
    ticks.shorten_ticks(panel.yaxis, 5)
    panel.set_xlabel("normalised return")
    panel.set_ylabel(name)
