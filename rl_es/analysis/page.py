"""`index.md`: what was run, the results, what is missing, and the files."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rl_es.analysis import facts, manifest, overview
from rl_es.analysis.cells import Cell, Table
from rl_es.analysis.digest import Digest
from rl_es.analysis.markdown import escape, figure, file_list, table


def compose(folder: Path, runs: pd.DataFrame, digest: Digest, drawn: Sequence[Path]) -> str:
    """The page, from the runs table, the tables made of it and the figures' paths."""
    lost, asked = facts.lost(runs), manifest.read(folder)
    sections = [
        f"# Results: {escape(folder.resolve().name)}",
        escape(asked.description),
        facts.outcome(runs) + ".",
        f"**{escape(mixed)}.**" if (mixed := facts.mixed(runs)) else "",
        f"## Summary\n\n{_table(overview.table(digest))}\n\n{overview.legend(digest)}",
        _totals(digest),
        "## Figures\n\n" + "\n\n".join(_figure(path) for path in drawn),
        "## Runs that diverged or failed\n\n" + _table(lost) if lost.rows else "",
        "## What was run\n\n" + _what(facts.what(runs, asked)),
        "## Settings\n\n" + _table(facts.settings(runs)),
        "## Files\n\n" + file_list(facts.files(folder)),
        "## Run it again\n\n" + _again(*facts.commands(folder, runs)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _totals(digest: Digest) -> str:
    if not overview.has_totals(digest):
        return ""
    table, legend = overview.totals(digest), overview.legend_of_totals(digest)
    return f"## Over all environments\n\n{_table(table)}\n\n{escape(legend)}"


def _table(content: Table) -> str:
    return table(content.heads, ([_cell(cell) for cell in row] for row in content.rows))


def _cell(cell: Cell) -> str:
    text = escape(cell.text) if cell.key is None else cell.text
    return f"**{text}**" if cell.strong else text


def _figure(path: Path) -> str:
    return figure(f"{path.parent.name}/{path.stem}", facts.caption(path.stem))


def _what(said: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {escape(value)}" for name, value in said.items())


def _again(lines: Sequence[str], remark: str) -> str:
    return "\n".join(f"    {line}" for line in lines) + f"\n\n{remark}"
