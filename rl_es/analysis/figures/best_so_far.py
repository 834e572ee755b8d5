"""The best return so far against environment steps; for losses the lowest loss so far."""

from matplotlib.figure import Figure

from rl_es.analysis import alignment
from rl_es.analysis.drawing import lines, marks, notes, panels
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.results import Results


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A panel per environment: the mean over seeds of each seed's best so far."""
    curves, runs, shown = results.curves, results.runs, results.shown
    best, steps, single = alignment.best_so_far(curves), curves["env_steps"], False
    with panels.paper():
        figure, axes = panels.grid(options.sheet, len(results.environments), 2.5, 1.9)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            loss = alignment.are_losses(curves[curves["env"] == env])
            value = -best if loss else best
            single |= lines.means(panel, curves, here, steps, shown, options.replicates, value)
            marks.dress(panel, env, here, loss=loss)
            lines.abscissa(panel, lines.furthest(curves, here, steps), lines.STEPS)
            panel.set_ylabel("lowest loss so far" if loss else "best return so far")
        under = [*notes.on_best(runs, options.replicates, single), *notes.on_runs(curves, runs)]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return panels.finish(figure, entries, under)
