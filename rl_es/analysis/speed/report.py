"""The report of a speed benchmark: tables, figures and `index.md`, made anew of its workloads."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from rl_es.analysis.report import (
    Section,
    columns_section,
    figure_blocks,
    files_section,
    write_report,
)
from rl_es.analysis.speed.figures import KINDS
from rl_es.analysis.speed.tables import (
    COLUMNS,
    SpeedResults,
    format_bytes,
    format_seconds,
    from_summary,
    summarise,
)
from rl_es.results import timings
from rl_es.results.timings import WHOLE

LEGEND = (
    "Time: wall time of a generation, the median over interleaved rounds and its quartiles. "
    "Share: environment steps a second over those of pure batch inference (the same rollout, the "
    "unperturbed policy shared by all members) in the same round, in percent; a generation of a "
    "persistent agent is a window of steps, of all others whole episodes. Times bare: time per "
    "step over that of the bare environment. Cores: process time over wall time. Memory: XLA's own "
    "account of the compiled generation, a device. Noise: bytes of the population's perturbation, "
    "or of its parameters where a peer writes them out. Trace, compile, cached: seconds of "
    "tracing, of compilation with an empty cache, and of loading from the persistent cache instead."
)
FILES = {
    "samples.parquet": "one row per (workload, contestant, part, round)",
    "speed.csv": "one row per (workload, contestant, part), unrounded",
    "manifest.json": "what was asked for, and each start",
    "figures/": "the figures as PNG and SVG",
    "workloads/": "one file per workload, from which all of these are made",
}
HEADS = ("contestant", "time", "quartiles", "steps/s", "share", "quartiles", "times bare")
HEADS += ("cores", "memory", "noise", "parameters", "trace", "compile", "cached")
LONGEST_REASON = 300  # characters
UNKNOWN = TableCell("", math.nan)


def write(folder: Path) -> list[Path]:
    """Writes the tables, figures and `index.md` of a speed folder; returns their paths.

    Raises:
      UserError: the folder holds no finished workload, or a damaged one.
    """
    samples, programs, manifest = timings.load(folder)
    speed = from_summary(summarise(samples, programs))
    compose = partial(page_sections, folder, speed, programs, manifest)
    samples_path = timings.write_samples(folder, samples)
    tables = {"speed.csv": to_csv(speed.table)}
    return [samples_path, *write_report(folder, tables, KINDS, speed, compose)]


def page_sections(
    folder: Path,
    speed: SpeedResults,
    programs: pd.DataFrame,
    manifest: Mapping[str, Any],
    pictures: Sequence[Path],
) -> list[Section]:
    """Returns the sections of the page, from the summary, the programs and the figures' paths."""
    benchmark, table = manifest["benchmark"], speed.table
    titles = {key: title.replace("\n", ", ") for key, title in speed.titles.items()}
    introduction = [escape_markdown(benchmark.get("description") or "")]
    count, total = len(speed.workloads), len(manifest["workloads"])
    if count < total:
        introduction.append(
            f"{count} of {total} workloads are finished; the same command goes on with the others."
        )
    return [
        Section(f"Speed: {escape_markdown(benchmark['name'])}", introduction, level=1),
        Section("Figures", figure_blocks(folder, KINDS, pictures)),
        Section("Environment steps a second", _rate_blocks(table, titles)),
        Section("Workloads", [LEGEND]),
        *(
            Section(
                escape_markdown(titles[workload]),
                [_workload_table(table[table["workload"] == workload])],
                level=3,
            )
            for workload in speed.workloads
        ),
        Section("Not measured", _lost_blocks(table, titles)),
        Section("Where it ran", [_origin_text(programs)]),
        files_section(FILES),
        columns_section("speed.csv", COLUMNS),
    ]


def _rate_blocks(table: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """Returns a table of environment steps a second, if there are several environments."""
    if table["env"].nunique() < 2:
        return []
    generations = table[table["part"] == WHOLE]
    contestants = list(dict.fromkeys(generations["contestant"]))
    rows = []
    for workload, group in generations.groupby("workload", sort=False):
        rates = group.set_index("contestant")["steps_per_second"]
        cells = [text_cell(titles[workload]), count_cell(group["episode_length"].iloc[0])]
        rows.append([*cells, *(number_cell(rates.get(name)) for name in contestants)])
    return [to_markdown(make_table(["workload", "steps per episode", *contestants], rows))]


def _workload_table(rows: pd.DataFrame) -> str:
    generations = rows[rows["part"] == WHOLE].to_dict("records")
    return to_markdown(make_table(HEADS, map(_contestant_cells, generations)))


def _contestant_cells(row: Mapping[str, Any]) -> list[TableCell]:
    name = text_cell(row["contestant"])
    if row["status"] != "finished":
        return [name, text_cell(row["status"]), *[UNKNOWN] * (len(HEADS) - 2)]
    low, high = (format_seconds(row[f"seconds_{bound}"]) for bound in ("low", "high"))
    compilation = [row[f"{step}_seconds"] for step in ("trace", "compile_cold", "compile_cached")]
    return [
        name,
        TableCell(format_seconds(row["seconds"]), row["seconds"]),
        TableCell(f"[{low}, {high}]", row["seconds_low"]),
        number_cell(row["steps_per_second"]),
        number_cell(row["share"]),
        interval_cell(row["share_low"], row["share_high"]),
        number_cell(row["times_bare"]),
        number_cell(row["cpu_ratio"]),
        TableCell(format_bytes(row["memory_bytes"]), row["memory_bytes"]),
        TableCell(format_bytes(row["perturbation_bytes"]), row["perturbation_bytes"]),
        count_cell(row["parameters"]),
        *(
            number_cell(None) if pd.isna(time) else TableCell(format_seconds(time), time)
            for time in compilation
        ),
    ]


def _lost_blocks(table: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    lost_rows = table[(table["part"] == WHOLE) & (table["status"] != "finished")]
    cells = [
        [
            titles[row["workload"]],
            row["contestant"],
            row["status"],
            str(row["reason"])[:LONGEST_REASON],
        ]
        for row in lost_rows.to_dict("records")
    ]
    heads = ["workload", "contestant", "status", "reason"]
    rows = [list(map(text_cell, texts)) for texts in cells]
    return [to_markdown(make_table(heads, rows))] if rows else []


def _origin_text(programs: pd.DataFrame) -> str:
    lines = []
    for name in ("processor", "device", "machine", "git_revision"):
        values = [escape_markdown(value) for value in programs[name].dropna().unique()]
        lines.append(f"- {name.replace('_', ' ')}: {', '.join(values) or 'not known'}")
    for text in programs["versions"].dropna().unique():
        packages = [f"{name} {version}" for name, version in sorted(json.loads(text).items())]
        lines.append(f"- versions: {escape_markdown(', '.join(packages))}")
    return "\n".join(lines)
