"""`index.md` of gradient estimates: the figure and a table a family."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rl_es.analysis.gradients.summary import COLUMNS
from rl_es.analysis.markdown import escape, file_list, number, table

LEGEND = (
    "Parameters are held still, and estimates of an episode's gradient are drawn: the sum over its "
    "windows, or one generation where a generation is a whole episode. Relative variance: of one "
    "antithetic pair's estimate, summed over parameters, over the squared norm of the gradient, "
    "the mean over seeds. Distance: of the mean estimate from that of plain `pes` in the same "
    "environment, over the gradient's norm, with its expected noise taken off; beside it what "
    "noise alone would make of it."
)
_HEADS = ["windows", "label", "relative variance", "distance from pes", "by noise", "samples"]


def compose(folder: Path, overview: pd.DataFrame, files: Sequence[Path]) -> str:
    """The page, from the summary and the figures' paths."""
    pictures = [
        f"![Variance against windows](figures/{path.stem}.png)\n\n"
        f"Variance against windows ([SVG](figures/{path.stem}.svg))."
        for path in files
        if path.suffix == ".png"
    ]
    sections = [
        f"# Gradient estimates: {escape(folder.name)}",
        LEGEND,
        *pictures,
        *(
            f"## {escape(family)}\n\n{_table(overview[overview['family'] == family])}"
            for family in dict.fromkeys(overview["family"])
        ),
        "## Files\n\n"
        + file_list(
            {
                "gradients.csv": "one row a (environment, label, seed)",
                "summary.csv": "one row an (environment, label)",
                "manifest.json": "what was asked for, and each start",
                "figures/": "the figure as PNG and SVG",
                "estimates/": "one file a row, with the mean estimate itself",
            }
        ),
        "## Columns of summary.csv\n\n"
        + table(["column", "meaning"], [[f"`{name}`", said] for name, said in COLUMNS.items()]),
    ]
    return "\n\n".join(sections) + "\n"


def _table(rows: pd.DataFrame) -> str:
    cells = [
        [
            f"{row['windows']}",
            escape(row["label"]),
            number(row["relative_variance"]),
            number(row["distance"]),
            number(row["distance_noise"]),
            f"{row['samples']:,}",
        ]
        for row in rows.to_dict("records")
    ]
    return table(_HEADS, cells)
