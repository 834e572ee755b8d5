"""Kinds of figures: which subjects each draws, its caption, and its files.

A `FigureKind` draws from a `FigureSource`: tables about some subjects, such as environments or
workloads. `write_figures` writes each figure in every format, numbered, and removes the files that
an earlier call left and this one does not write. `FigureOptions` are the choices that are not in
the tables, the same for every kind.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from rl_es.analysis.drawing.captions import BOOTSTRAP, Caption, fingerprint
from rl_es.analysis.drawing.layout import AUTO_SHEET, Sheet, encode_figure
from rl_es.analysis.statistics import REPLICATES
from rl_es.results.files import write_bytes

MAX_PANELS = 12  # subjects per figure; more make further figures
MAX_ROWS = 4  # where a subject takes a row
ALL_SUBJECTS = 1000  # where all subjects belong into one figure
DEFAULT_FORMATS = ("png", "svg")


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
    """

    sheet: Sheet = AUTO_SHEET
    replicates: int = REPLICATES
    low: str = "untrained"
    high: str | None = None
    reference: str | None = None
    published_file: Path | None = None


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
        enough.
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
        figure = self.draw(part, options)
        fits = figure.get_size_inches()[1] <= (options.sheet.height or math.inf)
        if not fits and len(subjects) > 1 and self.max_subjects < ALL_SUBJECTS:
            half = (len(subjects) + 1) // 2
            for part in (subjects[:half], subjects[half:]):
                yield from self._draw_fitting(source, part, options)
        else:
            yield CaptionedFigure(figure, self._caption(part, options))

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
    sheet = "" if options.sheet == AUTO_SHEET else f"_{options.sheet.name}"
    for kind in kinds:
        for number, item in enumerate(kind.figures(source, options), start=1):
            stem = f"{kind.name}{sheet}" + (f"_{number}" if number > 1 else "")
            for suffix in formats:
                paths.append(folder / f"{stem}.{suffix}")
                write_bytes(paths[-1], encode_figure(item.figure, suffix, item.caption))
    names = "|".join(kind.name for kind in (kinds if previous is None else previous))
    pattern = re.compile(rf"({names}){sheet}(_\d+)?\.({'|'.join(formats)})")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name) and path not in paths:
            path.unlink()
    return paths
