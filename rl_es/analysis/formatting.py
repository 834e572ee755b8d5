"""Numbers as text: with as many digits as their interval supports; counts and ranges.

Tables of a page as data: each cell has its text, and the number that it is sorted by.

Small pieces of Markdown; text that comes from data is escaped, so that it stays text.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_es.analysis.statistics.intervals import Interval
from rl_es.errors import printable

DASH = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
FEWEST = 3  # significant digits
MOST = 6  # decimals
LARGE = 1e4  # a whole number from here on is rounded like any other
ROUNDING = 1e-9  # relative to a number: a narrower interval counts as without width


def format_number(value: float | None) -> str:
    """A number without an interval: four significant digits; a dash for none."""
    if value is None or math.isnan(value):
        return DASH
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".")
    return text.replace("-", MINUS)


def format_count(count: int, noun: str) -> str:
    """'1 seed', '2 seeds'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_range(values: Iterable[int]) -> str:
    """The least and the largest of some whole numbers: '3 to 5', or '3' where all are equal."""
    ordered = sorted(int(value) for value in values)
    low, high = ordered[0], ordered[-1]
    return f"{low}" if low == high else f"{low} to {high}"


def format_ranges(values: Iterable[int]) -> str:
    """Whole numbers in order, those that follow each other as a range: '0 to 4, 7'."""
    found: list[list[int]] = []
    for value in sorted({int(value) for value in values}):
        if found and value == found[-1][1] + 1:
            found[-1][1] = value
        else:
            found.append([value, value])
    return ", ".join(map(format_range, found))


def decimal_places(found: Interval) -> int:
    """The decimal places of an estimate: two significant digits of half its interval.

    They are negative where even the ones are noise, but at least three digits of the largest number
    are kept.
    """
    low, high = float(found.low), float(found.high)
    estimate = float(found.estimate)
    largest = max(abs(low), abs(high), abs(estimate))
    if math.isfinite(largest) and high - low > ROUNDING * largest:
        supported = 1 - math.floor(math.log10((high - low) / 2))
        fewest = FEWEST - 1 - math.floor(math.log10(largest))
        return min(max(supported, min(fewest, 0)), MOST)
    return format_alone(estimate if math.isfinite(estimate) else low)


def format_alone(value: float) -> int:
    """The decimal places of a number without an interval: of four digits; 0 for a whole number."""
    if not math.isfinite(value):
        return 0
    whole = abs(value - round(value)) <= ROUNDING * abs(value)
    if whole and abs(value) < LARGE:
        return 0
    return min(FEWEST - math.floor(math.log10(abs(value))), MOST)


def format_value(value: float, decimals: int) -> str:
    """A number with thousands separated; `∞` for an infinite one, and a dash for NaN."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    rounded = float(np.round(value, decimals)) + 0.0  # without a negative zero
    return f"{rounded:,.{max(decimals, 0)}f}".replace("-", MINUS)


def format_estimate(found: Interval) -> str:
    """The estimate alone, as far as its interval supports it: '475.3'."""
    return format_value(float(found.estimate), decimal_places(found))


def format_bounds(found: Interval) -> str:
    """The interval alone: '[470.1, 480.0]'; empty where there is none."""
    low, high = float(found.low), float(found.high)
    if math.isnan(low) or math.isnan(high):
        return ""
    decimals = decimal_places(found)
    return f"[{format_value(low, decimals)}, {format_value(high, decimals)}]"


def format_both(found: Interval) -> str:
    """Estimate and interval: '475.3 [470.1, 480.0]'."""
    return f"{format_estimate(found)} {format_bounds(found)}".rstrip()


def format_signed(found: Interval) -> str:
    """A difference with its interval, the estimate with its sign."""
    text = format_both(found)
    above = float(found.estimate) > 0 and bool(format_estimate(found).strip("0."))
    return f"+{text}" if above else text


def format_change(value: float) -> str:
    """A change in per cent, with its sign."""
    if math.isnan(value):
        return DASH
    shown = f"{100 * value:+,.0f}%" if abs(value) >= 0.1 else f"{100 * value:+.1f}%"
    return shown.replace("-", MINUS)


def format_p_value(value: float) -> str:
    """A p-value: three decimals, or that it is below them."""
    return DASH if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


@dataclass(frozen=True)
class TableCell:
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
    rows: tuple[tuple[TableCell, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers only."""
        columns = range(len(self.heads)) if self.rows else ()
        return tuple(all(row[place].key is not None for row in self.rows) for place in columns)


def make_table(heads: Sequence[str], rows: Iterable[Sequence[TableCell]]) -> Table:
    """A table from any sequences."""
    return Table(tuple(heads), tuple(tuple(row) for row in rows))


def text_cell(value: object, strong: bool = False) -> TableCell:
    """A cell of text; empty for None and NaN."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return TableCell("" if missing else str(value), strong=strong)


def number_cell(value: Any, strong: bool = False) -> TableCell:
    """A number, as `digits.number` writes it."""
    known = _known(value)
    return TableCell(format_number(known), _key(known), strong)


def count_cell(value: Any) -> TableCell:
    """A whole number; a dash for none."""
    known = _known(value)
    return TableCell(DASH if known is None else f"{known:,.0f}", _key(known))


def steps_cell(value: Any) -> TableCell:
    """A large whole number, in three digits and a unit: '1.51M', '98.9k'."""
    known = _known(value)
    if known is not None and math.isinf(known):
        return TableCell("∞", known)
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        # What rounds up to the next unit is written in it.
        if known is not None and known >= size * 0.9995:
            return TableCell(f"{known / size:#.3g}".rstrip(".") + unit, known)
    return count_cell(value)


def share_cell(rate: Any, low: Any, high: Any) -> TableCell:
    """A share with its interval, to two decimals."""
    known = _known(rate)
    if known is None:
        return TableCell(DASH, math.nan)
    return TableCell(f"{known:.2f} [{low:.2f}, {high:.2f}]", known)


def interval_cell(low: Any, high: Any) -> TableCell:
    """An interval, sorted by its lower end."""
    bounds = _known(low), _known(high)
    if bounds[0] is None or bounds[1] is None:
        return TableCell(DASH, math.nan)
    return TableCell(f"[{format_number(bounds[0])}, {format_number(bounds[1])}]", bounds[0])


def _known(value: Any) -> float | None:
    """The number; None for NaN and for what pandas has instead of it."""
    try:
        known = float(value)
    except TypeError:
        return None
    return None if math.isnan(known) else known


def _key(known: float | None) -> float:
    return math.nan if known is None else known


def escape_markdown(text: object) -> str:
    """Text on one line that Markdown and HTML leave as it is, inside tables as well."""
    line = printable(" ".join(str(text).split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; numbers stand to the right."""
    body = [list(row) for row in rows]
    right = [
        all(_numeric(row[column]) for row in body) and bool(body) for column in range(len(heads))
    ]
    rule = ["---:" if numbers else "---" for numbers in right]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(heads), rule, *body])


def _numeric(cell: str) -> bool:
    cell = cell.strip("*")
    return not cell or cell[0].isdecimal() or cell[0] in f"+{MINUS}{DASH}[∞"


def markdown_figure(address: str, caption: str) -> str:
    """A figure whose PNG and SVG files lie at an address without suffix."""
    return f"![{caption}]({address}.png)\n\n{caption} ([SVG]({address}.svg))."


def markdown_columns(file: str, meanings: Mapping[str, str]) -> str:
    """A section on what the columns of a file mean."""
    rows = [[f"`{name}`", meaning] for name, meaning in meanings.items()]
    return f"## Columns of {file}\n\n" + markdown_table(["column", "meaning"], rows)


def markdown_file_list(files: Mapping[str, str]) -> str:
    """A list of files, each a link, with what it holds."""
    return "\n".join(f"- [{name}]({name}): {what}" for name, what in files.items())
