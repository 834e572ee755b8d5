"""Kinds of figures: which subjects each draws, its caption, and its files.

A `FigureKind` draws from a `FigureSource`: tables about some subjects, such as environments or
workloads. `write_figures` writes each figure in every format, numbered, and removes the files that
an earlier call left and this one does not write. `FigureOptions` are the choices that are not in
the tables, the same for every kind.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from rl_es.analysis.drawing.captions import BOOTSTRAP, Caption, fingerprint
from rl_es.analysis.drawing.layout import NotebookFigure, draw_legend, encode_figure
from rl_es.analysis.drawing.sheets import AUTO_SHEET, Sheet, user_style
from rl_es.analysis.formatting import escape_latex
from rl_es.analysis.statistics import REPLICATES
from rl_es.errors import UserError
from rl_es.results.figure_settings import FigureSettings
from rl_es.results.files import write_bytes, write_text

P = TypeVar("P")

MAX_PANELS = 12  # subjects per figure; more make further figures
MAX_ROWS = 4  # where a subject takes a row
ALL_SUBJECTS = 1000  # where all subjects belong into one figure
DEFAULT_FORMATS = ("png", "svg")
CAPTION_SUFFIXES = ("txt", "tex")
LEGEND = "legend"  # stem of the file of a legend that figures share


@dataclass(frozen=True)
class FigureOptions:
    """The choices that figures are drawn with.

    Attributes:
      sheet: The paper size.
      replicates: Replicates of the bootstrap.
      low: The reference that is 0 on the scale of normalised scores (`rl_es.analysis.scores`).
      high: The reference that is 1; None for the usual one.
      reference: The label that others are compared with; None for the kind's own choice.
      published_file: A CSV file of published results, which a figure shows beside its own.
      settings: How figures are adapted; `rl_es.analysis.adaptation` applies it to the data.
      panels: The panels that are drawn, by position, of a kind that draws all subjects in one
        figure; None for all.
    """

    sheet: Sheet = AUTO_SHEET
    replicates: int = REPLICATES
    low: str = "untrained"
    high: str | None = None
    reference: str | None = None
    published_file: Path | None = None
    settings: FigureSettings = field(default_factory=FigureSettings)
    panels: range | None = None

    def select_panels(self, panels: Iterable[P]) -> list[P]:
        """Returns those of all panels that are drawn in one figure."""
        return [panel for i, panel in enumerate(panels) if self.panels is None or i in self.panels]

    def of_kind(self, name: str) -> "FigureOptions":
        """Returns the options with the title, the limits and the scale of a kind of figure."""
        titles = {str(kind): text for kind, text in self.settings.titles.items()}
        limits = {str(kind): ends for kind, ends in self.settings.x_limits.items()}
        scales = {str(kind): scale for kind, scale in self.settings.x_scales.items()}
        sheet = replace(
            self.sheet,
            title=titles.get(name, ""),
            x_limits=limits.get(name),
            log_x=scales.get(name) == "log",
        )
        return replace(self, sheet=sheet)

    @property
    def style(self) -> Path | None:
        """The user's style file."""
        return None if self.settings.style is None else Path(self.settings.style)


DEFAULT_OPTIONS = FigureOptions()


class FigureSource(Protocol):
    """The data that figures are drawn from: tables about some subjects."""

    def within(self, subjects: Sequence[Any], /) -> Self:
        """Returns the data of some of the subjects alone."""
        ...

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Returns all rows, by a table's name."""
        ...

    def sample_note(self) -> str:
        """Returns how many runs means and intervals are of: 'n = 5 seeds'."""
        ...


T = TypeVar("T", bound=FigureSource)


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure and its caption."""

    figure: Figure
    caption: Caption


@dataclass(frozen=True)
class FigureKind(Generic[T]):
    """A kind of figure.

    Attributes:
      name: Stem of its files.
      caption: What it shows, for the pages that it stands in.
      draw: Draws the figure of all subjects of a source.
      subjects: Returns the subjects that have what the figure needs, with these options.
      needs: What that is, in words.
      max_subjects: Subjects per figure; more make further figures, as do sheets that are not high
        enough. A kind with `ALL_SUBJECTS` divides its panels instead (`options.select_panels`).
      interval: Kind of interval that it draws; empty where it draws none.
      in_report: Tells whether the report of a source has it.
    """

    name: str
    caption: str
    draw: Callable[[T, FigureOptions], Figure]
    subjects: Callable[[T, FigureOptions], Sequence[Any]]
    needs: str = "results"
    max_subjects: int = MAX_PANELS
    interval: str = BOOTSTRAP
    in_report: Callable[[T], bool] = lambda source: True

    def figures(
        self, source: T, options: FigureOptions = DEFAULT_OPTIONS
    ) -> Iterator[CaptionedFigure]:
        """Yields the figures of all subjects; none where there is no subject."""
        subjects = self.subjects(source, options)
        for start in range(0, len(subjects), self.max_subjects):
            part = subjects[start : start + self.max_subjects]
            yield from self._draw_fitting(source, part, options)

    def _draw_fitting(
        self, source: T, subjects: Sequence[Any], options: FigureOptions
    ) -> Iterator[CaptionedFigure]:
        """Yields one figure, or several where it would be higher than the sheet."""
        part = source.within(subjects)
        figure = self.draw_figure(part, options)
        fits = figure.get_size_inches()[1] <= (options.sheet.height or math.inf)
        if not fits and len(subjects) > 1 and self.max_subjects < ALL_SUBJECTS:
            half = (len(subjects) + 1) // 2
            for part in (subjects[:half], subjects[half:]):
                yield from self._draw_fitting(source, part, options)
        elif not fits and len(figure.axes) > 1 and self.max_subjects == ALL_SUBJECTS:
            panels = options.panels or range(len(figure.axes))
            half = (len(panels) + 1) // 2
            for share in (panels[:half], panels[half:]):
                yield from self._draw_fitting(source, subjects, replace(options, panels=share))
        else:
            figure = figure if fits else self._shrink(figure, part, options)
            yield CaptionedFigure(figure, self._caption(part, options))

    def _shrink(self, figure: Figure, source: T, options: FigureOptions) -> Figure:
        """Returns a figure that cannot be divided, as high as the sheet if its panels allow it."""
        sheet = replace(options.sheet, exact_height=options.sheet.height)
        try:
            return self.draw_figure(source, replace(options, sheet=sheet))
        except UserError:  # no room for the panels
            return figure

    def draw_figure(self, source: T, options: FigureOptions) -> Figure:
        """Draws the figure of all subjects of a source, in the user's style where there is one."""
        with user_style(options.style):
            return self.draw(source, options.of_kind(self.name))

    def _caption(self, part: T, options: FigureOptions) -> Caption:
        return Caption(
            figure=self.name,
            title=self.caption,
            n=part.sample_note(),
            interval=self.interval,
            replicates=options.replicates if "bootstrap" in self.interval else None,
            input=fingerprint(part.tables()),
        )


def figure_caption(kinds: Mapping[str, FigureKind[Any]], stem: str) -> str:
    """Returns what a figure of one of these kinds shows, by its file's name without the suffix."""
    if stem == LEGEND:
        return "The legend of all figures"
    name = max((name for name in kinds if stem.startswith(name)), key=len)
    part = stem.removeprefix(name).removeprefix("_")
    return kinds[name].caption + (f", part {part}" if part else "")


def write_figures(
    folder: Path,
    kinds: Collection[FigureKind[T]],
    source: T,
    options: FigureOptions = DEFAULT_OPTIONS,
    formats: Sequence[str] = DEFAULT_FORMATS,
    previous: Collection[FigureKind[T]] | None = None,
) -> list[Path]:
    """Writes figures of some kinds, and removes earlier files that are no longer made.

    From the second figure of a kind on, names have a number; on other sheets, the sheet's name too.

    Args:
      folder: Created where it is missing.
      kinds: The kinds to draw; one without subjects in `source` has no file.
      source: The data that they are drawn from.
      options: How they are drawn.
      formats: png, svg, pdf.
      previous: The kinds whose earlier files are removed; None for `kinds`.

    Returns:
      The files, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    entries: dict[str, Artist] = {}
    size = "" if options.sheet.name == AUTO_SHEET.name else f"_{options.sheet.name}"
    for kind in kinds:
        for number, item in enumerate(kind.figures(source, options), start=1):
            stem = f"{kind.name}{size}" + (f"_{number}" if number > 1 else "")
            paths += _write_figure(folder / stem, item.figure, item.caption, options, formats)
            for handle, text in _legend_entries(item.figure):
                entries.setdefault(text, handle)
            if not options.sheet.caption:
                paths += _write_caption(folder / stem, item)
    if entries and options.settings.legend == "file":
        with user_style(options.style):
            legend = draw_legend(options.sheet, [(entries[text], text) for text in entries])
        paths += _write_figure(folder / LEGEND, legend, None, options, formats)
    names = "|".join(kind.name for kind in (kinds if previous is None else previous))
    suffixes = "|".join([*formats, *CAPTION_SUFFIXES])
    pattern = re.compile(rf"({names}){size}(_\d+)?\.({suffixes})")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name) and path not in paths:
            path.unlink()
    return paths


def _write_figure(
    stem: Path,
    figure: Figure,
    caption: Caption | None,
    options: FigureOptions,
    formats: Sequence[str],
) -> list[Path]:
    """Writes a figure in some formats; returns the files."""
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in formats]
    with user_style(options.style):
        for path, suffix in zip(paths, formats, strict=True):
            write_bytes(path, encode_figure(figure, suffix, caption))
    return paths


def _legend_entries(figure: Figure) -> Sequence[tuple[Artist, str]]:
    return figure.entries if isinstance(figure, NotebookFigure) else ()


def _write_caption(stem: Path, item: CaptionedFigure) -> list[Path]:
    """Writes the caption of a figure that has none under its panels, as text and for LaTeX."""
    notes = item.figure.notes if isinstance(item.figure, NotebookFigure) else ()
    text = " ".join([f"{item.caption.title}.", *notes])
    texts = {"txt": f"{text}\n", "tex": f"\\caption{{{escape_latex(text)}}}\n"}
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in CAPTION_SUFFIXES]
    for path, suffix in zip(paths, CAPTION_SUFFIXES, strict=True):
        write_text(path, texts[suffix])
    return paths
