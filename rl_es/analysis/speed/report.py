"""The report of a speed benchmark: tables, figures and a page, made anew from its workloads.

`index.md` of a speed benchmark: tables, figures, what failed, and where it ran.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es.analysis.drawing import figure_kinds
from rl_es.analysis.drawing.figure_kinds import write_figure
from rl_es.analysis.formatting import (
    DASH,
    escape_markdown,
    format_number,
    markdown_columns,
    markdown_figure,
    markdown_file_list,
    markdown_table,
)
from rl_es.analysis.speed import tables
from rl_es.analysis.speed.figures import KINDS
from rl_es.analysis.speed.tables import COLUMNS, summarise, workload_titles
from rl_es.results import timings
from rl_es.results.files import write_text
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


def compose_page(
    folder: Path,
    overview: pd.DataFrame,
    programs: pd.DataFrame,
    manifest: Mapping[str, Any],
    drawn: Sequence[Path],
) -> str:
    """The page, from the summary table, the programs, the manifest and the figures' paths."""
    stated = manifest["benchmark"]
    shown = [overview[overview["workload"] == key] for key in dict.fromkeys(overview["workload"])]
    named = {key: title.replace("\n", ", ") for key, title in workload_titles(overview).items()}
    sections = [
        f"# Speed: {escape_markdown(stated['name'])}",
        escape_markdown(stated.get("description") or ""),
        _missing(manifest, len(shown)),
        "## Figures\n\n" + "\n\n".join(map(_figure, drawn)) if drawn else "",
        _rates(overview, named),
        "## Workloads\n\n" + LEGEND,
        *(
            f"### {escape_markdown(named[own.iloc[0]['workload']])}\n\n{_workload(own)}"
            for own in shown
        ),
        _lost(overview, named),
        "## Where it ran\n\n" + _origin(programs),
        "## Files\n\n" + _files(),
        markdown_columns("speed.csv", COLUMNS),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _missing(manifest: Mapping[str, Any], there: int) -> str:
    total = len(manifest["workloads"])
    if there == total:
        return ""
    return f"{there} of {total} workloads are finished; the same command goes on with the others."


def _rates(overview: pd.DataFrame, named: Mapping[str, str]) -> str:
    """Environment steps a second, a line per workload; where there are several environments."""
    if overview["env"].nunique() < 2:
        return ""
    whole = overview[overview["part"] == WHOLE]
    contestants = list(dict.fromkeys(whole["contestant"]))
    rows = []
    for key, own in whole.groupby("workload", sort=False):
        rates = own.set_index("contestant")["steps_per_second"]
        length = f"{own['episode_length'].iloc[0]:,}"
        rows.append(
            [
                escape_markdown(named[key]),
                length,
                *(format_number(rates.get(c)) for c in contestants),
            ]
        )
    heads = ["workload", "steps per episode", *map(escape_markdown, contestants)]
    return "## Environment steps a second\n\n" + markdown_table(heads, rows)


def _workload(rows: pd.DataFrame) -> str:
    heads = ["contestant", "time", "quartiles", "steps/s", "share", "quartiles", "times bare"]
    heads += ["cores", "memory", "noise", "parameters", "trace", "compile", "cached"]
    cells = []
    for row in rows[rows["part"] == WHOLE].to_dict("records"):
        if row["status"] != "finished":
            cells.append(
                [escape_markdown(row["contestant"]), row["status"], *[""] * (len(heads) - 2)]
            )
            continue
        low, high = (
            tables.format_seconds(row["seconds_low"]),
            tables.format_seconds(row["seconds_high"]),
        )
        known = pd.notna(row["share"])
        shares = (
            f"[{format_number(row['share_low'])}, {format_number(row['share_high'])}]"
            if known
            else DASH
        )
        compiling = [row[f"{name}_seconds"] for name in ("trace", "compile_cold", "compile_cached")]
        cells.append(
            [
                escape_markdown(row["contestant"]),
                tables.format_seconds(row["seconds"]),
                f"[{low}, {high}]",
                format_number(row["steps_per_second"]),
                format_number(row["share"]),
                shares,
                format_number(row["times_bare"]),
                format_number(row["cpu_ratio"]),
                tables.format_bytes(row["memory_bytes"]),
                tables.format_bytes(row["perturbation_bytes"]),
                f"{row['parameters']:,.0f}",
                *(DASH if pd.isna(time) else tables.format_seconds(time) for time in compiling),
            ]
        )
    return markdown_table(heads, cells)


def _figure(path: Path) -> str:
    return markdown_figure(
        f"{path.parent.name}/{path.stem}", figure_kinds.figure_caption(KINDS, path.stem)
    )


def _lost(overview: pd.DataFrame, named: Mapping[str, str]) -> str:
    rows = overview[(overview["part"] == WHOLE) & (overview["status"] != "finished")]
    if rows.empty:
        return ""
    cells = [
        [escape_markdown(named[row["workload"]]), escape_markdown(row["contestant"]), row["status"]]
        + [escape_markdown(str(row["reason"])[:300])]
        for row in rows.to_dict("records")
    ]
    heads = ["workload", "contestant", "status", "reason"]
    return "## Not measured\n\n" + markdown_table(heads, cells)


def _origin(programs: pd.DataFrame) -> str:
    lines = []
    for name in ("processor", "device", "machine", "git_revision"):
        values = [escape_markdown(value) for value in programs[name].dropna().unique()]
        lines.append(f"- {name.replace('_', ' ')}: {', '.join(values) or 'not known'}")
    for text in programs["versions"].dropna().unique():
        told = [f"{package} {version}" for package, version in sorted(json.loads(text).items())]
        lines.append(f"- versions: {escape_markdown(', '.join(told))}")
    return "\n".join(lines)


def _files() -> str:
    return markdown_file_list(
        {
            "samples.parquet": "one row per (workload, contestant, part, round)",
            "speed.csv": "one row per (workload, contestant, part), unrounded",
            "manifest.json": "what was asked for, and each start",
            "figures/": "the figures as PNG and SVG",
            "workloads/": "one file per workload, from which all of these are made",
        }
    )


def write(folder: Path) -> list[Path]:
    """Writes the tables, figures and `index.md` of a speed folder; returns their paths.

    Raises:
      UserError: the folder holds no finished workload, or a damaged one.
    """
    samples, programs, manifest = timings.load(folder)
    table = summarise(samples, programs)
    written = [timings.write_samples(folder, samples), folder / "speed.csv"]
    write_text(written[-1], table.to_csv(index=False))
    files = write_figure(folder / "figures", KINDS.values(), tables.of(table))
    text = compose_page(folder, table, programs, manifest, [p for p in files if p.suffix == ".png"])
    write_text(folder / "index.md", text)
    return [*written, *files, folder / "index.md"]
