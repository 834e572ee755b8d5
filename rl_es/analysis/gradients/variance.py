"""Variance of gradient estimates against the windows of an episode, a panel per family."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rl_es.analysis.drawing import marks, palette, panels
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.gradients.source import Gradients

FEWEST = 2  # numbers of windows that make a line


def where(gradients: Gradients, options: Options = USUAL) -> list[str]:
    """The families of environments that differ in their number of windows."""
    counts = gradients.table.groupby("family")["windows"].nunique()
    found = [family for family, count in counts.items() if count >= FEWEST]
    return sorted(found, key=palette.natural)


def draw(gradients: Gradients, options: Options = USUAL) -> Figure:
    """Relative variance of a pair's estimate against windows, on logarithmic axes."""
    inside, styles, shown = gradients.table, gradients.styles, where(gradients)
    labels = list(palette.among(styles, inside["label"]))
    with panels.paper():
        figure, axes = panels.grid(options.sheet, len(shown), 2.9, 2.3)
        for panel, family in zip(axes, shown, strict=True):
            rows = inside[inside["family"] == family]
            for label in labels:
                own = rows[rows["label"] == label].sort_values("windows")
                style = styles[label]
                look = dict(color=style.colour, linestyle=style.line, marker=style.marker)
                panel.plot(own["windows"], own["relative_variance"], **look)  # pyright: ignore
            panel.set_xscale("log")
            panel.set_yscale("log")
            ticks = sorted(set(rows["windows"]))
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            panel.xaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.yaxis.set_minor_locator(NullLocator())
            panel.set_title(family)
            panel.set_xlabel("windows of an episode")
            if panels.first_of_row(panel):
                panel.set_ylabel("relative variance of a pair")
        said = (
            "Variance of the estimate of an episode's gradient by one antithetic pair, summed over "
            "parameters, over the squared norm of the gradient; parameters held still. "
            f"Samples a point: at least {inside['samples'].min():,}."
        )
        entries = [(marks.handle(styles[label]), label) for label in labels]
        return panels.finish(figure, entries, [said])
