"""The report of a sweep's results folder: its tables, figures, `index.md` and `report.html`.

All is made anew from the folder's cells; a folder in which runs are unfinished or failed has a
report of what it holds. `rl_es.analysis.sweep_tables` has the content of both pages.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from rl_es.analysis import protocol, sweep_tables
from rl_es.analysis.adaptation import adapt
from rl_es.analysis.drawing import DEFAULT_OPTIONS
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.formatting import escape_markdown, to_csv, to_markdown
from rl_es.analysis.html import report as html_report
from rl_es.analysis.report import Section, figure_blocks, files_section, png_paths, write_report
from rl_es.analysis.results import load_results
from rl_es.results import tables
from rl_es.results.files import write_text
from rl_es.results.manifest import SweepManifest, read_sweep_manifest
from rl_es.results.replays import read_replays


def write(folder: Path, warn: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Writes the tables, figures and pages of a results folder; returns their paths.

    The pages are `index.md` and, where the libraries that it needs are installed, `report.html`.

    Args:
      folder: the results folder.
      warn: called with a warning for readers of the tables, if there is one.

    Raises:
      UserError: the folder holds no cell, or a damaged file.
    """
    results = load_results(folder)
    read_replays(folder)  # reports a damaged file before anything is written
    digest, manifest = sweep_tables.make_digest(results), read_sweep_manifest(folder)
    paths: list[Path] = []
    if tables.cell_paths(folder):  # else these tables are what the results were read from
        paths = tables.write_tables(folder, results.curves, results.runs)
    frames = {name: getattr(digest, name) for name in ("summary", "aggregates", "comparisons")}
    texts = {f"{name}.csv": to_csv(frame) for name, frame in frames.items()}
    compose = partial(page_sections, folder, results.runs, digest, manifest)
    source, options = adapt(results, DEFAULT_OPTIONS)
    paths += write_report(folder, texts, KINDS, source, compose, options=options)
    if not html_report.missing_packages():
        page = html_report.compose_html(folder, results, source, digest, manifest, png_paths(paths))
        paths.append(folder / html_report.NAME)
        write_text(paths[-1], page)
    if warning := sweep_tables.mixed_versions_text(results.runs):
        warn(warning)
    return paths


def page_sections(
    folder: Path,
    runs: pd.DataFrame,
    digest: sweep_tables.Digest,
    manifest: SweepManifest,
    pictures: Sequence[Path],
) -> list[Section]:
    """Returns the sections of `index.md`, from the tables of a folder and its figures' paths."""
    warning = sweep_tables.mixed_versions_text(runs)
    introduction = [
        escape_markdown(manifest.description),
        sweep_tables.outcome_text(runs) + ".",
        f"**{escape_markdown(warning)}.**" if warning else "",
    ]
    summary, lost_runs = sweep_tables.summary_table(digest), sweep_tables.lost_runs_table(runs)
    totals = [escape_markdown(sweep_tables.missing_totals_text(digest))]
    if sweep_tables.has_totals(digest):
        legend = escape_markdown(sweep_tables.totals_legend(digest))
        totals = [to_markdown(sweep_tables.totals_table(digest)), legend]
    table = protocol.protocol_table(runs, manifest)
    is_known = len(table.heads) > 1  # the first one is the environment
    protocol_blocks = [to_markdown(table), protocol.NOTE] if is_known else []
    entries = sweep_tables.description_text(runs, manifest).items()
    description = "\n".join(f"- {name}: {escape_markdown(text)}" for name, text in entries)
    settings = protocol.settings_tables(runs, manifest).items()
    lines, remark = protocol.command_lines(folder, runs, manifest)
    return [
        Section(f"Results: {escape_markdown(folder.resolve().name)}", introduction, level=1),
        Section("Summary", [to_markdown(summary), sweep_tables.summary_legend(digest)]),
        Section("Over all environments", totals),
        Section("Figures", figure_blocks(folder, KINDS, pictures)),
        Section("Runs that diverged or failed", [to_markdown(lost_runs)] if lost_runs.rows else []),
        Section("What was run", [*protocol_blocks, description]),
        *(Section(title, [to_markdown(table)]) for title, table in settings),
        files_section(sweep_tables.result_files(folder)),
        Section("Run it again", ["\n".join(f"    {line}" for line in lines), remark]),
    ]
