"""What a figure shows, for tests of figures."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis.drawing import panels


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
    """Which of the legend, the notes and the panels overlap or are cut off."""
    with panels.paper():
        figure.draw_without_rendering()
        apart = [artist.get_window_extent() for artist in [*figure.legends, *figure.texts]]
        boxes = apart + [axes.get_tightbbox() for axes in figure.axes]
    inside, found = figure.bbox, []
    for place, box in enumerate(boxes):
        out = min(box.x0, box.y0) < -1 or box.x1 > inside.x1 + 1 or box.y1 > inside.y1 + 1
        if out:
            found.append(f"{place} is cut off")
        for other_place, other in enumerate(boxes[:place]):
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            along = min(box.y1, other.y1) - max(box.y0, other.y0)
            if across > 1 and along > 1:
                found.append(f"{place} overlaps {other_place}")
    return found
