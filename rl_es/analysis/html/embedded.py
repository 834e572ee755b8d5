"""What the page holds besides text: learning curves as data, pictures and films.

Curves are the means and bands that the figures draw, thinned for the browser, with the styles of
the figures in plotly's terms. Pictures and films are `data:` addresses in the page itself as far as
there is room, else files beside it. Axis letters: T grid points.
"""

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from rl_es.analysis.curves import (
    COUNTED_STATUSES,
    Curve,
    align,
    counted_curves,
    curves_of_runs,
    per_run_seconds,
)
from rl_es.analysis.drawing.palette import Style, natural_order
from rl_es.analysis.formatting import format_number, steps_cell
from rl_es.analysis.results import ResultTables
from rl_es.analysis.statistics.intervals import REPLICATES, bootstrap
from rl_es.results.files import path_beside
from rl_es.results.replays import FILES, FOLDER, read_replays

MOST_NUMBERS = 150_000  # numbers in the page for means, and for seeds: some megabytes of text
FEWEST_POINTS = 20  # that a mean keeps, however many there are
DIGITS = 5
STAGES = ("early", "middle", "final")
_TYPES = {".png": "image/png", ".mp4": "video/mp4"}
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
    """Returns a style's colour, plotly dash and symbol, and its marker's outline for an SVG."""
    dash = "solid"
    if not isinstance(style.line, str):
        dash = ",".join(f"{length * WIDTH:g}px" for length in style.line[1])
    symbol, outline = _SYMBOLS[style.marker]
    return {"colour": style.colour, "dash": dash, "symbol": symbol, "outline": outline}


def curve_data(results: ResultTables, *, replicates: int = REPLICATES) -> dict[str, Any]:
    """Returns what the script draws, ready for JSON.

    Returns:
      `axes`: the title of each abscissa; `labels`: the name and style of each; `environments`: the
      name and thresholds of each, and in `curves`, for each axis, a list of its labels' curves;
      `seeds`: True if the curves have the single seeds that count in means (not where there are
      very many of them).
    """
    axes = curve_abscissae(results.curves)
    points = len(axes) * len(results.curves)
    seeds = 2 * points <= MOST_NUMBERS
    pairs = len(axes) * len(results.runs[["env", "label"]].drop_duplicates())
    most = max(FEWEST_POINTS, MOST_NUMBERS // (4 * max(pairs, 1)))
    return {
        "axes": [{"title": title} for title in axes],
        "labels": [{"name": name, **label_styles(style)} for name, style in results.legend.items()],
        "environments": [
            _environment_data(results, env, axes, replicates, most, seeds)
            for env in results.environments
        ],
        "seeds": seeds,
    }


def curve_abscissae(curves: pd.DataFrame) -> dict[str, pd.Series]:
    """Returns what returns may be drawn against, by title; aligned with the rows of `curves`."""
    columns = {
        "environment steps": curves["env_steps"].astype(float),
        "wall-clock seconds per run": per_run_seconds(curves),
        "generations": curves["generation"].astype(float),
    }
    return {title: column for title, column in columns.items() if column.notna().any()}


def _environment_data(
    results: ResultTables,
    env: str,
    axes: Mapping[str, pd.Series],
    replicates: int,
    most: int,
    seeds: bool,
) -> dict[str, Any]:
    """Returns the thresholds of an environment and its labels' curves for each axis."""
    points = results.curves[results.curves["env"] == env]
    runs = results.runs[results.runs["env"] == env]
    by_axis = []
    for x in axes.values():
        of_labels = []
        for index, label in enumerate(results.legend):
            of_label = runs[runs["label"] == label]
            if of_label.empty:
                continue
            curves = curves_of_runs(points, of_label, x.loc[points.index])
            mean = _mean_data(curves, replicates, most)
            of_labels.append({"label": index, **mean, "seeds": _seed_data(curves, seeds)})
        by_axis.append(of_labels)
    thresholds = np.sort(runs["threshold"].dropna().unique())
    return {"name": env, "thresholds": curve_numbers(thresholds), "curves": by_axis}


def _mean_data(curves: list[Curve], replicates: int, most: int) -> dict[str, Any]:
    """Returns the mean over counted seeds and its interval, on at most `most` points [T]."""
    used = counted_curves(curves)
    grid, returns = align(used)
    points = np.unique(np.linspace(0, grid.size - 1, min(most, grid.size)).round().astype(int))
    interval = bootstrap(returns[:, points], replicates=replicates)
    return {
        "n": len(used),
        "x": curve_numbers(grid[points]),
        "mean": curve_numbers(interval.estimate),
        "low": curve_numbers(interval.low),
        "high": curve_numbers(interval.high),
    }


def _seed_data(curves: list[Curve], include_counted: bool) -> list[dict[str, Any]]:
    """Returns the single seeds that are in no mean; with `include_counted` all others, too."""
    return [
        {
            "seed": curve.seed,
            "lost": curve.status not in COUNTED_STATUSES,
            "status": curve.status,
            "x": curve_numbers(curve.x),
            "y": curve_numbers(curve.y),
        }
        for curve in curves
        if include_counted or curve.status not in COUNTED_STATUSES
    ]


def curve_numbers(values: np.ndarray) -> list[float | int | None]:
    """Returns numbers for JSON in few characters: rounded, and None where not finite."""
    rounded = (float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)
    return [int(v) if v is not None and v.is_integer() else v for v in rounded]


def fit_bytes(paths: Iterable[Path], room: int) -> frozenset[Path]:
    """Returns the files that fit into so many characters of the page, the smallest first."""
    chosen: set[Path] = set()
    for path in sorted(set(paths), key=lambda path: (path.stat().st_size, path.name)):
        room -= encoded_length(path)
        if room < 0:
            break
        chosen.add(path)
    return frozenset(chosen)


def encoded_length(path: Path) -> int:
    """Returns the number of characters that a file takes in the page."""
    return 4 * -(-path.stat().st_size // 3)


def data_address(path: Path, embedded: Collection[Path]) -> str:
    """Returns a `data:` address with a file that is in `embedded`, else its place by the page."""
    if path not in embedded:
        return f"{quote(path.parent.name)}/{quote(path.name)}"
    return f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


@dataclass(frozen=True)
class EmbeddedFilm:
    """One episode of one policy.

    Attributes:
      stage: the stage of training.
      text: how long the policy was trained, and what it reaches.
      video: the address of the film.
      poster: the address of a picture of it; empty without one.
      width: pixels.
      height: pixels.
    """

    stage: str
    text: str
    video: str
    poster: str
    width: int
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
    """The films of a folder, and the films that are missing, with the reason."""

    folder: Path
    replays: tuple[dict[str, Any], ...] = ()
    missing: tuple[dict[str, Any], ...] = ()

    @property
    def files(self) -> list[Path]:
        """The films and their posters."""
        paths = [self._file(replay, kind) for replay in self.replays for kind in FILES]
        return [path for path in paths if path is not None]

    def strips(self, embedded: Collection[Path]) -> list[FilmStrip]:
        """Returns the films by environment, label and seed; files in `embedded` are in the page."""
        runs: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for replay in self.replays:
            key = (str(replay["env"]), str(replay["label"]), int(replay["seed"]))
            runs.setdefault(key, []).append(replay)
        order = sorted(runs, key=lambda key: (natural_order(key[0]), natural_order(key[1]), key[2]))
        strips = [FilmStrip(*key, tuple(self._films(runs[key], embedded))) for key in order]
        return [strip for strip in strips if strip.films]

    def _films(
        self, replays: list[dict[str, Any]], embedded: Collection[Path]
    ) -> Iterator[EmbeddedFilm]:
        for replay in sorted(replays, key=lambda replay: STAGES.index(replay["stage"])):
            video, poster = (self._file(replay, kind) for kind in FILES)
            if video is not None:
                yield EmbeddedFilm(
                    replay["stage"],
                    _film_text(replay),
                    data_address(video, embedded),
                    data_address(poster, embedded) if poster is not None else "",
                    int(replay["width"]),
                    int(replay["height"]),
                )

    def _file(self, replay: dict[str, Any], kind: str) -> Path | None:
        """Returns a file of a film; None if it does not exist, or is not in this folder."""
        return path_beside(self.folder, replay[kind], FILES[kind])


def read_film_strips(folder: Path) -> EmbeddedReplays:
    """Reads the replays of a results folder; there are none without `replays.json`.

    Raises:
      UserError: the list is damaged, or of another version.
    """
    index = read_replays(folder)
    return EmbeddedReplays(folder / FOLDER, tuple(index.replays), tuple(index.missing))


def _film_text(replay: dict[str, Any]) -> str:
    """Returns 'after 532k steps of training: return 500.0 in 500 steps, 2 x real time'."""
    trained = replay.get("env_steps")
    after = f"after {steps_cell(trained).text} steps of training: " if trained else ""
    text = f"{after}return {format_number(replay['return'])} in {replay['steps']:,} steps"
    speed = replay.get("speed") or 1  # no speed is known where steps have no duration
    return text if speed == 1 else f"{text}, {speed:.2g} \N{MULTIPLICATION SIGN} real time"
