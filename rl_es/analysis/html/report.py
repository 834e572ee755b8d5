"""`report.html` of a sweep: its sections and their content.

A page of sections as one file: its templates, style and scripts put together.

The figures of a results folder, as the page shows them.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from rl_es.analysis import formatting, pages
from rl_es.analysis.drawing import captions
from rl_es.analysis.formatting import Table
from rl_es.analysis.html import embedded
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import REPLICATES
from rl_es.analysis.summary import Digest
from rl_es.results import manifest
from rl_es.results.manifest import SweepManifest

FOLDER = Path(__file__).parent / "templates"
SCRIPTS = ("page.js", "tables.js", "curves.js", "replays.js")


@dataclass(frozen=True)
class ReportHeader:
    """The top of the page; `details` are folded away, and a `warning` is shown if there is one."""

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
      anchor: its address within the page.
      title: its heading.
      template: `templates/<template>.html`, which draws it.
      content: the variable `content` of the template.
    """

    anchor: str
    title: str
    template: str
    content: Any


def render_document(header: ReportHeader, sections: Sequence[ReportSection]) -> str:
    """The whole page; it contains plotly if a section draws curves."""
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
            style=Markup((FOLDER / "page.css").read_text()),
            theme=Markup((FOLDER / "theme.js").read_text()),
            library=Markup(library),
            scripts=[Markup((FOLDER / name).read_text()) for name in SCRIPTS],
        )
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breaks": _breaks, "key": _key}
    return environment


def _key(number: float) -> str:
    """A number as JavaScript reads it; empty for NaN."""
    known = repr(number).replace("inf", "Infinity")
    return "" if math.isnan(number) else known


def _breaks(text: str) -> Any:
    """Escaped text that may be broken after the signs that join the parts of a name."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=\w)([_/-])(?=\w)", r"\1<wbr>", str(escape(text))))


FORMATS = ("svg", "pdf")  # of further files beside the picture


@dataclass(frozen=True)
class EmbeddedPicture:
    """A figure: its picture, inside the page or beside it, and its files in other formats."""

    name: str
    caption: str
    source: str
    width: int  # pixels
    height: int
    beside: str  # the picture's own file
    others: tuple[tuple[str, str], ...]  # (format, file)


def embed_pictures(
    paths: Sequence[Path], held: Collection[Path], caption: Callable[[str], str]
) -> list[EmbeddedPicture]:
    """The figures of these PNG files, with the caption of each; those in `held` are in the page."""
    return [_picture(path, held, caption(path.stem)) for path in paths]


def _picture(path: Path, held: Collection[Path], caption: str) -> EmbeddedPicture:
    others = [path.with_suffix(f".{kind}") for kind in FORMATS]
    with Image.open(path) as image:
        width, height = image.size
    return EmbeddedPicture(
        path.stem,
        caption,
        embedded.data_address(path, held),
        width,
        height,
        embedded.data_address(path, ()),
        tuple((o.suffix[1:].upper(), embedded.data_address(o, ())) for o in others if o.exists()),
    )


PICTURES = 5_000_000  # most characters of all figures
WHOLE = 12_000_000  # characters of a page, up to which films are put into it
BARS = "The bar under an interval shows where it lies in its environment, from worst to best."
FRAME = 5_200_000  # characters of plotly, style, scripts and text


def compose_html(
    folder: Path,
    results: ResultTables,
    digest: Digest,
    drawn: Sequence[Path],
) -> str:
    """The page.

    Args:
      folder: of the results.
      results: of the folder.
      digest: the tables made from them.
      drawn: the figures' PNG files.

    Raises:
      UserError: a damaged `manifest.json` or `replays.json`.
    """
    asked = manifest.read_sweep_manifest(folder)
    sections = list(_sections(folder, results, digest, drawn))
    return render_document(_header(folder, results.runs, asked), sections)


def _sections(
    folder: Path,
    results: ResultTables,
    digest: Digest,
    drawn: Sequence[Path],
) -> Iterator[ReportSection]:
    runs, films = results.runs, embedded.read_film_strips(folder)
    lines, shown = embedded.curve_data(results), embedded.fit_bytes(drawn, PICTURES)
    yield ReportSection(
        "summary",
        "Summary",
        "table",
        _rows(pages.summary_table(digest), f"{pages.summary_legend(digest)} {BARS}", stack=False),
    )
    if pages.has_totals(digest):
        table, note = pages.totals_table(digest), pages.totals_legend(digest)
        yield ReportSection(
            "totals", "Over all environments", "table", _rows(table, note, stack=False)
        )
    yield ReportSection(
        "curves", "Learning curves", "curves", {"data": lines, "notes": _notes(results)}
    )
    yield ReportSection(
        "figures", "Figures", "figures", embed_pictures(drawn, shown, pages.figures_caption)
    )
    for anchor, title, table in (
        ("lost", "Runs that diverged or failed", pages.lost_runs_table(runs)),
        ("running", "Runs still going", pages.running_text(runs)),
    ):
        if table.rows:
            yield ReportSection(anchor, title, "table", _rows(table))
    if films.replays or films.missing:
        used = FRAME + sum(map(embedded.encoded_length, shown))
        strips = films.strips(embedded.fit_bytes(films.files, WHOLE - used))
        content = {"strips": strips, "missing": films.missing}
        yield ReportSection("replays", "Replays", "replays", content)
    yield ReportSection("settings", "Settings", "table", _rows(pages.settings_table(runs)))
    yield ReportSection("files", "Files", "files", pages.result_files_text(folder))
    commands, remark = pages.command_lines(folder, runs)
    yield ReportSection("again", "Run it again", "commands", {"lines": commands, "remark": remark})


def _rows(table: Table, note: str = "", stack: bool = True) -> dict[str, object]:
    """A section's table; `stack`: whether a phone shows the cells of a row below each other."""
    return {"table": table, "note": note, "stack": stack}


def _notes(results: ResultTables) -> list[str]:
    return [
        *captions.bands_note(results.runs, REPLICATES, False),
        *captions.time_note(results.curves),
        *captions.runs_note(results.curves, results.runs),
    ]


def _header(folder: Path, runs: pd.DataFrame, asked: SweepManifest) -> ReportHeader:
    sizes = [
        formatting.format_count(runs["label"].nunique(), "agent"),
        formatting.format_count(runs["env"].nunique(), "environment"),
        formatting.format_count(runs["seed"].nunique(), "seed"),
    ]
    where = [*asked.of_starts("processor")[:1], *asked.of_starts("device")[:1]]
    line = [*sizes, f"{pages.duration_text(pages.seconds_text(runs))} of training", *where]
    line += [time[:10] for time in asked.of_starts("time")[-1:]]
    return ReportHeader(
        ", ".join(sorted({str(name) for name in runs["sweep"]})) or folder.resolve().name,
        asked.description,
        pages.outcome_text(runs),
        f"{mixed}." if (mixed := pages.mixed_versions_text(runs)) else "",
        " · ".join(line),
        pages.description_text(runs, asked),
    )
