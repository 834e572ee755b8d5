"""Normalised final returns: bars for each environment and, set apart, for all of them together."""

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import scores
from rl_es.analysis.drawing import marks, notes, panels, ticks
from rl_es.analysis.drawing.names import names
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.figures import across
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import Interval, Scores, aggregate, nothing

TOTALS = {"interquartile_mean": "all: IQM", "mean": "all: mean"}


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A panel per environment and two in total, a bar per label."""
    on = across.scale(results, options)
    scored = scores.finals(results, on)
    whole = across.everywhere(results, scored, on)
    with panels.paper():
        named = names(options.sheet, list(results.shown))
        size = 2.0, named.high(0.21, frame=0.55), named.left
        count = len(on.environments) + len(TOTALS)
        figure, axes = panels.grid(options.sheet, count, *size, stretch=False)

        def bars(panel: Axes, interval: Callable[[str, Scores], Interval]) -> None:
            for place, (label, style) in enumerate(results.shown.items()):
                marks.interval_bar(panel, place, interval(label, scored[label]), style)
            named.beside(panel)
            for at in (0.0, 1.0):
                panel.axvline(at, zorder=1, **dict(marks.REFERENCE, linewidth=0.6))
            ticks.shorten_ticks(panel.xaxis, panels.fitting(panel, 4, 2))
            panel.set_xlabel("normalised return")

        for panel, (name, title) in zip(axes, TOTALS.items(), strict=False):
            bars(
                panel,
                lambda label, own, name=name: (
                    aggregate(own, name, replicates=options.replicates)
                    if label in whole
                    else nothing()
                ),
            )
            panel.set_title(title)
            marks.set_apart(panel)
        for panel, env in zip(axes[len(TOTALS) :], on.environments, strict=True):
            bars(panel, lambda _, own, env=env: _mean(own.of(env), options.replicates))
            panel.set_title(env)
        lined = notes.interval(results.runs, "black lines", options.replicates, "each")
        under = [
            f"Bars: mean normalised return of the last evaluation, {notes.counts(results.runs)}; "
            f"shaded panels: over all environments (IQM: interquartile mean); {lined}.",
            *across.said(results, on, whole),
            *notes.on_runs(results.curves, results.runs),
        ]
        return panels.finish(figure, [], under)


def _mean(own: Scores, replicates: int) -> Interval:
    return aggregate(own, "mean", replicates=replicates) if len(own.values) else nothing()
