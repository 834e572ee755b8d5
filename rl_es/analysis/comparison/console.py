"""A comparison in the terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from rl_es.analysis.comparison import rows, wording
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.comparison.verdicts import BETTER, WORSE
from rl_es.terminal import plain_console, plain_table

COLOURS = {BETTER: "green", WORSE: "red"}


def show(comparison: Comparison) -> None:
    """Prints what differs, the table, the totals and what was left out."""
    console = plain_console()
    for said in _before(comparison):
        console.print(Text(said))
    console.print()
    console.print(_table(rows.heads(comparison), rows.cells(comparison)))
    if comparison.totals:
        console.print(Text(f"\nOver environments. {wording.total_legend(comparison)}"))
        console.print(_table(rows.total_heads(comparison), rows.total_cells(comparison)))
    console.print()
    for said in (*wording.unmatched(comparison), *comparison.lost):
        console.print(Text(said))
    for said in wording.legend(comparison):
        console.print(Text(said, style="dim"))
    console.print(Text(f"\n{wording.outcome(comparison)}", style="bold"))


def _before(comparison: Comparison) -> list[str]:
    said = [f"base: {comparison.base.name} ({comparison.base.path})"]
    said += [f"other: {folder.name} ({folder.path})" for folder in comparison.others]
    found = [one.told for one in comparison.differing]
    if found:
        said += ["what differs besides:", *(f"  {told}" for told in found[: wording.SHOWN])]
        more = len(found) - wording.SHOWN
        said += [f"  and {more} more (compare.md)"] if more > 0 else []
    else:
        said.append("nothing else differs: machine, versions, budgets, settings")
    return [*said, *(f"warning: {warning}" for warning in comparison.warnings)]


def _table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    right = [place for place, one in enumerate(rows.columns_right(heads)) if one]
    table = plain_table(heads, right)
    for row in body:
        said = row[-1]
        colour = next((c for verdict, c in COLOURS.items() if said == verdict), "")
        table.add_row(*map(Text, row[:-1]), Text(said, style=colour))
    return table
