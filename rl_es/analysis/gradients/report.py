"""The report of gradient estimates: tables, figures and `index.md`, made anew of the estimates.

The page has the figures, a table for each ladder of ranks, and a table for each family.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from rl_es.analysis.formatting import (
    TableCell,
    count_cell,
    escape_markdown,
    interval_cell,
    make_table,
    number_cell,
    text_cell,
    to_csv,
    to_markdown,
)
from rl_es.analysis.gradients.figures import KINDS
from rl_es.analysis.gradients.tables import (
    BIAS,
    RANK_BIAS_COLUMNS,
    SUMMARY_COLUMNS,
    GradientResults,
    find_reference,
    from_tables,
    rank_bias,
    slope_text,
    summarise,
)
from rl_es.analysis.report import (
    Section,
    columns_section,
    figure_blocks,
    files_section,
    write_report,
)
from rl_es.results import checksums, gradient_estimates

LEGEND = (
    "Parameters are held still, and estimates of an episode's gradient are drawn: the sum over its "
    "windows, or one generation where a generation is a whole episode. Relative variance: of one "
    "antithetic pair's estimate, summed over parameters, over the squared norm of the gradient, "
    "the mean over seeds; where the gradient is zero it is mere noise."
)
DISTANCE = (
    "Distance: of the mean estimate from that of plain `{reference}` in the same "
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
SUMMARY = "summary.csv"
SUMMARY_HEADS = ("windows", "label", "relative variance", "samples")
DISTANCES = ("distance", "distance_noise")
BIAS_HEADS = ("rank", "exact", "known", "95 % interval", "measured", "95 % interval")


def write(folder: Path) -> list[Path]:
    """Writes the tables, the figures and `index.md` of a folder; returns their paths.

    Raises:
      UserError: the folder holds no estimate, or a damaged one.
    """
    rows = gradient_estimates.load(folder)
    gradients = from_tables(summarise(rows), rank_bias(rows))
    texts = {SUMMARY: to_csv(gradients.table)}
    if len(gradients.bias):
        texts[BIAS] = to_csv(gradients.bias)
    else:
        (folder / BIAS).unlink(missing_ok=True)
    estimates = gradient_estimates.write_table(folder, rows)
    paths = write_report(folder, texts, KINDS, gradients, partial(page_sections, folder, gradients))
    checksums.write_sums([estimates, *(folder / name for name in texts)])
    return [estimates, *paths]


def page_sections(
    folder: Path, gradients: GradientResults, pictures: Sequence[Path]
) -> list[Section]:
    """Returns the sections of the page, from the tables and the figures' paths."""
    table, bias = gradients.table, gradients.bias
    reference = find_reference(table["label"])
    by_rank = {BIAS: "one row per (environment, agent, factors, reference, rank)"}
    distance = f" {DISTANCE.format(reference=reference)}"
    legend = LEGEND + (distance if table["distance"].notna().any() else "")
    files = {
        "gradients.csv": "one row per (environment, label, seed)",
        SUMMARY: "one row per (environment, label)",
        **(by_rank if len(bias) else {}),
        "manifest.json": "what was asked for, and each start",
        "figures/": "the figures as PNG and SVG",
        "estimates/": "one file per row, with the mean estimate itself",
    }
    return [
        Section(
            f"Gradient estimates: {escape_markdown(folder.name)}",
            [legend, *figure_blocks(folder, KINDS, pictures)],
            level=1,
        ),
        Section("Low rank and full rank", list(_bias_blocks(bias))),
        *(
            Section(
                escape_markdown(family),
                [_family_table(table[table["family"] == family], reference)],
            )
            for family in dict.fromkeys(table["family"])
        ),
        files_section(files),
        columns_section(
            SUMMARY,
            {name: text.format(reference=reference) for name, text in SUMMARY_COLUMNS.items()},
        ),
        *([columns_section(BIAS, RANK_BIAS_COLUMNS)] if len(bias) else []),
    ]


def _bias_blocks(bias: pd.DataFrame) -> Iterator[str]:
    """Yields a table for each environment and agent, with both references side by side."""
    if len(bias):
        yield BY_RANK
    for (env, agent, factors), group in bias.groupby(["env", "agent", "factors"]):
        first = group.drop_duplicates("reference").to_dict("records")
        slopes = "; ".join(
            f"{row['reference']} {text}" for row in first if (text := slope_text(row))
        )
        rows = []
        for _, of_label in group.groupby("label", sort=False):
            by_reference = {row["reference"]: row for row in of_label.to_dict("records")}
            exact = by_reference["known"]
            cells = [TableCell(f"{exact['rank']}", exact["rank"]), number_cell(exact["exact"])]
            for reference in ("known", "measured"):
                cells += _distance_cells(by_reference.get(reference))
            rows.append(cells)
        subject = f"{escape_markdown(env)}, {escape_markdown(agent)}, {factors} factors"
        yield f"{subject}: slope {slopes}." if slopes else f"{subject}."
        yield to_markdown(make_table(BIAS_HEADS, rows))


def _distance_cells(row: Mapping | None) -> list[TableCell]:
    """Returns the cells of a distance and its interval; dashes without a row."""
    if row is None:
        return [number_cell(None)] * 2
    return [number_cell(row["distance"]), interval_cell(row["low"], row["high"])]


def _family_table(rows: pd.DataFrame, reference: str | None) -> str:
    distances = rows["distance"].notna().any()
    cells = [
        [
            TableCell(f"{row['windows']}", row["windows"]),
            text_cell(row["label"]),
            number_cell(row["relative_variance"]),
            count_cell(row["samples"]),
            *(number_cell(row[name]) for name in (DISTANCES if distances else ())),
        ]
        for row in rows.to_dict("records")
    ]
    heads = [f"distance from {reference}", "by noise"] if distances else []
    return to_markdown(make_table([*SUMMARY_HEADS, *heads], cells))
