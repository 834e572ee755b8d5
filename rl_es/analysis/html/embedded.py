"""The learning curves as data for the browser: the means and bands that the figures draw.

Axis letters: T grid points.

The styles of the figures in the browser's terms: plotly's dashes and symbols, SVG samples.

Pictures and films in the page itself, as `data:` addresses, as far as there is room.

The films of trained policies for the page: those of one run stand side by side.
"""

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from rl_es.analysis import curves as analysis_curves
from rl_es.analysis import formatting
from rl_es.analysis.drawing.palette import Style, natural_order
from rl_es.analysis.formatting import format_number
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import REPLICATES, bootstrap
from rl_es.results.files import path_beside
from rl_es.results.replays import FILES, FOLDER, read_replays

WIDTH = 2.0  # pixels of a mean's line; matplotlib's dashes are in units of the line's width
_SYMBOLS = {  # matplotlib's marker -> plotly's symbol, and its outline: eight pixels, round (0, 0)
    "o": ("circle", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z"),
    "s": ("square", "M-3.5 -3.5h7v7h-7Z"),
    "^": ("triangle-up", "M0 -4L4.3 3.5H-4.3Z"),
    "D": ("diamond", "M0 -4.6L4.6 0L0 4.6L-4.6 0Z"),
    "v": ("triangle-down", "M0 4L4.3 -3.5H-4.3Z"),
    "P": ("cross", "M-1.5 -4.2h3v2.7h2.7v3h-2.7v2.7h-3v-2.7h-2.7v-3h2.7Z"),
    "X": ("x", "M-4 -2L-2 -4L0 -2L2 -4L4 -2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0Z"),
    "p": ("pentagon", "M0 -4.4L4.2 -1.3L2.6 3.6H-2.6L-4.2 -1.3Z"),
}


def label_styles(style: Style) -> dict[str, str]:
    """A style's colour, plotly dash and symbol, and the outline of its marker for an SVG sample."""
    dash = "solid"
    if not isinstance(style.line, str):
        dash = ",".join(f"{length * WIDTH:g}px" for length in style.line[1])
    symbol, outline = _SYMBOLS[style.marker]
    return {"colour": style.colour, "dash": dash, "symbol": symbol, "outline": outline}


MOST_NUMBERS = 150_000  # numbers in the page for means, and for seeds: some megabytes of text
FEWEST_POINTS = 20  # that a mean keeps, however many there are
DIGITS = 5


def curve_data(results: ResultTables, *, replicates: int = REPLICATES) -> dict[str, Any]:
    """What the script draws, ready for JSON.

    Returns:
      `axes`: the title of each abscissa; `labels`: the name and look of each; `environments`: the
      name and thresholds of each, and in `curves`, for each axis, a list of its labels' curves;
      `seeds`: whether the curves have the single seeds that count in means (not where there are
      very many of them).
    """
    axes = curve_abscissae(results.curves)
    points = len(axes) * len(results.curves)
    seeds = 2 * points <= MOST_NUMBERS
    pairs = len(axes) * len(results.runs[["env", "label"]].drop_duplicates())
    most = max(FEWEST_POINTS, MOST_NUMBERS // (4 * max(pairs, 1)))
    return {
        "axes": [{"title": title} for title in axes],
        "labels": [{"name": name, **label_styles(style)} for name, style in results.shown.items()],
        "environments": [
            _environment(results, env, axes, replicates, most, seeds)
            for env in results.environments
        ],
        "seeds": seeds,
    }


def curve_abscissae(curves: pd.DataFrame) -> dict[str, pd.Series]:
    """What returns may be drawn against, by title; aligned with the rows of `curves`."""
    known = {
        "environment steps": curves["env_steps"].astype(float),
        "wall-clock seconds per run": analysis_curves.per_run_seconds(curves),
        "generations": curves["generation"].astype(float),
    }
    return {title: column for title, column in known.items() if column.notna().any()}


def _environment(
    results: ResultTables,
    env: str,
    axes: Mapping[str, pd.Series],
    replicates: int,
    most: int,
    seeds: bool,
) -> dict[str, Any]:
    """What is drawn of one environment."""
    here = results.curves[results.curves["env"] == env]
    runs = results.runs[results.runs["env"] == env]
    drawn = []
    for x in axes.values():
        curves = []
        for place, label in enumerate(results.shown):
            own = runs[runs["label"] == label]
            if own.empty:
                continue
            found = analysis_curves.curves_of_runs(here, own, x.loc[here.index])
            mean = _mean(found, replicates, most)
            curves.append({"label": place, **mean, "seeds": _single(found, seeds)})
        drawn.append(curves)
    thresholds = np.sort(runs["threshold"].dropna().unique())
    return {"name": env, "thresholds": curve_numbers(thresholds), "curves": drawn}


def _mean(found: list[analysis_curves.Curve], replicates: int, most: int) -> dict[str, Any]:
    """The mean over counted seeds and its interval, on at most `most` points [T]."""
    counted = analysis_curves.counted(found)
    grid, returns = analysis_curves.align(counted)
    kept = np.unique(np.linspace(0, grid.size - 1, min(most, grid.size)).round().astype(int))
    interval = bootstrap(returns[:, kept], replicates=replicates)
    return {
        "n": len(counted),
        "x": curve_numbers(grid[kept]),
        "mean": curve_numbers(interval.estimate),
        "low": curve_numbers(interval.low),
        "high": curve_numbers(interval.high),
    }


def _single(found: list[analysis_curves.Curve], wanted: bool) -> list[dict[str, Any]]:
    """Single seeds: those that are in no mean, and all others too where they are `wanted`."""
    return [
        {
            "seed": curve.seed,
            "lost": curve.status not in analysis_curves.COUNTED,
            "status": curve.status,
            "x": curve_numbers(curve.x),
            "y": curve_numbers(curve.y),
        }
        for curve in found
        if wanted or curve.status not in analysis_curves.COUNTED
    ]


def curve_numbers(values: np.ndarray) -> list[float | int | None]:
    """Numbers for JSON in few characters: rounded, and None where they are not finite."""
    rounded = (float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)
    return [int(v) if v is not None and v.is_integer() else v for v in rounded]


_TYPES = {".png": "image/png", ".mp4": "video/mp4"}


def fit_bytes(paths: Iterable[Path], room: int) -> frozenset[Path]:
    """The files that fit into so many characters of the page, the smallest first."""
    chosen: set[Path] = set()
    for path in sorted(set(paths), key=lambda path: (path.stat().st_size, path.name)):
        room -= encoded_length(path)
        if room < 0:
            break
        chosen.add(path)
    return frozenset(chosen)


def encoded_length(path: Path) -> int:
    """How many characters a file takes in the page."""
    return 4 * -(-path.stat().st_size // 3)


def data_address(path: Path, held: Iterable[Path]) -> str:
    """A `data:` address with a file that is in `held`, else where it lies beside the page."""
    if path not in held:
        return f"{quote(path.parent.name)}/{quote(path.name)}"
    return f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


STAGES = ("early", "middle", "final")


@dataclass(frozen=True)
class EmbeddedFilm:
    """One episode of one policy."""

    stage: str
    said: str
    video: str
    poster: str
    width: int  # pixels
    height: int


@dataclass(frozen=True)
class FilmStrip:
    """The films of a run, in the order of training."""

    env: str
    label: str
    seed: int
    films: tuple[EmbeddedFilm, ...]


@dataclass(frozen=True)
class EmbeddedReplays:
    """The films of a folder, and which are missing, with the reason."""

    folder: Path
    replays: tuple[dict[str, Any], ...] = ()
    missing: tuple[dict[str, Any], ...] = ()

    @property
    def files(self) -> list[Path]:
        """The films and their posters."""
        paths = [self._file(replay, kind) for replay in self.replays for kind in FILES]
        return [path for path in paths if path is not None]

    def strips(self, held: Collection[Path]) -> list[FilmStrip]:
        """The films by environment, label and seed; the files in `held` are in the page."""
        runs: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for replay in self.replays:
            key = (str(replay["env"]), str(replay["label"]), int(replay["seed"]))
            runs.setdefault(key, []).append(replay)
        order = sorted(runs, key=lambda key: (natural_order(key[0]), natural_order(key[1]), key[2]))
        strips = [FilmStrip(*key, tuple(self._films(runs[key], held))) for key in order]
        return [strip for strip in strips if strip.films]

    def _films(
        self, replays: list[dict[str, Any]], held: Collection[Path]
    ) -> Iterator[EmbeddedFilm]:
        for replay in sorted(replays, key=lambda replay: STAGES.index(replay["stage"])):
            video, poster = (self._file(replay, kind) for kind in FILES)
            if video is not None:
                yield EmbeddedFilm(
                    replay["stage"],
                    _said(replay),
                    data_address(video, held),
                    data_address(poster, held) if poster is not None else "",
                    int(replay["width"]),
                    int(replay["height"]),
                )

    def _file(self, replay: dict[str, Any], kind: str) -> Path | None:
        """A file of a film; None if it does not exist, or is not in this folder."""
        return path_beside(self.folder, replay[kind], FILES[kind])


def read_film_strips(folder: Path) -> EmbeddedReplays:
    """The replays of a results folder; none where it has no list of them.

    Raises:
      UserError: the list is damaged, or of another version.
    """
    found = read_replays(folder)
    return EmbeddedReplays(folder / FOLDER, tuple(found.replays), tuple(found.missing))


def _said(replay: dict[str, Any]) -> str:
    """'after 532k steps of training: return 500.0 in 500 steps, 2 x real time'."""
    trained = replay.get("env_steps")
    after = f"after {formatting.steps_cell(trained).text} steps of training: " if trained else ""
    said = f"{after}return {format_number(replay['return'])} in {replay['steps']:,} steps"
    speed = replay.get("speed") or 1  # no speed is known where steps have no duration
    return said if speed == 1 else f"{said}, {speed:.2g} \N{MULTIPLICATION SIGN} real time"
