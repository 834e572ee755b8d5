"""The report of gradient estimates, made anew from the estimates of its folder.

`index.md` of gradient estimates: the figures, and tables a family and a ladder of ranks.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from rl_es.analysis.drawing import figure_kinds
from rl_es.analysis.drawing import figure_kinds as drawn
from rl_es.analysis.formatting import (
    escape_markdown,
    format_number,
    markdown_columns,
    markdown_figure,
    markdown_file_list,
    markdown_table,
)
from rl_es.analysis.gradients import tables
from rl_es.analysis.gradients.figures import KINDS
from rl_es.analysis.gradients.tables import (
    BIAS,
    SUMMARY_COLUMNS,
    GradientResults,
    rank_bias,
    summarise,
)
from rl_es.results import checksums, gradient_estimates
from rl_es.results.files import write_text

LEGEND = (
    "Parameters are held still, and estimates of an episode's gradient are drawn: the sum over its "
    "windows, or one generation where a generation is a whole episode. Relative variance: of one "
    "antithetic pair's estimate, summed over parameters, over the squared norm of the gradient, "
    "the mean over seeds; where the gradient is zero it is mere noise."
)
DISTANCE = (
    "Distance: of the mean estimate from that of plain `pes` in the same "
    "environment, over the gradient's norm, corrected for its expected noise; beside it the "
    "distance that noise alone would make."
)
BY_RANK = (
    "Distances of the expected estimates of low rank and of full rank: their squares, without "
    "bias, from inner products of the estimates of different seeds, with 95 % jackknife intervals. "
    "Full rank is "
    "taken as the environment knows it (known), or as it was measured with the same seeds "
    "(measured). Slope: of the least-squares line of log distance on log rank."
)
_HEADS = ["windows", "label", "relative variance", "samples"]
_OF_DISTANCE = ["distance from pes", "by noise"]
_OF_BIAS = ["rank", "exact", "known", "95 % interval", "measured", "95 % interval"]


def compose_page(folder: Path, found: GradientResults, files: Sequence[Path]) -> str:
    """The page, from what was drawn and the figures' paths."""
    overview, families = found.table, dict.fromkeys(found.table["family"])
    sections = [
        f"# Gradient estimates: {escape_markdown(folder.name)}",
        LEGEND + (f" {DISTANCE}" if overview["distance"].notna().any() else ""),
        *(_picture(path) for path in files if path.suffix == ".png"),
        *_biases(found.bias),
        *(
            f"## {escape_markdown(family)}\n\n{_table(overview[overview['family'] == family])}"
            for family in families
        ),
        "## Files\n\n" + _files(found),
        markdown_columns("summary.csv", SUMMARY_COLUMNS),
        *([markdown_columns(BIAS, tables.RANK_BIAS_COLUMNS)] if len(found.bias) else []),
    ]
    return "\n\n".join(sections) + "\n"


def _picture(path: Path) -> str:
    return markdown_figure(
        f"{path.parent.name}/{path.stem}", figure_kinds.figure_caption(KINDS, path.stem)
    )


def _biases(bias: pd.DataFrame) -> Iterator[str]:
    """A table for each environment and agent, with both references side by side."""
    if len(bias):
        yield f"## Low rank and full rank\n\n{BY_RANK}"
    for (env, agent), own in bias.groupby(["env", "agent"]):
        each = own.drop_duplicates("reference").to_dict("records")
        slopes = "; ".join(f"{row['reference']} {tables.fitted(row)}" for row in each)
        cells = []
        for _, rows in own.groupby("label", sort=False):
            by = {row["reference"]: row for row in rows.to_dict("records")}
            known, measured = by["known"], by.get("measured")
            cells.append(
                [f"{known['rank']}", format_number(known["exact"]), *_one(known), *_one(measured)]
            )
        title = f"{escape_markdown(env)}, {escape_markdown(agent)}: slope {slopes}."
        yield f"{title}\n\n{markdown_table(_OF_BIAS, cells)}"


def _one(row: dict | None) -> list[str]:
    """A distance and its interval."""
    if row is None:
        return [format_number(None)] * 2
    return [
        format_number(row["distance"]),
        f"[{format_number(row['low'])}, {format_number(row['high'])}]",
    ]


def _table(rows: pd.DataFrame) -> str:
    apart = rows["distance"].notna().any()
    cells = [
        [
            f"{row['windows']}",
            escape_markdown(row["label"]),
            format_number(row["relative_variance"]),
            f"{row['samples']:,}",
            *(
                [format_number(row["distance"]), format_number(row["distance_noise"])]
                if apart
                else []
            ),
        ]
        for row in rows.to_dict("records")
    ]
    return markdown_table([*_HEADS, *(_OF_DISTANCE if apart else [])], cells)


def _files(found: GradientResults) -> str:
    bias = {BIAS: "one row per (environment, agent, reference, rank)"} if len(found.bias) else {}
    return markdown_file_list(
        {
            "gradients.csv": "one row per (environment, label, seed)",
            "summary.csv": "one row per (environment, label)",
            **bias,
            "manifest.json": "what was asked for, and each start",
            "figures/": "the figures as PNG and SVG",
            "estimates/": "one file per row, with the mean estimate itself",
        }
    )


def write(folder: Path) -> list[Path]:
    """Writes the tables, the figures and `index.md` of a folder; returns their paths.

    Raises:
      UserError: the folder holds no estimate, or a damaged one.
    """
    rows = gradient_estimates.load(folder)
    table = summarise(rows)
    written = [gradient_estimates.write_table(folder, rows), folder / "summary.csv"]
    write_text(written[-1], table.to_csv(index=False))
    bias, of_bias = rank_bias(rows), folder / tables.BIAS
    if len(bias):
        write_text(of_bias, bias.to_csv(index=False))
        written.append(of_bias)
    else:
        of_bias.unlink(missing_ok=True)
    checksums.write_sums(written)
    found = tables.of(table, bias)
    files = drawn.write_figure(folder / "figures", KINDS.values(), found)
    write_text(folder / "index.md", compose_page(folder, found, files))
    return [*written, *files, folder / "index.md"]
