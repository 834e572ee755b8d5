"""Small pieces of Markdown; text that comes from data is escaped, so that it stays text."""

import re
from collections.abc import Iterable, Mapping, Sequence

from rl_es.analysis.digits import DASH, MINUS
from rl_es.errors import printable


def escape(text: object) -> str:
    """Text on one line that Markdown and HTML leave as it is, inside tables as well."""
    line = printable(" ".join(str(text).split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
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


def figure(address: str, caption: str) -> str:
    """A figure whose PNG and SVG files lie at an address without suffix."""
    return f"![{caption}]({address}.png)\n\n{caption} ([SVG]({address}.svg))."


def columns(file: str, meanings: Mapping[str, str]) -> str:
    """A section on what the columns of a file mean."""
    rows = [[f"`{name}`", meaning] for name, meaning in meanings.items()]
    return f"## Columns of {file}\n\n" + table(["column", "meaning"], rows)


def file_list(files: Mapping[str, str]) -> str:
    """A list of files, each a link, with what it holds."""
    return "\n".join(f"- [{name}]({name}): {what}" for name, what in files.items())
