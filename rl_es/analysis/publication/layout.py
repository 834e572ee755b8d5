"""A table of results as rows and columns of marked numbers, before any markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rl_es.analysis import digits
from rl_es.analysis.publication.content import Content
from rl_es.analysis.statistics import Interval

Rows = Literal["environments", "labels"]
TOTAL = "total"


@dataclass(frozen=True)
class Entry:
    """A number in the table.

    Attributes:
      estimate: as text.
      bounds: its interval as text; empty without one.
      bold: whether it is the best.
      noted: whether some of its runs are in the footnote.
    """

    estimate: str
    bounds: str = ""
    bold: bool = False
    noted: bool = False


@dataclass(frozen=True)
class Layout:
    """Rows and columns.

    Attributes:
      corner: the head of the first column.
      heads: of the others.
      rows: the name of each and its entries.
      last: the row of totals, apart from the others; None where there is none.
    """

    corner: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Entry]]]
    last: tuple[str, Sequence[Entry]] | None = None


def layout(table: Content, rows: Rows, interval: bool) -> Layout:
    """The table with a row per environment and a last one of totals, or a row per label."""

    def entry(env: str, label: str) -> Entry:
        cell = table.cells.get((env, label))
        if cell is None:
            return Entry(digits.DASH)
        return _entry(cell.found, interval, cell.best, cell.lost > 0)

    def total(label: str) -> Entry:
        found = table.totals.get(label)
        return Entry(digits.DASH) if found is None else _entry(found, interval)

    environments, labels = table.environments, table.labels
    if rows == "environments":
        body = [(env, [entry(env, label) for label in labels]) for env in environments]
        last = (TOTAL, [total(label) for label in labels]) if table.totals else None
        return Layout("environment", labels, body, last)
    ends = [TOTAL] if table.totals else []
    body = [
        (label, [*(entry(env, label) for env in environments), *(total(label) for _ in ends)])
        for label in labels
    ]
    return Layout("label", [*environments, *ends], body)


def _entry(found: Interval, interval: bool, bold: bool = False, noted: bool = False) -> Entry:
    bounds = digits.bounds(found) if interval else ""
    return Entry(digits.estimate(found), bounds, bold, noted)
