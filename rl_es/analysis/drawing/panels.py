"""The frame that all figures share: a panel per environment, one legend, notes below, file formats.

Figures are made without pyplot and its state. The heights of legend and notes are measured, and the
panels get the rest, so that nothing overlaps or is cut off however long the names are.
"""

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from rl_es.analysis.drawing.captions import Caption, metadata
from rl_es.analysis.drawing.sheet import Sheet
from rl_es.analysis.drawing.writing import cut, inches, wrapped

STYLE = Path(__file__).with_name("paper.mplstyle")
INK = "#222222"
NARROW = 1.9  # inches: a panel of this width has no room for four long numbers on its axis
SCREEN = 110  # pixels an inch, in a notebook
_MARGIN = 0.6  # inches of a panel's share that are outside its axes
_GAP = 0.08  # inches, between panels, legend and notes


class Shown(Figure):
    """A figure that a notebook shows, although pyplot does not know it."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Its picture, and the size at which it is shown: pixels of the screen."""
        width, height = (round(SCREEN * side) for side in self.get_size_inches())
        return encode(self, "png"), {"width": width, "height": height}


@contextlib.contextmanager
def paper() -> Iterator[None]:
    """The suite's style, on matplotlib's own defaults instead of the user's."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc_file(STYLE)
        yield


def grid(
    sheet: Sheet,
    count: int,
    width: float,
    height: float,
    left: float = 0.0,
    stretch: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels that want `width` x `height` inches each.

    `left` inches are kept free beside the first column. Where the sheet decides how wide panels
    are, their height changes in proportion, if they `stretch`.
    """
    columns = sheet.columns(count, width, left)
    high = sheet.high(columns, width, height, left) if stretch else height
    down = math.ceil(count / columns)
    figure = _blank(sheet.wide(columns, width, left), down * high)
    return figure, [figure.add_subplot(down, columns, place + 1) for place in range(count)]


def rows(
    sheet: Sheet, counts: Sequence[int], width: float, height: float
) -> tuple[Figure, list[list[Axes]]]:
    """A figure in which each of `counts` is a row of so many panels of `width` x `height` inches.

    Where the sheet is not wide enough for a row, it continues in further rows.
    """
    most = max(counts)
    columns = most if sheet.width is None else sheet.columns(most, width)
    down = [math.ceil(count / columns) for count in counts]
    # Many rows have to fit on a page, so none is stretched.
    high = min(height, sheet.high(columns, width, height))
    size = sheet.wide(columns, width), sum(down) * high
    figure = _blank(*size)
    places = figure.add_gridspec(sum(down), columns)
    axes, first = [], 0
    for count, own in zip(counts, down, strict=True):
        at = [divmod(place, columns) for place in range(count)]
        axes.append([figure.add_subplot(places[first + row, column]) for row, column in at])
        first += own
    return figure, axes


def _blank(width: float, height: float) -> Figure:
    figure = Shown(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def across(axes: Axes) -> float:
    """A panel's share of the figure's width, in inches."""
    place, figure = axes.get_subplotspec(), axes.get_figure()
    columns = 1 if place is None else place.get_gridspec().ncols
    return 0.0 if figure is None else figure.get_size_inches()[0] / columns


def along(axes: Axes, height: float) -> float:
    """A panel's share of the height of all panels."""
    place = axes.get_subplotspec()
    return height / (1 if place is None else place.get_gridspec().nrows)


def fitting(axes: Axes, wide: int, narrow: int) -> int:
    """`wide`, or `narrow` for a panel that is narrow: how many of something it has room for."""
    return wide if across(axes) > NARROW else narrow


def first_of_row(axes: Axes) -> bool:
    """Whether a panel stands in the first column."""
    place = axes.get_subplotspec()
    return place is None or place.is_first_col()


def finish(figure: Figure, entries: Sequence[tuple[Artist, str]], notes: Sequence[str]) -> Figure:
    """Puts one legend and the notes under the panels and makes the figure that much taller."""
    width, panels = figure.get_size_inches()
    writing = [wrapped(note, width - 2 * _GAP, 6.5) for note in notes]
    below, text = _GAP, None
    if writing:
        text = figure.text(0, 0, "\n".join(writing), fontsize=6.5, color=INK, linespacing=1.3)
        text.set_verticalalignment("bottom")
        below += _height(figure, text) + _GAP
    legend = _legend(figure, entries, width - 2 * _GAP) if entries else None
    under_legend = below
    if legend is not None:
        below += _height(figure, legend) + _GAP
    height = panels + below
    figure.set_size_inches(width, height)
    if text is not None:
        text.set_position((_GAP / width, _GAP / height))
    if legend is not None:
        legend.set_bbox_to_anchor((0.5, under_legend / height))
    size = mpl.rcParams["axes.labelsize"]
    for axes in figure.axes:
        axes.set_xlabel(wrapped(axes.get_xlabel(), across(axes) - _MARGIN, size))
        axes.set_ylabel(wrapped(axes.get_ylabel(), along(axes, panels) - _MARGIN, size))
    figure.set_layout_engine(
        "constrained", rect=(0, below / height, 1, panels / height), w_pad=0.06, h_pad=0.06
    )
    # Laid out here once: each format would else start from the layout of the one before.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        # The layout's last digits depend on memory addresses, and SVG names clips by all digits.
        axes.set_position([round(edge, 7) for edge in axes.get_position(original=True).bounds])
    _cut_titles(figure)
    return figure


def _cut_titles(figure: Figure) -> None:
    """Cuts the titles that would reach over their panel's share of the figure, or its edge."""
    width, size = figure.get_size_inches()[0], mpl.rcParams["axes.titlesize"]
    titled = [axes for axes in figure.axes if axes.get_title()]
    middles = [width * (box.x0 + box.x1) / 2 for box in (axes.get_position() for axes in titled)]
    for axes, middle in zip(titled, middles, strict=True):
        pitch = [abs(other - middle) for other in middles if abs(other - middle) > _GAP]
        room = min([*pitch, 2 * (width - middle), 2 * middle]) - _GAP
        lines = axes.get_title().split("\n")
        axes.title.set_text("\n".join(cut(line, room, size) for line in lines))


def _legend(figure: Figure, entries: Sequence[tuple[Artist, str]], width: float) -> Legend:
    """The legend in as many columns as fit."""
    handles = [handle for handle, _ in entries]
    labels = [visible(label) for _, label in entries]
    columns = len(entries)
    while True:
        rows = math.ceil(len(entries) / columns)
        columns = math.ceil(len(entries) / rows)
        legend = figure.legend(handles, labels, loc="lower center", ncols=columns)
        beyond = legend.get_window_extent().width / figure.dpi - width
        if beyond <= 0:
            return legend
        legend.remove()
        if columns == 1:
            size = mpl.rcParams["legend.fontsize"]
            longest = max(inches(label, size) for label in labels) - beyond
            labels = [wrapped(label, longest, size) for label in labels]
        else:
            columns -= 1


def visible(label: str) -> str:
    """A label that legends show: matplotlib hides one with a leading underscore."""
    return f" {label}" if label.startswith("_") else label


def _height(figure: Figure, artist: Artist) -> float:
    return artist.get_window_extent().height / figure.dpi


def encode(figure: Figure, kind: str, caption: Caption | None = None) -> bytes:
    """The figure's bytes as `png` (200 dpi), `svg` or `pdf`: the same on every run, without dates.

    The caption is in the file's metadata (`rl_es.analysis.drawing.captions`).
    """
    buffer = io.BytesIO()
    with paper():
        figure.savefig(buffer, format=kind, metadata=metadata(caption, kind))
    return buffer.getvalue()
