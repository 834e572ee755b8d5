"""What commands print: text as it is, and tables without lines."""

from collections.abc import Container, Sequence

from rich.console import Console
from rich.table import Table

WIDE = 200  # columns where the output is no terminal, and has no width of its own


def plain_console(soft_wrap: bool = False) -> Console:
    """A console that prints text as it is: without markup, colours of words or emoji.

    `soft_wrap` leaves long lines to the terminal.
    """
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=soft_wrap)
    if not console.is_terminal:
        console.width = WIDE
    return console


def plain_table(
    heads: Sequence[str], right: Container[int] = (), title: str | None = None
) -> Table:
    """An empty table of these columns.

    Args:
      heads: of the columns.
      right: positions of the columns that are aligned to the right, such as numbers.
      title: above it.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in right else "left", overflow="fold")
    return table
