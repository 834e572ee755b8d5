"""Return against environment steps, and against wall-clock time: means over seeds with bands."""

import pandas as pd
from matplotlib.figure import Figure

from rl_es.analysis import alignment
from rl_es.analysis.drawing import lines, marks, notes, panels
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.results import Results


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A panel per environment: return against environment steps."""
    return _against(results, results.curves["env_steps"], lines.STEPS, options, ())


def draw_over_time(results: Results, options: Options = USUAL) -> Figure:
    """A panel per environment: return against wall-clock time per run, without compilation."""
    seconds = alignment.per_run_seconds(results.curves)
    unit, size = lines.unit_of_time(seconds.max())
    name = f"wall-clock time per run ({unit})"
    return _against(results, seconds / size, name, options, notes.on_time(results.curves))


def _against(
    results: Results, x: pd.Series, name: str, options: Options, said: tuple[str, ...]
) -> Figure:
    curves, runs, shown = results.curves, results.runs, results.shown
    single = False
    with panels.paper():
        figure, axes = panels.grid(options.sheet, len(results.environments), 2.35, 1.8)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            single |= lines.means(panel, curves, here, x, shown, options.replicates)
            marks.dress(panel, env, here)
            lines.abscissa(panel, lines.furthest(curves, here, x), name)
            if panels.first_of_row(panel):
                panel.set_ylabel("return")
        band = notes.on_bands(runs, options.replicates, single)
        under = [*band, *said, *notes.on_runs(curves, runs)]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return panels.finish(figure, entries, under)
