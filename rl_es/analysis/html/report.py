"""`report.html` of a sweep: its sections, and the file that is made of them by templates.

A section is data and the template that draws it; `templates/page.html` includes the sections, the
style and the scripts. Tables and texts are those of `index.md` (`rl_es.analysis.sweep_tables`).

Plotly's own `to_html` is not used. It would hold the data of a panel once per abscissa, and it has
no switches that act on all panels, no theme and no page of ours around it. Only plotly's library is
taken, and `curves.js` draws with it.
"""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from rl_es.analysis import sweep_tables
from rl_es.analysis.drawing import captions
from rl_es.analysis.drawing.figure_kinds import figure_caption
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.formatting import Table, format_count
from rl_es.analysis.html.embedded import (
    curve_data,
    data_address,
    encoded_length,
    fit_bytes,
    read_film_strips,
)
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import REPLICATES
from rl_es.analysis.summary import Digest
from rl_es.results.manifest import SweepManifest

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("page.js", "tables.js", "curves.js", "replays.js")
FORMATS = ("svg", "pdf")  # of further files beside a figure's picture
MOST_PICTURES = 5_000_000  # characters of all figures in the page
MOST_PAGE = 12_000_000  # characters of a page, up to which films are put into it
FRAME = 5_200_000  # characters of plotly, style, scripts and text
BARS = "The bar under an interval shows where it lies in its environment, from worst to best."


@dataclass(frozen=True)
class ReportHeader:
    """The top of the page; `details` are folded away, and an empty `warning` is left out."""

    title: str
    description: str
    outcome: str
    warning: str
    line: str
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportSection:
    """A part of the page.

    Attributes:
      anchor: the address of the section within the page.
      title: the heading.
      template: the name of `templates/<template>.html`, which draws the section.
      content: the variable `content` of the template.
    """

    anchor: str
    title: str
    template: str
    content: Any


def render_document(header: ReportHeader, sections: Sequence[ReportSection]) -> str:
    """Returns the page as HTML; it contains plotly if a section draws curves."""
    from markupsafe import Markup

    library = ""
    if any(section.template == "curves" for section in sections):
        from plotly.offline import get_plotlyjs

        library = get_plotlyjs()
    return (
        _environment()
        .get_template("page.html")
        .render(
            header=header,
            sections=sections,
            style=Markup((TEMPLATES / "page.css").read_text()),
            theme=Markup((TEMPLATES / "theme.js").read_text()),
            library=Markup(library),
            scripts=[Markup((TEMPLATES / name).read_text()) for name in SCRIPTS],
        )
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breaks": _breaks, "key": _key}
    return environment


def _key(number: float) -> str:
    """Returns a number as JavaScript reads it; empty text for NaN."""
    return "" if math.isnan(number) else repr(number).replace("inf", "Infinity")


def _breaks(text: str) -> Any:
    """Returns escaped text that may be broken after the signs that join the parts of a name."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=\w)([_/-])(?=\w)", r"\1<wbr>", str(escape(text))))


@dataclass(frozen=True)
class EmbeddedPicture:
    """A figure of the page.

    Attributes:
      name: the name of its files without suffix.
      caption: what it shows.
      source: the address of the picture, inside the page or beside it.
      width: pixels.
      height: pixels.
      beside: the address of the picture's own file.
      formats: the name and the address of each file in another format.
    """

    name: str
    caption: str
    source: str
    width: int
    height: int
    beside: str
    formats: tuple[tuple[str, str], ...]


def embed_picture(path: Path, embedded: Collection[Path]) -> EmbeddedPicture:
    """Returns the figure of a PNG file, whose content is in the page if it is in `embedded`."""
    files = [path.with_suffix(f".{suffix}") for suffix in FORMATS]
    with Image.open(path) as image:
        width, height = image.size
    return EmbeddedPicture(
        path.stem,
        figure_caption(KINDS, path.stem),
        data_address(path, embedded),
        width,
        height,
        data_address(path, ()),
        tuple((f.suffix[1:].upper(), data_address(f, ())) for f in files if f.exists()),
    )


def compose_html(
    folder: Path,
    results: ResultTables,
    digest: Digest,
    manifest: SweepManifest,
    pictures: Sequence[Path],
) -> str:
    """Returns the page as HTML.

    Args:
      folder: the results folder.
      results: what it holds.
      digest: the tables made from them.
      manifest: the folder's manifest.
      pictures: the figures' PNG files.

    Raises:
      UserError: a damaged `replays.json`.
    """
    sections = list(_sections(folder, results, digest, pictures))
    return render_document(_header(folder, results.runs, manifest), sections)


def _sections(
    folder: Path, results: ResultTables, digest: Digest, pictures: Sequence[Path]
) -> Iterator[ReportSection]:
    runs, films = results.runs, read_film_strips(folder)
    embedded = fit_bytes(pictures, MOST_PICTURES)
    legend = f"{sweep_tables.summary_legend(digest)} {BARS}"
    yield _table_section(
        "summary", "Summary", sweep_tables.summary_table(digest), legend, stack=False
    )
    if sweep_tables.has_totals(digest):
        table, legend = sweep_tables.totals_table(digest), sweep_tables.totals_legend(digest)
        yield _table_section("totals", "Over all environments", table, legend, stack=False)
    curves = {"data": curve_data(results), "notes": _curve_notes(results)}
    yield ReportSection("curves", "Learning curves", "curves", curves)
    figures = [embed_picture(path, embedded) for path in pictures]
    yield ReportSection("figures", "Figures", "figures", figures)
    lost, running = sweep_tables.lost_runs_table(runs), sweep_tables.running_table(runs)
    if lost.rows:
        yield _table_section("lost", "Runs that diverged or failed", lost)
    if running.rows:
        yield _table_section("running", "Runs still going", running)
    if films.replays or films.missing:
        used = FRAME + sum(map(encoded_length, embedded))
        strips = films.strips(fit_bytes(films.files, MOST_PAGE - used))
        content = {"strips": strips, "missing": films.missing}
        yield ReportSection("replays", "Replays", "replays", content)
    yield _table_section("settings", "Settings", sweep_tables.settings_table(runs))
    yield ReportSection("files", "Files", "files", sweep_tables.result_files(folder))
    commands, remark = sweep_tables.command_lines(folder, runs)
    yield ReportSection("again", "Run it again", "commands", {"lines": commands, "remark": remark})


def _table_section(
    anchor: str, title: str, table: Table, note: str = "", stack: bool = True
) -> ReportSection:
    """Returns a section with a table; `stack`: phones show the cells of a row below each other."""
    return ReportSection(anchor, title, "table", {"table": table, "note": note, "stack": stack})


def _curve_notes(results: ResultTables) -> list[str]:
    return [
        *captions.bands_note(results.runs, REPLICATES, False),
        *captions.time_note(results.curves),
        *captions.runs_note(results.curves, results.runs),
    ]


def _header(folder: Path, runs: pd.DataFrame, manifest: SweepManifest) -> ReportHeader:
    nouns = {"label": "agent", "env": "environment", "seed": "seed"}
    line = [format_count(runs[column].nunique(), noun) for column, noun in nouns.items()]
    seconds = sweep_tables.training_seconds(runs)
    line.append(f"{sweep_tables.duration_text(seconds)} of training")
    line += [*manifest.of_starts("processor")[:1], *manifest.of_starts("device")[:1]]
    line += [time[:10] for time in manifest.of_starts("time")[-1:]]
    mixed = sweep_tables.mixed_versions_text(runs)
    return ReportHeader(
        ", ".join(sorted({str(name) for name in runs["sweep"]})) or folder.resolve().name,
        manifest.description,
        sweep_tables.outcome_text(runs),
        f"{mixed}." if mixed else "",
        " · ".join(line),
        sweep_tables.description_text(runs, manifest),
    )
