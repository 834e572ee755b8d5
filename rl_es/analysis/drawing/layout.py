"""The frame that all figures share: a panel per environment, one legend, notes below, file formats.

Figures are made without pyplot and its state. The heights of legend and notes are measured, and the
panels get the rest, so that nothing overlaps or is cut off however long the names are.

Names beside the rows of bars: broken into lines where a sheet leaves little room for them.

The sheet that a figure is made for: how wide it is, and how many panels stand side by side.

How wide text is on paper, and text broken so that it fits.
"""

import contextlib
import functools
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend

from rl_es.analysis.drawing.captions import Caption, metadata

NARROWEST = 0.62  # of the width that a panel wants
LEAST = 3.3  # inches: the least width of a figure, for its legend and notes
_LOWEST, _TALLEST = 0.8, 1.3  # of the height that a panel wants


@dataclass(frozen=True)
class Sheet:
    """What a figure is made for; text has the same size on each.

    Attributes:
      name: of the size.
      width: inches; None for as wide as the panels want.
      height: inches that a figure may take; None for any.
    """

    name: str
    width: float | None = None
    height: float | None = None

    def columns(self, count: int, width: float, left: float = 0.0) -> int:
        """How many of `count` panels, that want `width` inches each, stand side by side.

        `left` inches are kept beside the first column.
        """
        fitting = 4 if count > 3 else count
        if self.width is not None:
            fitting = max(1, int((self.width - left) / (NARROWEST * width)))
        return math.ceil(count / math.ceil(count / fitting))

    def wide(self, columns: int, width: float, left: float = 0.0) -> float:
        """Inches of a figure of so many columns of panels that want `width` inches each."""
        return max(LEAST, left + columns * width) if self.width is None else self.width

    def high(self, columns: int, width: float, height: float, left: float = 0.0) -> float:
        """Inches of height of a panel that wants `width` x `height`: less where it is narrower."""
        if self.width is None:
            return height
        ratio = (self.width - left) / columns / width
        return height * min(max(ratio, _LOWEST), _TALLEST)


AUTO = Sheet("auto")
SIZES = {
    sheet.name: sheet for sheet in (AUTO, Sheet("column", 3.25, 9.0), Sheet("page", 6.75, 9.0))
}


_DPI = 100  # text is unhinted (paper.mplstyle): what is measured here holds at any resolution


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(10, 10, _DPI)


def text_inches(text: str, size: float) -> float:
    """The width of one line of text of `size` points, within `panels.paper`."""
    font = FontProperties(size=size)
    return _renderer().get_text_width_height_descent(text, font, False)[0] / _DPI


def wrap_text(text: str, width: float, size: float) -> str:
    """Breaks text so that no line is wider than `width` inches.

    Lines end between words, else after a sign that joins the parts of a name, else anywhere.
    """
    lines: list[str] = []
    rest = ""
    for word in text.split():
        longer = f"{rest} {word}" if rest else word
        if text_inches(longer, size) <= width:
            rest = longer
            continue
        if rest:
            lines.append(rest)
        rest = word
        while text_inches(rest, size) > width:
            end = _joint(rest, _fitting(rest, width, size))
            lines.append(rest[:end])
            rest = rest[end:]
    return "\n".join([*lines, rest])


def _joint(text: str, end: int) -> int:
    """Where a name may be broken at or before `end`: after a sign that joins its parts."""
    return max(text.rfind(sign, 0, end) for sign in "-_/=") + 1 or end


def cut_text(text: str, width: float, size: float) -> str:
    """Text cut to `width` inches, with an ellipsis where something is cut off."""
    if text_inches(text, size) <= width:
        return text
    return text[: _fitting(text, width - text_inches("…", size), size)] + "…"


def _fitting(text: str, width: float, size: float) -> int:
    """How many characters fit, at least one."""
    end = len(text)
    while end > 1 and text_inches(text[:end], size) > width:
        end -= 1
    return end


STYLE = Path(__file__).with_name("paper.mplstyle")
INK = "#222222"
NARROW = 1.9  # inches: a panel of this width has no room for four long numbers on its axis
SCREEN = 110  # pixels an inch, in a notebook
_MARGIN = 0.6  # inches of a panel's share that are outside its axes
_GAP = 0.08  # inches, between panels, legend and notes


class NotebookFigure(Figure):
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
    figure = NotebookFigure(figsize=(width, height))
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
    writing = [wrap_text(note, width - 2 * _GAP, 6.5) for note in notes]
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
        axes.set_xlabel(wrap_text(axes.get_xlabel(), across(axes) - _MARGIN, size))
        axes.set_ylabel(wrap_text(axes.get_ylabel(), along(axes, panels) - _MARGIN, size))
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
        axes.title.set_text("\n".join(cut_text(line, room, size) for line in lines))


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
            longest = max(text_inches(label, size) for label in labels) - beyond
            labels = [wrap_text(label, longest, size) for label in labels]
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


SHARE = 0.4  # of a sheet's width, at most
WIDEST = 2.2  # inches, on a sheet of any width
_LINE = 0.125  # inches, of a line of text


@dataclass(frozen=True)
class RowNames:
    """The names of rows, from the top.

    Attributes:
      written: each with its line breaks.
      left: the inches that they need beside the panels.
      lines: of text in the name that has most.
    """

    written: Sequence[str]
    left: float
    lines: int

    def high(self, row: float, frame: float) -> float:
        """Inches of height of a panel: `row` for each row, and `frame` for its title and axis."""
        return frame + max(row, self.lines * _LINE + 0.04) * len(self.written)

    def beside(self, panel: Axes) -> None:
        """Makes y an axis of rows, with their names in the first column of panels."""
        panel.grid(False, axis="y")
        panel.set_ylim(len(self.written) - 0.4, -0.6)
        shown = self.written if first_of_row(panel) else [""] * len(self.written)
        panel.set_yticks(range(len(shown)), shown)
        panel.tick_params(axis="y", length=0)


def row_names(sheet: Sheet, labels: Sequence[str]) -> RowNames:
    """The names of rows; to be called within `panels.paper`, which sets the size of text."""
    size = mpl.rcParams["ytick.labelsize"]
    most = WIDEST if sheet.width is None else SHARE * sheet.width
    written = [wrap_text(label, most, size) for label in labels]
    parts = [line for name in written for line in name.split("\n")]
    left = max((text_inches(line, size) for line in parts), default=0.0)
    return RowNames(written, left, max((name.count("\n") + 1 for name in written), default=1))
