"""What a figure shows, for tests of figures."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from rl_es.analysis.drawing import layout


def texts(figure: Figure) -> str:
    """All notes under the panels, on one line."""
    return " ".join(" ".join(text.get_text().split()) for text in figure.texts)


def legend(figure: Figure) -> list[str]:
    """The legend's labels, in order."""
    return [text.get_text() for kept in figure.legends for text in kept.get_texts()]


def titles(figure: Figure) -> list[str]:
    """The titles of the panels that have one."""
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def named(axes: Axes) -> dict[str, object]:
    """The lines of a panel that carry a label's name."""
    return {str(line.get_label()): line for line in axes.lines if line.get_label()[0] != "_"}


def misplaced(figure: Figure) -> list[str]:
    """Which of the legend, the notes, the panels and their writing overlap or are cut off."""
    with layout.paper_style():
        figure.draw_without_rendering()
        named = list(_boxes(figure))
    names = [name for name, _, _ in named]
    of = np.array([panel for _, panel, _ in named])
    x0, y0, x1, y1 = np.array([box.extents for _, _, box in named]).T
    right, top = figure.bbox.extents[2:]
    out = (np.minimum(x0, y0) < -1) | (x1 > right + 1) | (y1 > top + 1)
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    along = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    frame = np.array([name.startswith("frame") for name in names])
    own = (of[:, None] == of) & (frame[:, None] | frame)  # a panel and what is written on it
    over = np.triu((across > 1) & (along > 1) & ~own, 1)
    found = [f"{names[place]} is cut off" for place in np.flatnonzero(out)]
    return found + [f"{names[i]} overlaps {names[j]}" for i, j in np.argwhere(over)]


def _boxes(figure: Figure) -> Iterator[tuple[str, int, Bbox]]:
    """(name, panel, where) of all writing and all frames; -1 for what belongs to no panel."""
    for artist in [*figure.legends, *figure.texts]:
        yield type(artist).__name__, -1, artist.get_window_extent()
    for place, axes in enumerate(figure.axes):
        if not axes.axison:
            continue
        yield f"frame {place}", place, axes.get_window_extent()
        written = [axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            written += [
                tick.label1
                for tick in axis.get_major_ticks()
                if low <= tick.get_loc() <= high and tick.label1.get_visible()
            ]
            written += [tick.label2 for tick in axis.get_major_ticks() if tick.label2.get_visible()]
        for text in written:
            if text.get_text().strip():
                yield f"'{text.get_text()}' of panel {place}", place, text.get_window_extent()
