"""Curves as event files for TensorBoard: a folder per run, `<environment>/<label>/seed_<seed>`.

Scalars are logged at the environment steps of training, with the run's elapsed seconds as time. The
settings are hyper-parameters, one group per label, so that TensorBoard can average over seeds. The
files are the same whenever they are written, and replace those of an earlier time. While a sweep
runs, a `TensorboardTracker` appends to them.
"""

import contextlib
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from rl_es import registry
from rl_es.analysis import results
from rl_es.results.files import atomic_path, folder_of_results, slug
from rl_es.sweep.cells import Cell
from rl_es.sweep.tracking import run_settings

FOLDER = "tensorboard"  # in the results folder
NAME = "events.out.tfevents.0.rl_es"  # TensorBoard finds event files by such names
SCALARS = ("return_mean", "population_mean", "population_best", "update_norm")
_VERSION = "brain.Event:2"


def require_tensorboard() -> None:
    """Refuses to go on without TensorBoard.

    Raises:
      UserError: says what to install.
    """
    registry.require("tensorboard", "tensorboard", "writing event files")


def write_event_files(folder: Path, out: Path | None = None) -> list[Path]:
    """Writes the event files of a results folder, and removes those that it no longer has.

    Args:
      folder: of the results: cells, or tables.
      out: where to; None: `tensorboard` in the folder.

    Returns:
      The folders of the runs.

    Raises:
      UserError: TensorBoard is not installed, or the folder holds no results, or damaged ones.
    """
    require_tensorboard()
    tables = results.load_results(folder_of_results(folder))
    out = folder / FOLDER if out is None else out
    curves = {str(run): rows for run, rows in tables.curves.groupby("run_id")}
    paths: list[Path] = []
    for run in tables.runs.to_dict("records"):
        place = _place(out, run, paths)
        rows = curves.get(run["run_id"], tables.curves[:0])
        _write(place / NAME, rows.sort_values("generation"), run)
        paths.append(place)
    _tidy(out, paths)
    return paths


def _place(out: Path, run: Mapping[str, Any], used_names: list[Path]) -> Path:
    """Returns the folder of a run: its own, and below `out` whatever the names are."""
    label = slug(run["label"])
    place = out / slug(run["env"].replace("/", "-")) / label
    if place / f"seed_{run['seed']}" in used_names:
        digest = hashlib.sha256(f"{run['env']}\n{run['label']}".encode()).hexdigest()[:8]
        place = place.with_name(f"{label}-{digest}")
    return place / f"seed_{run['seed']}"


def _tidy(out: Path, paths: list[Path]) -> None:
    """Removes our files of runs that are no longer there, and their folders if these are empty."""
    for path in out.glob(f"*/*/*/{NAME}"):
        if path.parent not in paths and path.resolve().is_relative_to(out.resolve()):
            path.unlink()
            with contextlib.suppress(OSError):  # one that holds something else stays
                for above in (path.parent, *path.parent.parents[:2]):
                    above.rmdir()


def _write(path: Path, rows: pd.DataFrame, run: dict[str, Any]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        writer = RecordWriter(file)
        for event in (*_first_events(run), *_curve_events(rows.to_dict("records"))):
            writer.write(event.SerializeToString())


class TensorboardTracker:
    """Event files that grow while a sweep runs; their content is that of `write_event_files`."""

    name = "tensorboard"

    def __init__(self, folder: Path):
        """Writes below `tensorboard` in the results folder.

        Raises:
          UserError: TensorBoard is not installed.
        """
        require_tensorboard()
        self._out = folder / FOLDER
        self._places: dict[str, Path] = {}  # folders of runs, by run_id
        self._files: dict[str, BinaryIO] = {}  # open event files, by run_id

    def log(self, cell: Cell, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends evaluations to the event file of a run, which is begun anew at the first."""
        from tensorboard.summary.writer.record_writer import RecordWriter

        events = _curve_events(rows)
        if cell.run_id not in self._places:
            run = run_settings(cell)
            place = self._places[cell.run_id] = _place(self._out, run, [*self._places.values()])
            place.mkdir(parents=True, exist_ok=True)
            self._files[cell.run_id] = (place / NAME).open("wb")
            events = itertools.chain(_first_events(run), events)
        file = self._files[cell.run_id]
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        file.flush()

    def finish(self, cell: Cell) -> None:
        """Closes the event file of a run."""
        if file := self._files.pop(cell.run_id, None):
            file.close()

    def close(self) -> None:
        """Closes all event files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def _first_events(run: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the events that begin a run's file: the format's version, and its settings."""
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    yield Event(wall_time=0.0, file_version=_VERSION)
    group = f"{run['env']} / {run['label']}"
    yield Event(wall_time=0.0, summary=hparams_pb(_settings(run), group, start_time_secs=0.0))


def _curve_events(rows: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """Yields an event for each evaluation of a curve, in order."""
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    for row in rows:
        values = [
            Summary.Value(tag=name, simple_value=row[name])
            for name in SCALARS
            if _is_finite(row[name])
        ]
        if values:
            seconds = row["wall_seconds"] if _is_finite(row["wall_seconds"]) else 0.0
            summary = Summary(value=values)
            yield Event(wall_time=seconds, step=int(row["env_steps"]), summary=summary)


def _settings(run: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Returns what defines a run except its seed: environment, label, agent, and its settings."""
    settings = {name: run[name] for name in ("env", "label", "agent")}
    for name, value in run.items():
        if name.startswith("hyper.") and (isinstance(value, bool | str) or _is_finite(value)):
            settings[name.removeprefix("hyper.")] = value
    return settings


def _is_finite(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)
