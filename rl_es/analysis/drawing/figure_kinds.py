"""A kind of figure: what it is drawn from, of which subjects, and its caption.

Figures as files: each in every format, numbered; files of an earlier time are removed.

How figures are drawn: the choices that are not in the tables, the same for every kind.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from rl_es.analysis.drawing import captions, layout
from rl_es.analysis.drawing.captions import Caption, fingerprint
from rl_es.analysis.drawing.layout import AUTO, Sheet
from rl_es.analysis.statistics.intervals import REPLICATES
from rl_es.results.files import write_bytes


@dataclass(frozen=True)
class FigureOptions:
    """How figures are drawn.

    Attributes:
      sheet: that they are made for.
      replicates: of the bootstrap.
      low: the reference that is 0 on the scale of normalised scores (`rl_es.analysis.scores`).
      high: the one that is 1; None for the usual one.
      reference: the label that others are compared with; None for the kind's own choice.
      published: a CSV file of what others have found, which a figure shows beside its own.
    """

    sheet: Sheet = AUTO
    replicates: int = REPLICATES
    low: str = "untrained"
    high: str | None = None
    reference: str | None = None
    published: Path | None = None


DEFAULT_OPTIONS = FigureOptions()


PANELS = 12  # subjects per figure; more make further figures
ROWS = 4  # where a subject takes a row
ALL = 1000  # where all subjects belong into one figure


class FigureSource(Protocol):
    """What figures are drawn from: tables about some subjects (environments, workloads)."""

    def within(self, subjects: Sequence[Any], /) -> Self:
        """The same for some of the subjects alone."""
        ...

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """All rows, by a table's name."""
        ...

    def counted(self) -> str:
        """How many runs means and intervals are of: 'n = 5 seeds'."""
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
      name: of its files.
      caption: what it shows, for the pages that it stands in.
      draw: draws the figure of all subjects of a source.
      where: the subjects that have what the figure needs, with these options.
      needs: what that is, in words.
      most: subjects per figure; more make further figures, as do sheets that are not high enough.
      interval: the kind of interval that it draws; empty where it draws none.
      reported: whether a report has it.
    """

    name: str
    caption: str
    draw: Callable[[T, FigureOptions], Figure]
    where: Callable[[T, FigureOptions], Sequence[Any]]
    needs: str = "results"
    most: int = PANELS
    interval: str = captions.BOOTSTRAP
    reported: Callable[[T], bool] = lambda source: True

    def figures(
        self, source: T, options: FigureOptions = DEFAULT_OPTIONS
    ) -> Iterator[CaptionedFigure]:
        """The figures of all subjects, at most `most` in each; none where there is no subject."""
        subjects = self.where(source, options)
        for start in range(0, len(subjects), self.most):
            yield from self._figures(source, subjects[start : start + self.most], options)

    def _figures(
        self, source: T, subjects: Sequence[Any], options: FigureOptions
    ) -> Iterator[CaptionedFigure]:
        """One figure, or several where it would be higher than the sheet."""
        part = source.within(subjects)
        figure = self.draw(part, options)
        fits = figure.get_size_inches()[1] <= (options.sheet.height or math.inf)
        if not fits and len(subjects) > 1 and self.most < ALL:
            half = (len(subjects) + 1) // 2
            for some in (subjects[:half], subjects[half:]):
                yield from self._figures(source, some, options)
        else:
            yield CaptionedFigure(figure, self._caption(part, options))

    def _caption(self, part: T, options: FigureOptions) -> Caption:
        replicates = options.replicates if "bootstrap" in self.interval else None
        said = (self.name, self.caption, part.counted(), self.interval)
        return Caption(*said, replicates, fingerprint(part.tables()))


def figure_caption(kinds: Mapping[str, FigureKind[Any]], stem: str) -> str:
    """What a figure of one of these kinds shows, by the name of its file without the suffix."""
    name = max((known for known in kinds if stem.startswith(known)), key=len)
    part = stem.removeprefix(name).removeprefix("_")
    return kinds[name].caption + (f", part {part}" if part else "")


FORMATS = ("png", "svg")


def write_figure(folder: Path, kinds: Collection[FigureKind[T]], source: T) -> list[Path]:
    """Writes the figures that a report holds and removes those that it no longer does.

    Args:
      folder: made where it is missing.
      kinds: all that there are.
      source: what they are drawn from.

    Returns:
      The files, in order.
    """
    wanted = [kind for kind in kinds if kind.reported(source)]
    return write_figures(folder, wanted, source, removed=kinds)


def write_figures(
    folder: Path,
    kinds: Collection[FigureKind[T]],
    source: T,
    options: FigureOptions = DEFAULT_OPTIONS,
    formats: Sequence[str] = FORMATS,
    removed: Collection[FigureKind[T]] | None = None,
) -> list[Path]:
    """Writes figures of some kinds, and removes files of `removed` kinds that are no longer made.

    From the second figure of a kind on, names have a number; on other sheets, the sheet's name too.

    Args:
      folder: made where it is missing.
      kinds: those to draw; one without subjects in `source` has no file.
      source: what they are drawn from.
      options: how they are drawn.
      formats: png, svg, pdf.
      removed: kinds whose earlier files are removed; None: `kinds`.

    Returns:
      The files, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    sheet = "" if options.sheet == AUTO else f"_{options.sheet.name}"
    for kind in kinds:
        for number, drawn in enumerate(kind.figures(source, options), start=1):
            stem = f"{kind.name}{sheet}" + (f"_{number}" if number > 1 else "")
            for form in formats:
                written.append(folder / f"{stem}.{form}")
                write_bytes(written[-1], layout.encode(drawn.figure, form, drawn.caption))
    names = "|".join(kind.name for kind in (kinds if removed is None else removed))
    ours = re.compile(rf"({names}){sheet}(_\d+)?\.({'|'.join(formats)})")
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and path not in written:
            path.unlink()
    return written
