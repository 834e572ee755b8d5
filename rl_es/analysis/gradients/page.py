"""`index.md` of gradient estimates: the figures, and tables a family and a ladder of ranks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from rl_es.analysis.digits import number
from rl_es.analysis.drawing import kinds
from rl_es.analysis.gradients import rank_bias
from rl_es.analysis.gradients.catalogue import KINDS
from rl_es.analysis.gradients.source import BIAS, Gradients
from rl_es.analysis.gradients.summary import COLUMNS
from rl_es.analysis.markdown import columns, escape, figure, file_list, table

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


def compose(folder: Path, found: Gradients, files: Sequence[Path]) -> str:
    """The page, from what was drawn and the figures' paths."""
    overview, families = found.table, dict.fromkeys(found.table["family"])
    sections = [
        f"# Gradient estimates: {escape(folder.name)}",
        LEGEND + (f" {DISTANCE}" if overview["distance"].notna().any() else ""),
        *(_picture(path) for path in files if path.suffix == ".png"),
        *_biases(found.bias),
        *(
            f"## {escape(family)}\n\n{_table(overview[overview['family'] == family])}"
            for family in families
        ),
        "## Files\n\n" + _files(found),
        columns("summary.csv", COLUMNS),
        *([columns(BIAS, rank_bias.COLUMNS)] if len(found.bias) else []),
    ]
    return "\n\n".join(sections) + "\n"


def _picture(path: Path) -> str:
    return figure(f"{path.parent.name}/{path.stem}", kinds.caption(KINDS, path.stem))


def _biases(bias: pd.DataFrame) -> Iterator[str]:
    """A table for each environment and agent, with both references side by side."""
    if len(bias):
        yield f"## Low rank and full rank\n\n{BY_RANK}"
    for (env, agent), own in bias.groupby(["env", "agent"]):
        each = own.drop_duplicates("reference").to_dict("records")
        slopes = "; ".join(f"{row['reference']} {rank_bias.fitted(row)}" for row in each)
        cells = []
        for _, rows in own.groupby("label", sort=False):
            by = {row["reference"]: row for row in rows.to_dict("records")}
            known, measured = by["known"], by.get("measured")
            cells.append(
                [f"{known['rank']}", number(known["exact"]), *_one(known), *_one(measured)]
            )
        yield f"{escape(env)}, {escape(agent)}: slope {slopes}.\n\n{table(_OF_BIAS, cells)}"


def _one(row: dict | None) -> list[str]:
    """A distance and its interval."""
    if row is None:
        return [number(None)] * 2
    return [number(row["distance"]), f"[{number(row['low'])}, {number(row['high'])}]"]


def _table(rows: pd.DataFrame) -> str:
    apart = rows["distance"].notna().any()
    cells = [
        [
            f"{row['windows']}",
            escape(row["label"]),
            number(row["relative_variance"]),
            f"{row['samples']:,}",
            *([number(row["distance"]), number(row["distance_noise"])] if apart else []),
        ]
        for row in rows.to_dict("records")
    ]
    return table([*_HEADS, *(_OF_DISTANCE if apart else [])], cells)


def _files(found: Gradients) -> str:
    bias = {BIAS: "one row per (environment, agent, reference, rank)"} if len(found.bias) else {}
    return file_list(
        {
            "gradients.csv": "one row per (environment, label, seed)",
            "summary.csv": "one row per (environment, label)",
            **bias,
            "manifest.json": "what was asked for, and each start",
            "figures/": "the figures as PNG and SVG",
            "estimates/": "one file per row, with the mean estimate itself",
        }
    )
