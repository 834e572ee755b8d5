"""The report of a sweep's results folder: its tables, figures, `index.md` and `report.html`.

All is made anew from the folder's cells; a folder in which runs are unfinished or failed has a
report of what it holds. `rl_es.analysis.sweep_tables` has the content of both pages.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from rl_es.analysis import html
from rl_es.analysis import results as folder_results
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.formatting import (
    escape_markdown,
    to_csv,
    to_markdown,
)
from rl_es.analysis.html.embedded import read_film_strips
from rl_es.analysis.report import Section, figure_blocks, files_section, png_paths, write_report
from rl_es.analysis.summary import Digest, make_digest
from rl_es.analysis.sweep_tables import (
    command_lines,
    description_text,
    has_totals,
    lost_runs_table,
    mixed_versions_text,
    outcome_text,
    result_files,
    settings_table,
    summary_legend,
    summary_table,
    totals_legend,
    totals_table,
)
from rl_es.results import tables
from rl_es.results.files import write_text
from rl_es.results.manifest import (
    SweepManifest,
    read_sweep_manifest,
)


def write(folder: Path, warn: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Writes the tables, figures and pages of a results folder; returns their paths.

    The pages are `index.md` and, where the libraries that it needs are installed, `report.html`.

    Args:
      folder: the results folder.
      warn: called with a warning for readers of the tables, if there is one.

    Raises:
      UserError: the folder holds no cell, or a damaged file.
    """
    results = folder_results.load_results(folder)
    read_film_strips(folder)  # reports a damaged file before anything is written
    digest, manifest = make_digest(results), read_sweep_manifest(folder)
    written: list[Path] = []
    if tables.cell_paths(folder):  # else these tables are what the results were read from
        written = tables.write_tables(folder, results.curves, results.runs)

    def compose(pictures: Sequence[Path]) -> list[Section]:
        return page_sections(folder, results.runs, digest, manifest, pictures)

    texts = {f"{name}.csv": to_csv(table) for name, table in digest.tables().items()}
    written += write_report(folder, texts, KINDS, results, compose)
    if not html.missing_packages():
        from rl_es.analysis.html.report import compose_html  # its page is made of the tables below

        page = compose_html(folder, results, digest, manifest, png_paths(written))
        written.append(folder / html.NAME)
        write_text(written[-1], page)
    if mixed := mixed_versions_text(results.runs):
        warn(mixed)
    return written


def page_sections(
    folder: Path,
    runs: pd.DataFrame,
    digest: Digest,
    manifest: SweepManifest,
    pictures: Sequence[Path],
) -> list[Section]:
    """Returns the sections of `index.md`, from the tables of a folder and its figures' paths."""
    mixed, lost = mixed_versions_text(runs), lost_runs_table(runs)
    introduction = [
        escape_markdown(manifest.description),
        outcome_text(runs) + ".",
        f"**{escape_markdown(mixed)}.**" if mixed else "",
    ]
    totals: list[str] = []
    if has_totals(digest):
        totals = [to_markdown(totals_table(digest)), escape_markdown(totals_legend(digest))]
    described = description_text(runs, manifest)
    lines, remark = command_lines(folder, runs)
    return [
        Section(f"Results: {escape_markdown(folder.resolve().name)}", introduction, level=1),
        Section("Summary", [to_markdown(summary_table(digest)), summary_legend(digest)]),
        Section("Over all environments", totals),
        Section("Figures", figure_blocks(folder, KINDS, pictures)),
        Section("Runs that diverged or failed", [to_markdown(lost)] if lost.rows else []),
        Section(
            "What was run",
            ["\n".join(f"- {name}: {escape_markdown(text)}" for name, text in described.items())],
        ),
        Section("Settings", [to_markdown(settings_table(runs))]),
        files_section(result_files(folder)),
        Section("Run it again", ["\n".join(f"    {line}" for line in lines), remark]),
    ]
