"""Success against environment steps: the share of seeds that are at or above the threshold."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import alignment, shares
from rl_es.analysis.drawing import lines, marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.results import Results

PALE = 0.1  # bands of shares are wide, and lie on each other


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments that have a threshold."""
    having = set(results.runs[results.runs["threshold"].notna()]["env"])
    return [env for env in results.environments if env in having]


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A row per environment: its return, and beside it the share of seeds that succeed.

    Where returns are minus losses that span decades, the loss is drawn, on a logarithmic axis.
    """
    curves, runs, shown = results.curves, results.runs, results.shown
    losses = [alignment.over_decades(curves[curves["env"] == env]) for env in results.environments]
    environments, steps, single = results.environments, curves["env_steps"], False
    with panels.paper():
        figure, rows = panels.rows(options.sheet, [2] * len(environments), 2.6, 1.8)
        for env, loss, (left, right) in zip(environments, losses, rows, strict=True):
            here = runs[runs["env"] == env]
            value = -curves["return_mean"] if loss else None
            single |= lines.means(left, curves, here, steps, shown, options.replicates, value)
            marks.dress(left, env, here, loss=loss)
            left.set_ylabel("loss" if loss else "return")
            for place, (label, style) in enumerate(shown.items()):
                grid, share = shares.along(curves, here[here["label"] == label])
                offset = (place + 0.5) / len(shown)
                marks.band(right, grid, share, style, offset, label, PALE)
            _dress(right, env)
            for panel in (left, right):
                lines.abscissa(panel, lines.furthest(curves, here, steps), lines.STEPS)
        minus = " (loss: minus it)" if any(losses) else ""
        under = [
            *notes.on_bands(runs, options.replicates, single, notes.EVALUATED + minus),
            *notes.on_shares(),
            *notes.on_runs(curves, runs),
        ]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return panels.finish(figure, entries, under)


def _dress(panel: Axes, env: str) -> None:
    panel.set_title(env)
    panel.set_ylim(-0.03, 1.03)
    ticks.shorten_ticks(panel.yaxis, 5)
    panel.set_ylabel("success rate")
