"""Return against environment steps, and against wall-clock time: means over seeds with bands."""

import pandas as pd
from matplotlib.figure import Figure

from rl_es.analysis import curves as alignment
from rl_es.analysis.drawing import lines, marks, notes, panels
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import REPLICATES


def draw(results: Results, *, replicates: int = REPLICATES) -> Figure:
    """A panel an environment: return against environment steps."""
    return _against(results, results.curves["env_steps"], lines.STEPS, replicates, ())


def draw_over_time(results: Results, *, replicates: int = REPLICATES) -> Figure:
    """A panel an environment: return against wall-clock time a run, without compilation."""
    seconds = alignment.per_run_seconds(results.curves)
    unit, size = lines.unit_of_time(seconds.max())
    name = f"wall-clock time per run ({unit})"
    return _against(results, seconds / size, name, replicates, notes.on_time(results.curves))


def _against(
    results: Results, x: pd.Series, name: str, replicates: int, said: tuple[str, ...]
) -> Figure:
    curves, runs, shown = results.curves, results.runs, results.shown
    single = False
    with panels.paper():
        figure, axes = panels.grid(len(results.environments), 2.35, 1.8)
        for panel, env in zip(axes, results.environments, strict=True):
            here = runs[runs["env"] == env]
            single |= lines.means(panel, curves, here, x, shown, replicates)
            marks.dress(panel, env, here)
            lines.abscissa(panel, lines.furthest(curves, here, x), name)
            if panels.first_of_row(panel):
                panel.set_ylabel("return")
        band = notes.on_bands(runs, replicates, single)
        under = [*band, *said, *notes.on_runs(curves, runs)]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return panels.finish(figure, entries, under)
