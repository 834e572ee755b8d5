"""The frame that all figures share: panels on a sheet, one legend, notes below, file formats.

Figures are made without pyplot and its state. The heights of legend and notes are measured, and the
panels get the rest, so that nothing overlaps or is cut off however long the names are.

Text has the same size on every sheet: it is measured in inches, and broken or cut so that it fits.
Lengths are in inches, sizes of text in points.
"""

import functools
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, LogLocator

from rl_es.analysis.drawing.captions import Caption, file_metadata
from rl_es.analysis.drawing.sheets import AUTO_SHEET, Sheet, paper_style
from rl_es.analysis.formatting import format_count
from rl_es.errors import UserError

INK = "#222222"
NOTEBOOK_DPI = 110  # pixels an inch
_NARROW = 1.9  # inches: a panel of this width has no room for four long numbers on its axis
_MARGIN = 0.6  # inches of a panel's share that are outside its axes
_MIN_ROW = 0.9  # inches: a row of panels that is lower cannot be read
MAX_LEGEND_WIDTH = 6.75  # inches of a legend alone, on a sheet of any width
_MIN_LINE = 0.105  # inches: names of rows that stand closer overlap
_GAP = 0.08  # inches, between panels, legend and notes
_NOTE_SIZE = 6.5  # points
_PART = re.compile(r"[-_/=]|[a-z](?=[A-Z])")  # the end of a part of a name
_DPI = 100  # text is unhinted (paper.mplstyle): what is measured here holds at any resolution


class NotebookFigure(Figure):
    """A figure that a notebook shows, although pyplot does not know it.

    Attributes:
      sheet: The paper size that it is made for.
      entries: The entries of its legend.
      notes: The paragraphs of its caption.
    """

    sheet: Sheet = AUTO_SHEET
    entries: tuple[tuple[Artist, str], ...] = ()
    notes: tuple[str, ...] = ()

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Returns the picture, and the pixels of the screen at which it is shown."""
        width, height = (round(NOTEBOOK_DPI * side) for side in self.get_size_inches())
        return encode_figure(self, "png"), {"width": width, "height": height}


def panel_grid(
    sheet: Sheet, count: int, width: float, height: float, left: float = 0.0, stretch: bool = True
) -> tuple[Figure, list[Axes]]:
    """Makes a figure of `count` panels that want `width` x `height` inches each.

    `left` inches stay free beside the first column. Where the sheet decides how wide panels are,
    their height changes in proportion, if they `stretch`.
    """
    columns = sheet.columns(count, width, left)
    panel = sheet.panel_height(columns, width, height, left) if stretch else height
    rows = math.ceil(count / columns)
    figure = _empty_figure(sheet, sheet.figure_width(columns, width, left), rows * panel)
    return figure, [figure.add_subplot(rows, columns, index + 1) for index in range(count)]


def panel_rows(
    sheet: Sheet, counts: Sequence[int], width: float, height: float
) -> tuple[Figure, list[list[Axes]]]:
    """Makes a figure with a row of panels for each of `counts`, of `width` x `height` inches each.

    Where the sheet is not wide enough for a row, it continues in further rows.
    """
    most = max(counts)
    columns = most if sheet.width is None else sheet.columns(most, width)
    lines = [math.ceil(count / columns) for count in counts]
    # Many rows have to fit on a page, so none is stretched.
    panel = min(height, sheet.panel_height(columns, width, height))
    size = sheet.figure_width(columns, width), sum(lines) * panel
    figure = _empty_figure(sheet, *size)
    grid = figure.add_gridspec(sum(lines), columns)
    axes, first = [], 0
    for count, height_in_lines in zip(counts, lines, strict=True):
        cells = [divmod(index, columns) for index in range(count)]
        axes.append([figure.add_subplot(grid[first + row, column]) for row, column in cells])
        first += height_in_lines
    return figure, axes


def _empty_figure(sheet: Sheet, width: float, height: float) -> NotebookFigure:
    figure = NotebookFigure(figsize=(width, height))
    figure.sheet = sheet
    FigureCanvasAgg(figure)
    return figure


def panel_width(axes: Axes) -> float:
    """Returns a panel's share of the figure's width, in inches."""
    spec, figure = axes.get_subplotspec(), axes.get_figure()
    columns = 1 if spec is None else spec.get_gridspec().ncols
    return 0.0 if figure is None else figure.get_size_inches()[0] / columns


def panel_height(axes: Axes, height: float) -> float:
    """Returns a panel's share of the height of all panels."""
    spec = axes.get_subplotspec()
    return height / (1 if spec is None else spec.get_gridspec().nrows)


def count_fitting(axes: Axes, wide: int, narrow: int) -> int:
    """Returns how many of something a panel has room for: `wide`, or `narrow` if it is narrow."""
    return wide if panel_width(axes) > _NARROW else narrow


def is_first_in_row(axes: Axes) -> bool:
    """Tells whether a panel stands in the first column."""
    spec = axes.get_subplotspec()
    return spec is None or spec.is_first_col()


def finish_figure(
    figure: Figure, entries: Sequence[tuple[Artist, str]], notes: Sequence[str]
) -> Figure:
    """Adds the title, one legend and the notes, and makes the figure that much taller.

    The figure's sheet says which of them it has, and may set its height and the ends of x axes.

    Raises:
      UserError: The height that the sheet sets leaves no room for the panels.
    """
    sheet = AUTO_SHEET
    if isinstance(figure, NotebookFigure):
        sheet, figure.entries, figure.notes = figure.sheet, tuple(entries), tuple(notes)
    _set_x_limits(figure, sheet.x_limits)
    width, panels = figure.get_size_inches()
    paragraphs = [wrap_text(note, width - 2 * _GAP, _NOTE_SIZE) for note in notes]
    below, text = _GAP, None
    if paragraphs and sheet.caption:
        text = figure.text(
            0, 0, "\n".join(paragraphs), fontsize=_NOTE_SIZE, color=INK, linespacing=1.3
        )
        text.set_verticalalignment("bottom")
        below += _height(figure, text) + _GAP
    has_legend = bool(entries) and sheet.legend
    legend = _add_legend(figure, entries, width - 2 * _GAP) if has_legend else None
    legend_bottom = below
    if legend is not None:
        below += _height(figure, legend) + _GAP
    if text is None and legend is None:
        below = 0.0
    title = _add_title(figure, sheet.title, width - 2 * _GAP) if sheet.title else None
    above = 0.0 if title is None else _height(figure, title) + 2 * _GAP
    if sheet.exact_height is not None:
        panels = sheet.exact_height - below - above
        _check_room(figure, sheet.exact_height, panels)
    size = mpl.rcParams["axes.labelsize"]
    for axes in figure.axes:
        axes.set_xlabel(wrap_text(axes.get_xlabel(), panel_width(axes) - _MARGIN, size))
        axes.set_ylabel(wrap_text(axes.get_ylabel(), panel_height(axes, panels) - _MARGIN, size))

    def arrange() -> None:
        height = panels + below + above
        figure.set_size_inches(width, height)
        if text is not None:
            text.set_position((_GAP / width, _GAP / height))
        if legend is not None:
            legend.set_bbox_to_anchor((0.5, legend_bottom / height))
        if title is not None:
            title.set_position((0.5, 1 - _GAP / height))
        figure.set_layout_engine(
            "constrained", rect=(0, below / height, 1, panels / height), w_pad=0.06, h_pad=0.06
        )
        # Laid out here once: each format would else start from the layout of the one before.
        figure.draw_without_rendering()

    arrange()
    if lines := _wrap_titles(figure):
        if sheet.exact_height is None:
            panels += lines * 1.2 * mpl.rcParams["axes.titlesize"] / 72
        arrange()
    if sheet.exact_height is not None:
        _check_row_names(figure, sheet.exact_height)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        # The layout's last digits depend on memory addresses, and SVG names clips by all digits.
        axes.set_position([round(edge, 7) for edge in axes.get_position(original=True).bounds])
    _cut_titles(figure)
    return figure


def _set_x_limits(figure: Figure, limits: tuple[float, float] | None) -> None:
    """Sets the ends of all x axes; a logarithmic axis gets ticks within them."""
    if limits is None:
        return
    for axes in figure.axes:
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.set_xlim(*limits)


def _add_title(figure: Figure, title: str, width: float) -> Text:
    """Adds the title of the whole figure at its top, broken into lines of `width` inches."""
    size = mpl.rcParams["axes.titlesize"] + 1
    text = figure.text(0.5, 1, wrap_text(title, width, size), fontsize=size, color=INK)
    text.set_horizontalalignment("center")
    text.set_verticalalignment("top")
    return text


def _check_room(figure: Figure, height: float, panels: float) -> None:
    """Refuses a height that leaves rows of panels fewer inches than they need to be read."""
    lacking = _MIN_ROW - panels / _count_rows(figure)
    if lacking > 0:
        raise _height_error(figure, height, lacking)


def _check_row_names(figure: Figure, height: float) -> None:
    """Refuses a height at which the names of rows, as `RowNames` sets them, would overlap."""
    lacking = 0.0
    for axes in figure.axes:
        if isinstance(axes.yaxis.get_major_locator(), FixedLocator):
            lines = [text.get_text().count("\n") + 1 for text in axes.get_yticklabels()]
            needed = _MIN_LINE * len(lines) * max(lines, default=0)
            lacking = max(lacking, needed - axes.get_position().height * height)
    if lacking > 0:
        raise _height_error(figure, height, lacking)


def _count_rows(figure: Figure) -> int:
    specs = [axes.get_subplotspec() for axes in figure.axes]
    return max((spec.get_gridspec().nrows for spec in specs if spec is not None), default=1)


def _height_error(figure: Figure, height: float, lacking: float) -> UserError:
    """Returns the error of a height that lacks some inches for each row of panels."""
    rows = _count_rows(figure)
    least = math.ceil(10 * round(height + rows * lacking, 6)) / 10
    return UserError(
        f"a height of {height:g} inches has no room for {format_count(rows, 'row')} of panels; "
        f"set at least {least:g}, or a larger width, fewer environments, or no caption"
    )


def _title_rooms(figure: Figure) -> list[tuple[Axes, float]]:
    """Returns the panels with a title, and the inches from one neighbour or edge to the other."""
    width = figure.get_size_inches()[0]
    with_title = [axes for axes in figure.axes if axes.get_title()]
    boxes = [axes.get_position() for axes in with_title]
    centers = [width * (box.x0 + box.x1) / 2 for box in boxes]
    rooms = []
    for axes, center in zip(with_title, centers, strict=True):
        pitch = [abs(neighbour - center) for neighbour in centers if abs(neighbour - center) > _GAP]
        rooms.append((axes, min([*pitch, 2 * (width - center), 2 * center]) - _GAP))
    return rooms


def _wrap_titles(figure: Figure) -> int:
    """Breaks the titles that would reach over their panel's share; returns the lines to make room.

    These are the further lines of the longest title of each row of panels, in all rows.
    """
    size, lines_by_row = mpl.rcParams["axes.titlesize"], dict[float, int]()
    for axes, room in _title_rooms(figure):
        lines = axes.get_title().split("\n")
        wrapped_lines = [wrap_text(line, room, size) for line in lines]
        if wrapped_lines != [" ".join(line.split()) for line in lines]:
            axes.title.set_text("\n".join(wrapped_lines))
            row = round(axes.get_position().y1, 2)
            more = axes.get_title().count("\n") + 1 - len(lines)
            lines_by_row[row] = max(lines_by_row.get(row, 0), more)
    return sum(lines_by_row.values())


def _cut_titles(figure: Figure) -> None:
    """Cuts the titles that would reach over their panel's share of the figure, or its edge."""
    size = mpl.rcParams["axes.titlesize"]
    for axes, room in _title_rooms(figure):
        lines = axes.get_title().split("\n")
        axes.title.set_text("\n".join(cut_text(line, room, size) for line in lines))


def draw_legend(sheet: Sheet, entries: Sequence[tuple[Artist, str]]) -> Figure:
    """Draws a legend alone, as wide as a sheet, for figures that have none."""
    with paper_style():
        width = sheet.width or MAX_LEGEND_WIDTH
        figure = _empty_figure(sheet, width, 1.0)
        legend = _add_legend(figure, entries, width - 2 * _GAP)
        box = legend.get_window_extent()
        height = box.height / figure.dpi + 2 * _GAP
        width = sheet.width or box.width / figure.dpi + 2 * _GAP
        figure.set_size_inches(width, height)
        legend.set_bbox_to_anchor((0.5, _GAP / height))
    return figure


def _add_legend(figure: Figure, entries: Sequence[tuple[Artist, str]], width: float) -> Legend:
    """Adds the legend in as many columns as fit."""
    handles = [handle for handle, _ in entries]
    labels = [legend_label(label) for _, label in entries]
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


def legend_label(label: str) -> str:
    """Returns a label that legends show: matplotlib hides one with a leading underscore."""
    return f" {label}" if label.startswith("_") else label


def _height(figure: Figure, artist: Artist) -> float:
    return artist.get_window_extent().height / figure.dpi


def encode_figure(figure: Figure, file_format: str, caption: Caption | None = None) -> bytes:
    """Returns the figure's bytes as `png` (200 dpi), `svg` or `pdf`.

    They are the same on every run, without dates. The caption is in the file's metadata
    (`rl_es.analysis.drawing.captions`).
    """
    buffer = io.BytesIO()
    metadata = file_metadata(caption, file_format)
    with paper_style():
        figure.savefig(buffer, format=file_format, metadata=metadata)
    return buffer.getvalue()


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(10, 10, _DPI)


def text_inches(text: str, size: float) -> float:
    """Returns the width of one line of text of `size` points, within `paper_style`."""
    font = FontProperties(size=size)
    return _renderer().get_text_width_height_descent(text, font, False)[0] / _DPI


def wrap_text(text: str, width: float, size: float) -> str:
    """Breaks text so that no line is wider than `width` inches.

    Lines end between words, else after a sign that joins the parts of a name or before a capital
    within it, else anywhere.
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
            fitting = _fitting_length(rest, width, size)
            ends = [match.end() for match in _PART.finditer(rest) if match.end() <= fitting]
            end = max(ends, default=fitting)
            lines.append(rest[:end])
            rest = rest[end:]
    return "\n".join([*lines, rest])


def cut_text(text: str, width: float, size: float) -> str:
    """Cuts text to `width` inches, with an ellipsis where something is cut off."""
    if text_inches(text, size) <= width:
        return text
    return text[: _fitting_length(text, width - text_inches("…", size), size)] + "…"


def _fitting_length(text: str, width: float, size: float) -> int:
    """Returns how many characters fit, at least one."""
    end = len(text)
    while end > 1 and text_inches(text[:end], size) > width:
        end -= 1
    return end


_ROW_NAMES_SHARE = 0.4  # of a sheet's width, at most
_ROW_NAMES_WIDTH = 2.2  # inches at most, on a sheet of any width
_LINE_HEIGHT = 0.125  # inches


@dataclass(frozen=True)
class RowNames:
    """The names beside rows of bars, from the top, broken into lines where there is little room.

    Attributes:
      texts: The names with their line breaks.
      left: Inches that they need beside the panels.
      lines: Lines of text in the name that has most.
    """

    texts: Sequence[str]
    left: float
    lines: int

    def panel_height(self, row: float, frame: float) -> float:
        """Returns a panel's inches of height: `row` a row, and `frame` for its title and axis."""
        return frame + max(row, self.lines * _LINE_HEIGHT + 0.04) * len(self.texts)

    def label(self, panel: Axes, head: float = 0.0) -> None:
        """Makes y an axis of rows, with their names in the first column of panels.

        Args:
          panel: The panel.
          head: Free room above the rows, as a share of their height.
        """
        panel.grid(False, axis="y")
        panel.set_ylim(len(self.texts) - 0.4, -0.6 - head * len(self.texts))
        labels = self.texts if is_first_in_row(panel) else [""] * len(self.texts)
        panel.set_yticks(range(len(labels)), labels)
        panel.tick_params(axis="y", length=0)


def row_names(sheet: Sheet, labels: Sequence[str]) -> RowNames:
    """Returns the names of rows; call it within `paper_style`, which sets the size of text."""
    size = mpl.rcParams["ytick.labelsize"]
    most = _ROW_NAMES_WIDTH if sheet.width is None else _ROW_NAMES_SHARE * sheet.width
    texts = [wrap_text(label, most, size) for label in labels]
    lines = [line for text in texts for line in text.split("\n")]
    left = max((text_inches(line, size) for line in lines), default=0.0)
    return RowNames(texts, left, max((text.count("\n") + 1 for text in texts), default=1))
