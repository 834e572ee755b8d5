"""Final returns: a bar for the mean, its interval, and each seed as a dot."""

from matplotlib.figure import Figure

from rl_es.analysis import curves as alignment
from rl_es.analysis.drawing import marks, notes, panels
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import REPLICATES


def draw(results: Results, *, replicates: int = REPLICATES) -> Figure:
    """A panel an environment, a bar a label."""
    curves, shown = results.curves, results.shown
    runs = results.runs.assign(final=alignment.final_returns(curves, results.runs))
    names = list(shown)
    with panels.paper():
        left = 0.055 * max(map(len, names))
        height = 0.55 + 0.21 * len(names)
        figure, axes = panels.grid(len(results.environments), 2.1, height, left)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            for place, (label, style) in enumerate(shown.items()):
                marks.bar(panel, place, here[here["label"] == label], style, replicates)
            marks.dress(panel, env, here, across=True)
            panel.grid(False, axis="y")
            panel.set_ylim(len(names) - 0.4, -0.6)
            written = names if panels.first_of_row(panel) else [""] * len(names)
            panel.set_yticks(range(len(names)), written)
            panel.tick_params(axis="y", length=0)
            panels.shorten_ticks(panel.xaxis, 4)
            panel.set_xlabel("final return")
        under = [*notes.on_bars(runs, replicates), *notes.on_runs(curves, runs)]
        return panels.finish(figure, marks.threshold_entry(runs), under)
