"""Final returns: a bar for the mean, its interval, and each seed as a dot."""

from matplotlib.figure import Figure

from rl_es.analysis import alignment
from rl_es.analysis.drawing import marks, notes, panels, ticks
from rl_es.analysis.drawing.names import names
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.results import Results


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A panel per environment, a bar per label."""
    curves, shown = results.curves, results.shown
    runs = results.runs.assign(final=alignment.final_returns(curves, results.runs))
    sheet = options.sheet
    with panels.paper():
        named = names(sheet, list(shown))
        size = 2.1, named.high(0.21, frame=0.55), named.left
        figure, axes = panels.grid(sheet, len(results.environments), *size, stretch=False)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            for place, (label, style) in enumerate(shown.items()):
                marks.bar(panel, place, here[here["label"] == label], style, options.replicates)
            marks.dress(panel, env, here, across=True)
            named.beside(panel)
            ticks.shorten_ticks(panel.xaxis, panels.fitting(panel, 4, 2))
            panel.set_xlabel("final return")
        under = [*notes.on_bars(runs, options.replicates), *notes.on_runs(curves, runs)]
        return panels.finish(figure, marks.threshold_entry(runs), under)
