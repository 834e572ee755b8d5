"""The frame that all figures share: a panel an environment, one legend, notes below, file formats.

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
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

STYLE = Path(__file__).with_name("paper.mplstyle")
INK = "#222222"
_GAP = 0.08  # inches, between panels, legend and notes
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextlib.contextmanager
def paper() -> Iterator[None]:
    """The suite's style, on matplotlib's own defaults instead of the user's."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc_file(STYLE)
        yield


def grid(count: int, width: float, height: float, left: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels of `width` x `height` inches in at most four columns.

    `left` inches are kept beside the first column.
    """
    columns = count if count <= 3 else math.ceil(count / math.ceil(count / 4))
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(max(3.3, left + columns * width), rows * height))
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    return figure, axes


def rows(counts: Sequence[int], width: float, height: float) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a row of so many panels, of `width` x `height` inches, for each count."""
    columns = max(counts)
    figure = Figure(figsize=(max(3.3, columns * width), len(counts) * height))
    FigureCanvasAgg(figure)
    places = figure.add_gridspec(len(counts), columns)
    axes = [
        [figure.add_subplot(places[row, column]) for column in range(count)]
        for row, count in enumerate(counts)
    ]
    return figure, axes


def first_of_row(axes: Axes) -> bool:
    """Whether a panel stands in the first column."""
    place = axes.get_subplotspec()
    return place is None or place.is_first_col()


def finish(figure: Figure, entries: Sequence[tuple[Artist, str]], notes: Sequence[str]) -> Figure:
    """Puts one legend and the notes under the panels and makes the figure that much taller."""
    width, panels = figure.get_size_inches()
    writing = [_wrapped(figure, note, width - 2 * _GAP) for note in notes]
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
    figure.set_layout_engine(
        "constrained", rect=(0, below / height, 1, panels / height), w_pad=0.06, h_pad=0.06
    )
    # Laid out once, here: a layout that each format makes anew would start from the one before.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def _legend(figure: Figure, entries: Sequence[tuple[Artist, str]], width: float) -> Legend:
    """The legend in as many columns as fit."""
    handles = [handle for handle, _ in entries]
    labels = [visible(label) for _, label in entries]
    columns = len(entries)
    while True:
        rows = math.ceil(len(entries) / columns)
        columns = math.ceil(len(entries) / rows)
        legend = figure.legend(handles, labels, loc="lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width / figure.dpi <= width:
            return legend
        legend.remove()
        columns -= 1


def visible(label: str) -> str:
    """A label that legends show: matplotlib hides one with a leading underscore."""
    return f" {label}" if label.startswith("_") else label


def _height(figure: Figure, artist: Artist) -> float:
    return artist.get_window_extent().height / figure.dpi


def _wrapped(figure: Figure, note: str, width: float) -> str:
    """Breaks a note between words so that no line is wider than `width` inches."""
    renderer, font = FigureCanvasAgg(figure).get_renderer(), FontProperties(size=6.5)

    def fits(line: str) -> bool:
        return renderer.get_text_width_height_descent(line, font, False)[0] <= width * figure.dpi

    lines = [""]
    for word in note.split():
        longer = f"{lines[-1]} {word}".strip()
        if fits(longer) or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def short(number: float, largest: float) -> str:
    """A number in the unit that suits the largest on its axis: '0.5M', '250k', '-120'."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(largest) >= size:
            scaled = number / (1e3 if unit == "k" else size)
            return f"{scaled:.6g}{unit}".replace("-", "\N{MINUS SIGN}") if number else "0"
    return f"{number:.6g}".replace("-", "\N{MINUS SIGN}")


def shorten_ticks(axis: Axis, ticks: int) -> None:
    """Few ticks, written short, all in one unit."""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))

    def label(value: float, _: int) -> str:
        return short(value, max(map(abs, axis.get_view_interval())))

    axis.set_major_formatter(FuncFormatter(label))


def log_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis whose limits are set: powers of ten if they are some apart."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    axis.set_minor_locator(NullLocator())
    if decades >= 3:
        axis.set_major_locator(LogLocator(numticks=7))
        axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    elif decades >= 1:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value, value)))
    else:
        shorten_ticks(axis, 5)


def power(number: float) -> str:
    """A power of ten, in signs that need no formula."""
    return "10" + str(round(math.log10(number))).translate(_RAISED)


def encode(figure: Figure, kind: str) -> bytes:
    """The figure's bytes as `png` (200 dpi) or `svg`, without dates: the same on every run."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None}
    with paper():
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()
