"""A kind of figure: what it is drawn from, of which subjects, and its caption."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from rl_es.analysis.drawing import notes
from rl_es.analysis.drawing.captions import Caption, fingerprint
from rl_es.analysis.drawing.options import USUAL, Options

PANELS = 12  # subjects per figure; more make further figures
ROWS = 4  # where a subject takes a row
ALL = 1000  # where all subjects belong into one figure


class Source(Protocol):
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


T = TypeVar("T", bound=Source)


@dataclass(frozen=True)
class Drawn:
    """A figure and its caption."""

    figure: Figure
    caption: Caption


@dataclass(frozen=True)
class Kind(Generic[T]):
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
    draw: Callable[[T, Options], Figure]
    where: Callable[[T, Options], Sequence[Any]]
    needs: str = "results"
    most: int = PANELS
    interval: str = notes.BOOTSTRAP
    reported: Callable[[T], bool] = lambda source: True

    def figures(self, source: T, options: Options = USUAL) -> Iterator[Drawn]:
        """The figures of all subjects, at most `most` in each; none where there is no subject."""
        subjects = self.where(source, options)
        for start in range(0, len(subjects), self.most):
            yield from self._figures(source, subjects[start : start + self.most], options)

    def _figures(self, source: T, subjects: Sequence[Any], options: Options) -> Iterator[Drawn]:
        """One figure, or several where it would be higher than the sheet."""
        part = source.within(subjects)
        figure = self.draw(part, options)
        fits = figure.get_size_inches()[1] <= (options.sheet.height or math.inf)
        if not fits and len(subjects) > 1 and self.most < ALL:
            half = (len(subjects) + 1) // 2
            for some in (subjects[:half], subjects[half:]):
                yield from self._figures(source, some, options)
        else:
            yield Drawn(figure, self._caption(part, options))

    def _caption(self, part: T, options: Options) -> Caption:
        replicates = options.replicates if "bootstrap" in self.interval else None
        said = (self.name, self.caption, part.counted(), self.interval)
        return Caption(*said, replicates, fingerprint(part.tables()))


def caption(kinds: Mapping[str, Kind[Any]], stem: str) -> str:
    """What a figure of one of these kinds shows, by the name of its file without the suffix."""
    name = max((known for known in kinds if stem.startswith(known)), key=len)
    part = stem.removeprefix(name).removeprefix("_")
    return kinds[name].caption + (f", part {part}" if part else "")
