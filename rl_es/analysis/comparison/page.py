"""`compare.md`: a comparison for people who did not make it."""

from collections.abc import Sequence
from pathlib import Path

from rl_es.analysis.comparison import rows, wording
from rl_es.analysis.comparison.figures import KINDS
from rl_es.analysis.comparison.summary import Comparison
from rl_es.analysis.comparison.verdicts import BETTER, WORSE
from rl_es.analysis.drawing import kinds
from rl_es.analysis.markdown import escape, figure, file_list, table

FILES = {
    "compare.csv": "the tables above, unrounded",
    "compare.json": "the same with the verdicts counted, for scripts",
}


def compose(comparison: Comparison, drawn: Sequence[Path]) -> str:
    """The page, from the comparison and the figures' paths."""
    others = " and ".join(escape(folder.name) for folder in comparison.others)
    warned = [f"**{escape(warning)}**" for warning in comparison.warnings]
    sections = [
        f"# {others} against {escape(comparison.base.name)}",
        f"{escape(wording.outcome(comparison))}.",
        "\n\n".join(warned),
        "## What differs besides\n\n" + _differing(comparison),
        f"## {escape(comparison.metric.title.capitalize())}\n\n" + _table(comparison),
        _totals(comparison),
        "## Figures\n\n" + "\n\n".join(_figure(path) for path in drawn) if drawn else "",
        _left_out(comparison),
        "## Files\n\n" + file_list(FILES),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _differing(comparison: Comparison) -> str:
    names = [folder.name for folder in comparison.folders]
    body = [
        [escape(one.what), escape(one.where), *(escape(one.values.get(n, "")) for n in names)]
        for one in comparison.differing
    ]
    if not body:
        return "Nothing that is known: machine, versions, budgets and settings are the same."
    return table(["what", "where", *map(escape, names)], body)


def _table(comparison: Comparison) -> str:
    legend = " ".join(wording.legend(comparison))
    return table(rows.heads(comparison), _body(rows.cells(comparison))) + f"\n\n{escape(legend)}"


def _body(found: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows whose last cell is a verdict."""
    return [[*map(escape, row[:-1]), _verdict(row[-1])] for row in found]


def _verdict(said: str) -> str:
    return f"**{escape(said)}**" if said in (BETTER, WORSE) else escape(said)


def _totals(comparison: Comparison) -> str:
    if not comparison.totals:
        return ""
    told = table(rows.total_heads(comparison), _body(rows.total_cells(comparison)))
    return f"## Over environments\n\n{told}\n\n{escape(wording.total_legend(comparison))}"


def _figure(path: Path) -> str:
    return figure(path.stem, kinds.caption(KINDS, path.stem))


def _left_out(comparison: Comparison) -> str:
    said = [*wording.unmatched(comparison), *comparison.lost]
    if not said:
        return ""
    return "## Left out\n\n" + "\n".join(f"- {escape(line)}" for line in said)
