"""Numbers as text, and tables of cells that are written as Markdown, LaTeX or console lines.

A number has as many digits as its interval supports: two significant digits of half its width. A
`Table` is made once of typed cells and written by `to_markdown`, `to_latex` and `to_console`; the
template `html/templates/table.html` writes it as HTML. Text that comes from data is escaped by the
writer, so that it stays text.

The writers are ours. Pandas' `Styler` needs jinja2, which only the extra `report` installs, and has
no second line for the interval below an estimate; `DataFrame.to_markdown` needs tabulate and
escapes nothing. Unrounded tables are data frames, whose CSV is pandas' own (`to_csv`).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import rich.table
from rich.text import Text

from rl_es.analysis.statistics import Interval
from rl_es.errors import printable
from rl_es.terminal import plain_table

DASH = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
DAGGER = "\N{DAGGER}"
FEWEST = 3  # significant digits
MOST = 6  # decimals
LARGE = 1e4  # integers from here on are rounded like any other number
ROUNDING = 1e-9  # relative to a number: a narrower interval counts as without width


def format_number(value: float | None) -> str:
    """Returns a number without an interval in four significant digits; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return DASH
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".")
    return text.replace("-", MINUS)


def format_count(count: int, noun: str) -> str:
    """Returns a count with its noun: '1 seed', '2 seeds'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_range(values: Iterable[int]) -> str:
    """Returns the least and the largest of some integers: '3 to 5', or '3' where all are equal."""
    integers = [int(value) for value in values]
    low, high = min(integers), max(integers)
    return f"{low}" if low == high else f"{low} to {high}"


def format_ranges(values: Iterable[int]) -> str:
    """Returns integers in order, consecutive ones as a range: '0 to 4, 7'."""
    runs: list[list[int]] = []
    for value in sorted({int(value) for value in values}):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(map(format_range, runs))


def format_tick(number: float, largest: float) -> str:
    """Formats a number in the unit that suits the largest on its axis: '0.5M', '250k', '-120'."""
    if abs(largest) >= 1e13:
        return f"{number:.2g}".replace("-", MINUS)
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(largest) >= size:
            number /= 1e3 if unit == "k" else size
            return f"{number:.6g}{unit}".replace("-", MINUS) if number else "0"
    return f"{number:.6g}".replace("-", MINUS)


def decimal_places(interval: Interval) -> int:
    """Returns the decimal places of an estimate: two significant digits of half its interval.

    They are negative where even the ones are noise, but at least three digits of the largest number
    are kept.
    """
    low, high = float(interval.low), float(interval.high)
    estimate = float(interval.estimate)
    largest = max(abs(low), abs(high), abs(estimate))
    if math.isfinite(largest) and high - low > ROUNDING * largest:
        significant = 1 - math.floor(math.log10((high - low) / 2))
        fewest = FEWEST - 1 - math.floor(math.log10(largest))
        return min(max(significant, min(fewest, 0)), MOST)
    value = estimate if math.isfinite(estimate) else low
    # Without an interval: four significant digits; none after the point of an integer.
    if not math.isfinite(value):
        return 0
    integer = abs(value - round(value)) <= ROUNDING * abs(value)
    if integer and abs(value) < LARGE:
        return 0
    return min(FEWEST - math.floor(math.log10(abs(value))), MOST)


def format_value(value: float, decimals: int) -> str:
    """Returns a number with thousands separated; `∞` if infinite, and a dash for NaN."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    value = float(np.round(value, decimals)) + 0.0  # without a negative zero
    return f"{value:,.{max(decimals, 0)}f}".replace("-", MINUS)


def format_estimate(interval: Interval, sign: bool = False) -> str:
    """Returns the estimate alone, as far as its interval supports it: '475.3'.

    With `sign`, a positive one that is not rounded to zero has a plus sign.
    """
    text = format_value(float(interval.estimate), decimal_places(interval))
    positive = sign and float(interval.estimate) > 0 and bool(text.strip("0."))
    return f"+{text}" if positive else text


def format_bounds(interval: Interval) -> str:
    """Returns the bounds alone: '[470.1, 480.0]'; empty text where there are none."""
    low, high = float(interval.low), float(interval.high)
    if math.isnan(low) or math.isnan(high):
        return ""
    decimals = decimal_places(interval)
    return f"[{format_value(low, decimals)}, {format_value(high, decimals)}]"


def format_change(value: float) -> str:
    """Returns a relative change in per cent, with its sign."""
    if math.isnan(value):
        return DASH
    text = f"{100 * value:+,.0f}%" if abs(value) >= 0.1 else f"{100 * value:+.1f}%"
    return text.replace("-", MINUS)


def format_p_value(value: float) -> str:
    """Returns a p-value with three decimals, or says that it is below them."""
    return DASH if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


@dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Attributes:
      text: the text, not escaped.
      key: the number that rows are sorted by; NaN for an unknown number, None for text.
      strong: True for bold text.
      span: lower end, middle and upper end of an interval as shares of the scale of its group.
      bounds: the interval of the number, not escaped; empty without one.
      mark: the sign of a footnote; empty without one.
    """

    text: str
    key: float | None = None
    strong: bool = False
    span: tuple[float, float, float] | None = None
    bounds: str = ""
    mark: str = ""


Row = tuple[TableCell, ...]


@dataclass(frozen=True)
class Table:
    """A table of typed cells.

    Attributes:
      heads: the heads of the columns, not escaped.
      rows: the rows.
      total: a last row that is set apart; None without one.
    """

    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    total: Row | None = None

    @property
    def numeric(self) -> tuple[bool, ...]:
        """True for each column that holds numbers only."""
        columns = range(len(self.heads)) if self.rows else ()
        return tuple(all(row[column].key is not None for row in self.rows) for column in columns)


def make_table(
    heads: Sequence[str],
    rows: Iterable[Sequence[TableCell]],
    total: Sequence[TableCell] | None = None,
) -> Table:
    """Returns a table of any sequences."""
    last = None if total is None else tuple(total)
    return Table(tuple(heads), tuple(tuple(row) for row in rows), last)


def text_cell(value: object, strong: bool = False) -> TableCell:
    """Returns a cell of text; an empty one for None and NaN."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return TableCell("" if missing else str(value), strong=strong)


def number_cell(value: Any, strong: bool = False) -> TableCell:
    """Returns the cell of a number without an interval."""
    number = _number(value)
    return TableCell(format_number(number), number, strong)


def count_cell(value: Any) -> TableCell:
    """Returns the cell of an integer; a dash for none."""
    number = _number(value)
    return TableCell(DASH if math.isnan(number) else f"{number:,.0f}", number)


def steps_cell(value: Any) -> TableCell:
    """Returns the cell of a large integer, in three digits and a unit: '1.51M', '98.9k'."""
    number = _number(value)
    if math.isinf(number):
        return TableCell("∞", number)
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        # What rounds up to the next unit is written in it.
        if number >= size * 0.9995:
            return TableCell(f"{number / size:#.3g}".rstrip(".") + unit, number)
    return count_cell(value)


def share_cell(rate: Any, low: Any, high: Any) -> TableCell:
    """Returns the cell of a share with its interval, to two decimals."""
    number = _number(rate)
    if math.isnan(number):
        return TableCell(DASH, math.nan)
    return TableCell(f"{number:.2f} [{low:.2f}, {high:.2f}]", number)


def interval_cell(low: Any, high: Any) -> TableCell:
    """Returns the cell of an interval, sorted by its lower end."""
    ends = _number(low), _number(high)
    if any(map(math.isnan, ends)):
        return TableCell(DASH, math.nan)
    return TableCell(f"[{format_number(ends[0])}, {format_number(ends[1])}]", ends[0])


def _number(value: Any) -> float:
    """Returns the number; NaN for what Python and pandas have instead of it."""
    try:
        return float(value)
    except TypeError:
        return math.nan


def escape_markdown(text: object) -> str:
    """Returns text on one line that Markdown and HTML leave as it is, inside tables as well."""
    line = escape(printable(" ".join(str(text).split())), quote=False)
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def to_markdown(table: Table) -> str:
    """Returns a table in Markdown, its columns of numbers aligned to the right."""
    rows = [list(map(_markdown_cell, row)) for row in table.rows]
    if table.total is not None:
        name, *cells = table.total
        rows.append([f"*{escape_markdown(name.text)}*", *map(_markdown_cell, cells)])
    return markdown_rows(list(map(escape_markdown, table.heads)), rows, table.numeric)


def _markdown_cell(cell: TableCell) -> str:
    text = escape_markdown(cell.text) if cell.key is None else escape(cell.text, quote=False)
    text = f"**{text}**" if cell.strong else text
    return f"{text}{cell.mark} {escape_markdown(cell.bounds)}".rstrip()


def markdown_rows(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] = ()
) -> str:
    """Returns a table of cells that are Markdown already; `right`: the columns of numbers."""
    rule = ["---:" if number else "---" for number in right] or ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MINUS: "$-$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    DASH: "---",
    DAGGER: r"$^\dagger$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def escape_latex(text: str) -> str:
    """Returns text on one line as LaTeX prints it, with minus signs in math mode."""
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def to_latex(table: Table, caption: str, footnote: str, name: str) -> str:
    r"""Returns a table as a float; it needs `\usepackage{booktabs}`.

    An interval stands on the line below its estimate, so that columns fit a page.

    Args:
      table: the table.
      caption: plain text.
      footnote: plain text; empty for none.
      name: the name of the reference, `tab:NAME`.
    """
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[t]",
        r"  \centering",
        rf"  \caption{{{escape_latex(caption)}}}",
        rf"  \label{{tab:{name}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}",
        r"    \toprule",
        _latex_line(map(escape_latex, table.heads)),
        r"    \midrule",
        *(line for row in table.rows for line in _latex_row(row)),
    ]
    if table.total is not None:
        lines += [r"    \midrule", *_latex_row(table.total)]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    if footnote:
        lines.append(rf"  \par\smallskip{{\footnotesize $^\dagger$\,{escape_latex(footnote)}}}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_row(row: Row) -> list[str]:
    """Returns the line of a row, and one of its intervals where it has any."""
    name, *cells = row
    first = escape_latex(name.text)
    # Without braces it would be read as an argument of the `\\` before it.
    first = f"{{{first}}}" if first.startswith(("[", "*")) else first
    lines = [_latex_line([first, *map(_latex_cell, cells)])]
    if any(cell.bounds for cell in cells):
        bounds = (escape_latex(cell.bounds) for cell in cells)
        lines.append(_latex_line(["", *(f"{{\\scriptsize {b}}}" if b else "" for b in bounds)]))
    return lines


def _latex_cell(cell: TableCell) -> str:
    text = escape_latex(cell.text)
    return (rf"\textbf{{{text}}}" if cell.strong else text) + escape_latex(cell.mark)


def _latex_line(cells: Iterable[str]) -> str:
    return f"    {' & '.join(cells)} \\\\"


def to_console(table: Table, styles: Mapping[str, str]) -> rich.table.Table:
    """Returns a table for the terminal; `styles` maps a cell's text to its colour."""
    right = [column for column, numbers in enumerate(table.numeric) if numbers]
    console_table = plain_table(table.heads, right)
    for row in table.rows:
        texts = (f"{cell.text} {cell.bounds}".rstrip() for cell in row)
        console_table.add_row(*(Text(text, style=styles.get(text, "")) for text in texts))
    return console_table


def to_csv(table: pd.DataFrame) -> str:
    """Returns an unrounded table as CSV."""
    return table.to_csv(index=False, lineterminator="\n")
