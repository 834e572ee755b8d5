"""Tables of a page as data: each cell has its text, and the number that it is sorted by."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rl_es.analysis import digits
from rl_es.analysis.digits import DASH


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: what is shown, not escaped.
      key: what a number is sorted by; NaN for a number that is not known, None for text.
      strong: whether it is printed in bold.
      span: lower end, middle and upper end of an interval as shares of the scale of its group.
    """

    text: str
    key: float | None = None
    strong: bool = False
    span: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Table:
    """A table: its column heads, and its rows of cells."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers only."""
        columns = range(len(self.heads)) if self.rows else ()
        return tuple(all(row[place].key is not None for row in self.rows) for place in columns)


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """A table from any sequences."""
    return Table(tuple(heads), tuple(tuple(row) for row in rows))


def words(value: object, strong: bool = False) -> Cell:
    """A cell of text; empty for None and NaN."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return Cell("" if missing else str(value), strong=strong)


def number(value: Any, strong: bool = False) -> Cell:
    """A number, as `digits.number` writes it."""
    known = _known(value)
    return Cell(digits.number(known), _key(known), strong)


def count(value: Any) -> Cell:
    """A whole number; a dash for none."""
    known = _known(value)
    return Cell(DASH if known is None else f"{known:,.0f}", _key(known))


def steps(value: Any) -> Cell:
    """A large whole number, in three digits and a unit: '1.51M', '98.9k'."""
    known = _known(value)
    if known is not None and math.isinf(known):
        return Cell("∞", known)
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        # What rounds up to the next unit is written in it.
        if known is not None and known >= size * 0.9995:
            return Cell(f"{known / size:#.3g}".rstrip(".") + unit, known)
    return count(value)


def share(rate: Any, low: Any, high: Any) -> Cell:
    """A share with its interval, to two decimals."""
    known = _known(rate)
    if known is None:
        return Cell(DASH, math.nan)
    return Cell(f"{known:.2f} [{low:.2f}, {high:.2f}]", known)


def interval(low: Any, high: Any) -> Cell:
    """An interval, sorted by its lower end."""
    bounds = _known(low), _known(high)
    if bounds[0] is None or bounds[1] is None:
        return Cell(DASH, math.nan)
    return Cell(f"[{digits.number(bounds[0])}, {digits.number(bounds[1])}]", bounds[0])


def _known(value: Any) -> float | None:
    """The number; None for NaN and for what pandas has instead of it."""
    try:
        known = float(value)
    except TypeError:
        return None
    return None if math.isnan(known) else known


def _key(known: float | None) -> float:
    return math.nan if known is None else known
