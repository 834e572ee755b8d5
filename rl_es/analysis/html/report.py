"""`report.html` of a sweep: one file that contains all that it needs and opens without a network.

The page is a header and sections; a section is data and the template that draws it. Tables and
texts are those of `index.md` (`rl_es.analysis.sweep_tables`). Curves are the means and bands that
the figures draw, thinned for the browser, with the labels, names and styles of the figures in
plotly's terms.
Pictures and films are inline, as `data:` addresses, as far as there is room, else files beside the
page. Text is escaped by the templates, and once more by the script where plotly would read it as
markup.

Plotly's own `to_html` is not used. It would hold the data of a panel once per abscissa, and it has
no switches that act on all panels, no theme and no page of ours around it. Only plotly's library is
taken, and `curves.js` draws with it.

Axis letters: T grid points.
"""

import base64
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image

from rl_es.analysis import drawing, protocol, sweep_tables
from rl_es.analysis.curves import (
    COUNTED_STATUSES,
    Curve,
    align,
    counted_curves,
    curves_of_runs,
    per_run_seconds,
)
from rl_es.analysis.drawing import Style, natural_order
from rl_es.analysis.figures.catalogue import KINDS
from rl_es.analysis.formatting import Table, format_count, format_number, steps_cell
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics import REPLICATES, bootstrap
from rl_es.results import replays
from rl_es.results.files import path_beside
from rl_es.results.manifest import SweepManifest

NAME = "report.html"
NEEDS = ("jinja2", "plotly")
TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("page.js", "tables.js", "curves.js", "replays.js")
FORMATS = ("svg", "pdf")  # of further files beside a figure's picture
MOST_PICTURES = 5_000_000  # characters of all figures in the page
MOST_PAGE = 12_000_000  # characters of a page, up to which films are put into it
FRAME = 5_200_000  # characters of plotly, style, scripts and text
MOST_NUMBERS = 150_000  # numbers in the page for means, and for seeds: some megabytes of text
FEWEST_POINTS = 20  # that a mean keeps, however many there are
DIGITS = 5
STAGES = ("early", "middle", "final")
WIDTH = 2.0  # pixels of a mean's line; matplotlib's dashes are in units of the line's width
BARS = "The bar under an interval shows where it lies in its environment, from worst to best."
_TYPES = {".png": "image/png", ".mp4": "video/mp4"}
_SYMBOLS = {  # matplotlib's marker -> plotly's symbol, and its outline: eight pixels, round (0, 0)
    "o": ("circle", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z"),
    "s": ("square", "M-3.5 -3.5h7v7h-7Z"),
    "^": ("triangle-up", "M0 -4L4.3 3.5H-4.3Z"),
    "D": ("diamond", "M0 -4.6L4.6 0L0 4.6L-4.6 0Z"),
    "v": ("triangle-down", "M0 4L4.3 -3.5H-4.3Z"),
    "P": ("cross", "M-1.5 -4.2h3v2.7h2.7v3h-2.7v2.7h-3v-2.7h-2.7v-3h2.7Z"),
    "X": ("x", "M-4 -2L-2 -4L0 -2L2 -4L4 -2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0Z"),
    "p": ("pentagon", "M0 -4.4L4.2 -1.3L2.6 3.6H-2.6L-4.2 -1.3Z"),
    "<": ("triangle-left", "M-4 0L3.5 -4.3V4.3Z"),
    ">": ("triangle-right", "M4 0L-3.5 -4.3V4.3Z"),
    "h": ("hexagon", "M0 -4.4L3.8 -2.2V2.2L0 4.4L-3.8 2.2V-2.2Z"),
    "*": (
        "star",
        "M0 -4.8L1.1 -1.5L4.6 -1.5L1.8 .6L2.8 3.9L0 1.9L-2.8 3.9L-1.8 .6L-4.6 -1.5L-1.1 -1.5Z",
    ),
    "d": ("diamond-tall", "M0 -5L2.9 0L0 5L-2.9 0Z"),
    "8": ("octagon", "M-1.7 -4H1.7L4 -1.7V1.7L1.7 4H-1.7L-4 1.7V-1.7Z"),
    "H": ("hexagon2", "M-4.4 0L-2.2 -3.8H2.2L4.4 0L2.2 3.8H-2.2Z"),
}


def missing_packages() -> list[str]:
    """Returns the libraries that the page needs and that are not installed."""
    return [name for name in NEEDS if find_spec(name) is None]


def compose_html(
    folder: Path,
    results: ResultTables,
    adapted: ResultTables,
    digest: sweep_tables.Digest,
    manifest: SweepManifest,
    pictures: Sequence[Path],
) -> str:
    """Returns the page as HTML; it contains plotly if it draws curves.

    Args:
      folder: the results folder.
      results: what it holds, for tables and films.
      adapted: the same as figures show it, for curves.
      digest: the tables made from them.
      manifest: the folder's manifest.
      pictures: the figures' PNG files.

    Raises:
      UserError: a damaged `replays.json`.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    def raw(name: str) -> Markup:
        return Markup((TEMPLATES / name).read_text(encoding="utf-8"))

    page = _environment().get_template("page.html")
    return page.render(
        header=_header(folder, results.runs, manifest),
        sections=list(_sections(folder, results.runs, adapted, digest, manifest, pictures)),
        style=raw("page.css"),
        theme=raw("theme.js"),
        library=Markup(get_plotlyjs()),
        scripts=[raw(name) for name in SCRIPTS],
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


def _header(folder: Path, runs: pd.DataFrame, manifest: SweepManifest) -> dict[str, Any]:
    """Returns the top of the page; `details` are folded away, an empty `warning` is left out."""
    nouns = {"label": "agent", "env": "environment", "seed": "seed"}
    line = [format_count(runs[column].nunique(), noun) for column, noun in nouns.items()]
    line.append(f"{sweep_tables.training_time(runs)} of training")
    line += [*manifest.of_starts("processor")[:1], *manifest.of_starts("device")[:1]]
    line += [time[:10] for time in manifest.of_starts("time")[-1:]]
    warning = sweep_tables.mixed_versions_text(runs)
    return {
        "title": ", ".join(sorted({str(name) for name in runs["sweep"]})) or folder.resolve().name,
        "description": manifest.description,
        "outcome": sweep_tables.outcome_text(runs),
        "warning": f"{warning}." if warning else "",
        "line": " · ".join(line),
        "details": sweep_tables.description_text(runs, manifest),
    }


@dataclass(frozen=True)
class HtmlSection:
    """A part of the page, at the address `#anchor`.

    `templates/<template>.html` draws it from its variable `content`.
    """

    anchor: str
    title: str
    template: str
    content: Any


def _sections(
    folder: Path,
    runs: pd.DataFrame,
    adapted: ResultTables,
    digest: sweep_tables.Digest,
    manifest: SweepManifest,
    pictures: Sequence[Path],
) -> Iterator[HtmlSection]:
    films = replays.read_replays(folder)
    inline = fit_bytes(pictures, MOST_PICTURES)
    table, note = sweep_tables.summary_table(digest), sweep_tables.summary_legend(digest)
    yield _table_section("summary", "Summary", table, f"{note} {BARS}", stack=False)
    if sweep_tables.has_totals(digest):
        table, note = sweep_tables.totals_table(digest), sweep_tables.totals_legend(digest)
        yield _table_section("totals", "Over all environments", table, note, stack=False)
    elif text := sweep_tables.missing_totals_text(digest):
        yield HtmlSection("totals", "Over all environments", "text", text)
    notes = [
        *drawing.bands_note(adapted.runs, REPLICATES, False),
        *drawing.time_note(adapted.curves),
        *drawing.runs_note(adapted.curves, adapted.runs),
    ]
    content: Any = {"data": curve_data(adapted), "notes": notes}
    yield HtmlSection("curves", "Learning curves", "curves", content)
    content = [_picture(path, inline) for path in pictures]
    yield HtmlSection("figures", "Figures", "figures", content)
    lost_runs, running = sweep_tables.lost_runs_table(runs), sweep_tables.running_table(runs)
    if lost_runs.rows:
        yield _table_section("lost", "Runs that diverged or failed", lost_runs)
    if running.rows:
        yield _table_section("running", "Runs still going", running)
    if films.replays or films.texts or films.missing:
        room = MOST_PAGE - FRAME - sum(map(encoded_length, inline))
        files = [path for film in films.replays for path in film_files(folder, film) if path]
        strips = film_strips(folder, films.replays, fit_bytes(files, room))
        texts = text_strips(films.texts)
        content = {"strips": strips, "texts": texts, "missing": films.missing}
        yield HtmlSection("replays", "Replays", "replays", content)
    table = protocol.protocol_table(runs, manifest)
    texts = sweep_tables.description_text(runs, manifest)
    note = f"Seeds: {texts['Seeds']}. Tuned: {texts['Tuned']}. {protocol.NOTE}"
    if len(table.heads) > 1:  # the first one is the environment
        yield _table_section("protocol", "What was run", table, note)
    for title, table in protocol.settings_tables(runs, manifest).items():
        anchor = {protocol.SETTINGS: "settings", protocol.CONSTANTS: "constants"}[title]
        yield _table_section(anchor, title, table)
    yield HtmlSection("files", "Files", "files", sweep_tables.result_files(folder))
    commands, remark = protocol.command_lines(folder, runs, manifest)
    yield HtmlSection("again", "Run it again", "commands", {"lines": commands, "remark": remark})


def _table_section(
    anchor: str, title: str, table: Table, note: str = "", stack: bool = True
) -> HtmlSection:
    """Returns a section with a table; `stack`: phones show the cells of a row below each other."""
    return HtmlSection(anchor, title, "table", {"table": table, "note": note, "stack": stack})


def _picture(path: Path, inline: Collection[Path]) -> dict[str, Any]:
    """Returns the figure of a PNG file, and the addresses of the files in other formats."""
    files = [path.with_suffix(f".{suffix}") for suffix in FORMATS]
    with Image.open(path) as image:
        width, height = image.size
    return {
        "name": path.stem,
        "caption": drawing.figure_caption(KINDS, path.stem),
        "source": data_address(path, inline),
        "width": width,
        "height": height,
        "beside": data_address(path, ()),
        "formats": [(f.suffix[1:].upper(), data_address(f, ())) for f in files if f.exists()],
    }


def fit_bytes(paths: Iterable[Path], room: int) -> frozenset[Path]:
    """Returns the files that fit into so many characters of the page, the smallest first."""
    fitting: set[Path] = set()
    for path in sorted(set(paths), key=lambda path: (path.stat().st_size, path.name)):
        room -= encoded_length(path)
        if room < 0:
            break
        fitting.add(path)
    return frozenset(fitting)


def encoded_length(path: Path) -> int:
    """Returns the number of characters that a file takes in the page."""
    return 4 * -(-path.stat().st_size // 3)


def data_address(path: Path, inline: Collection[Path]) -> str:
    """Returns a `data:` address of a file that is in `inline`, else its path beside the page."""
    if path not in inline:
        return f"{quote(path.parent.name)}/{quote(path.name)}"
    return f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def film_files(folder: Path, film: Mapping[str, Any]) -> list[Path | None]:
    """Returns the video and the poster of a film; None for one that is not in the folder."""
    return [
        path_beside(folder / replays.FOLDER, film[kind], suffix)
        for kind, suffix in replays.FILES.items()
    ]


def film_strips(
    folder: Path, films: Iterable[Mapping[str, Any]], inline: Collection[Path]
) -> list[dict[str, Any]]:
    """Returns the films of each run, in the order of training; runs without a video are left out.

    Args:
      folder: the results folder.
      films: entries of `replays.json`.
      inline: the files that are in the page itself.
    """
    with_video = [film for film in films if film_files(folder, film)[0]]
    return [
        {**run, "films": [_film(folder, film, inline) for film in of_run]}
        for run, of_run in _by_run(with_video)
    ]


def text_strips(texts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the texts that the policies of each run wrote, in the order of training."""
    return [{**run, "samples": list(map(_sample, of_run))} for run, of_run in _by_run(texts)]


def _by_run(
    replays: Iterable[Mapping[str, Any]],
) -> list[tuple[dict[str, Any], list[Mapping[str, Any]]]]:
    """Returns environment, label and seed of each run, and its replays in the order of training."""

    def order(replay: Mapping[str, Any]) -> tuple[Any, ...]:
        run = (natural_order(replay["env"]), natural_order(replay["label"]), replay["seed"])
        return *run, replay["env"], replay["label"], STAGES.index(replay["stage"])

    names = ("env", "label", "seed")
    runs = groupby(sorted(replays, key=order), lambda replay: [replay[name] for name in names])
    return [(dict(zip(names, run, strict=True)), list(of_run)) for run, of_run in runs]


def _film(folder: Path, film: Mapping[str, Any], inline: Collection[Path]) -> dict[str, Any]:
    """Returns a film with the addresses of its files, and a text on its policy and episode."""
    video, poster = (data_address(p, inline) if p else "" for p in film_files(folder, film))
    result = f"return {format_number(film['return'])} in {film['steps']:,} steps"
    text = ": ".join(part for part in (_training(film), result) if part)
    speed = film.get("speed") or 1  # no speed is known where steps have no duration
    text += "" if speed == 1 else f", {speed:.2g} \N{MULTIPLICATION SIGN} real time"
    size = {name: int(film[name]) for name in ("width", "height")}
    return {"stage": film["stage"], "text": text, "video": video, "poster": poster, **size}


def _sample(text: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a text, and a caption on its policy and on how it was drawn."""
    if text.get("episodes") is not None:
        drawn = f"{text['episodes']} episodes from"
    else:
        drawn = f"{text['tokens']} tokens at temperature {text['temperature']:g},"
    drawn += f" episode seed {text['episode_seed']}"
    parts = [_training(text)]
    if text["return_mean"] is not None:
        parts.append(f"mean return {format_number(text['return_mean'])}")
    about = ", ".join(filter(None, parts))
    return {
        "stage": text["stage"],
        "about": about,
        "drawn": drawn,
        "text": text["text"],
        "are_episodes": text.get("episodes") is not None,
    }


def _training(replay: Mapping[str, Any]) -> str:
    """Returns how long the policy of a replay was trained; nothing where that is not known."""
    steps = replay.get("env_steps")
    if steps == 0:
        return "before any training"
    return f"after {steps_cell(steps).text} steps of training" if steps else ""


def curve_data(results: ResultTables, *, replicates: int = REPLICATES) -> dict[str, Any]:
    """Returns what the script draws, ready for JSON.

    Returns:
      `axes`: the title of each abscissa; `labels`: the name and style of each; `environments`: the
      name, what a return measures, thresholds and baselines of each, and in `curves`, for each
      axis, a list of its labels' curves;
      `seeds`: True if the curves have the single seeds that count in means (not where there are
      very many of them).
    """
    axes = curve_abscissae(results.curves)
    seeds = 2 * len(axes) * len(results.curves) <= MOST_NUMBERS
    pairs = len(axes) * len(results.runs[["env", "label"]].drop_duplicates())
    most = max(FEWEST_POINTS, MOST_NUMBERS // (4 * max(pairs, 1)))
    environments = []
    for env in results.environments:
        points = results.curves[results.curves["env"] == env]
        runs = results.runs[results.runs["env"] == env]
        thresholds = np.sort(runs["threshold"].dropna().unique())
        curves: list[list[dict[str, Any]]] = [[] for _ in axes]
        for index, label in enumerate(results.legend):
            rows = runs[runs["label"] == label]
            for x, of_axis in zip(axes.values(), curves, strict=True) if len(rows) else ():
                label_curves = curves_of_runs(points, rows, x.loc[points.index])
                data = _label_data(label_curves, replicates, most, seeds)
                of_axis.append({"label": index, **data})
        environments.append(
            {
                "name": env,
                "return": results.return_label(env),
                "thresholds": curve_numbers(thresholds),
                "baselines": [
                    {"name": name, "y": y} for name, y in results.baselines.get(env, {}).items()
                ],
                "curves": curves,
            }
        )
    return {
        "axes": [{"title": title} for title in axes],
        "labels": [{"name": name, **label_styles(style)} for name, style in results.legend.items()],
        "environments": environments,
        "seeds": seeds,
    }


def label_styles(style: Style) -> dict[str, str]:
    """Returns a style's colour, plotly dash and symbol, and its marker's outline for an SVG."""
    dash = "solid"
    if not isinstance(style.linestyle, str):
        dash = ",".join(f"{length * WIDTH:g}px" for length in style.linestyle[1])
    symbol, outline = _SYMBOLS[style.marker]
    return {"colour": style.colour, "dash": dash, "symbol": symbol, "outline": outline}


def curve_abscissae(curves: pd.DataFrame) -> dict[str, pd.Series]:
    """Returns what returns may be drawn against, by title; aligned with the rows of `curves`."""
    columns = {
        "environment steps": curves["env_steps"].astype(float),
        "wall-clock seconds per run": per_run_seconds(curves),
        "generations": curves["generation"].astype(float),
        "episodes": curves["episodes"].astype(float),
    }
    return {title: column for title, column in columns.items() if column.notna().any()}


def _label_data(
    curves: list[Curve], replicates: int, most: int, include_counted: bool
) -> dict[str, Any]:
    """Returns the mean over counted runs with its interval, and single seeds.

    The mean is on at most `most` points [T]. The seeds are those of runs that are in no mean; with
    `include_counted` all.
    """
    means = counted_curves(curves)
    grid, returns = align(means)
    points = np.unique(np.linspace(0, grid.size - 1, min(most, grid.size)).round().astype(int))
    interval = bootstrap(returns[:, points], replicates=replicates)
    return {
        "n": len(means),
        "x": curve_numbers(grid[points]),
        "mean": curve_numbers(interval.estimate),
        "low": curve_numbers(interval.low),
        "high": curve_numbers(interval.high),
        "seeds": [
            {
                "seed": curve.seed,
                "lost": curve.status not in COUNTED_STATUSES,
                "status": curve.status,
                "x": curve_numbers(curve.x),
                "y": curve_numbers(curve.y),
            }
            for curve in curves
            if include_counted or curve.status not in COUNTED_STATUSES
        ],
    }


def curve_numbers(values: np.ndarray) -> list[float | int | None]:
    """Returns numbers for JSON in few characters: rounded, and None where not finite."""
    numbers = (float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)
    return [int(v) if v is not None and v.is_integer() else v for v in numbers]
