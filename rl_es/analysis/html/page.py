"""`report.html` of a sweep: its sections and their content."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from rl_es.analysis import digits, facts, manifest, overview
from rl_es.analysis.cells import Table
from rl_es.analysis.digest import Digest
from rl_es.analysis.drawing import notes
from rl_es.analysis.html import curves, document, media, replays
from rl_es.analysis.html.document import Header, Section
from rl_es.analysis.html.figures import pictures
from rl_es.analysis.manifest import Manifest
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import REPLICATES

PICTURES = 5_000_000  # most characters of all figures
WHOLE = 12_000_000  # characters of a page, up to which films are put into it
BARS = "The bar under an interval shows where it lies in its environment, from worst to best."
FRAME = 5_200_000  # characters of plotly, style, scripts and text


def compose(
    folder: Path,
    results: Results,
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
    asked = manifest.read(folder)
    sections = list(_sections(folder, results, digest, drawn))
    return document.render(_header(folder, results.runs, asked), sections)


def _sections(
    folder: Path,
    results: Results,
    digest: Digest,
    drawn: Sequence[Path],
) -> Iterator[Section]:
    runs, films = results.runs, replays.read(folder)
    lines, shown = curves.data(results), media.fitting(drawn, PICTURES)
    yield Section(
        "summary",
        "Summary",
        "table",
        _rows(overview.table(digest), f"{overview.legend(digest)} {BARS}", stack=False),
    )
    if overview.has_totals(digest):
        table, note = overview.totals(digest), overview.legend_of_totals(digest)
        yield Section("totals", "Over all environments", "table", _rows(table, note, stack=False))
    yield Section("curves", "Learning curves", "curves", {"data": lines, "notes": _notes(results)})
    yield Section("figures", "Figures", "figures", pictures(drawn, shown, facts.caption))
    for anchor, title, table in (
        ("lost", "Runs that diverged or failed", facts.lost(runs)),
        ("running", "Runs still going", facts.running(runs)),
    ):
        if table.rows:
            yield Section(anchor, title, "table", _rows(table))
    if films.replays or films.missing:
        used = FRAME + sum(map(media.characters, shown))
        strips = films.strips(media.fitting(films.files, WHOLE - used))
        content = {"strips": strips, "missing": films.missing}
        yield Section("replays", "Replays", "replays", content)
    yield Section("settings", "Settings", "table", _rows(facts.settings(runs)))
    yield Section("files", "Files", "files", facts.files(folder))
    commands, remark = facts.commands(folder, runs)
    yield Section("again", "Run it again", "commands", {"lines": commands, "remark": remark})


def _rows(table: Table, note: str = "", stack: bool = True) -> dict[str, object]:
    """A section's table; `stack`: whether a phone shows the cells of a row below each other."""
    return {"table": table, "note": note, "stack": stack}


def _notes(results: Results) -> list[str]:
    return [
        *notes.on_bands(results.runs, REPLICATES, False),
        *notes.on_time(results.curves),
        *notes.on_runs(results.curves, results.runs),
    ]


def _header(folder: Path, runs: pd.DataFrame, asked: Manifest) -> Header:
    sizes = [
        digits.several(runs["label"].nunique(), "agent"),
        digits.several(runs["env"].nunique(), "environment"),
        digits.several(runs["seed"].nunique(), "seed"),
    ]
    where = [*asked.of_starts("processor")[:1], *asked.of_starts("device")[:1]]
    line = [*sizes, f"{facts.duration(facts.seconds(runs))} of training", *where]
    line += [time[:10] for time in asked.of_starts("time")[-1:]]
    return Header(
        ", ".join(sorted({str(name) for name in runs["sweep"]})) or folder.resolve().name,
        asked.description,
        facts.outcome(runs),
        f"{mixed}." if (mixed := facts.mixed(runs)) else "",
        " · ".join(line),
        facts.what(runs, asked),
    )
