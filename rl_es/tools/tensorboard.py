"""Curves as event files for TensorBoard: a folder per run, `<environment>/<label>/seed_<seed>`.

Scalars are logged at the environment steps of training, with the run's elapsed seconds as time. The
settings are hyper-parameters, one group per label, so that TensorBoard can average over seeds. The
files are the same whenever they are written, and replace those of an earlier time.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es import registry
from rl_es.analysis import results
from rl_es.results.files import atomic_path, folder_of_results, slug

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


def _place(out: Path, run: dict[str, Any], used_names: list[Path]) -> Path:
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
        for event in _events(rows, run):
            writer.write(event.SerializeToString())


def _events(rows: pd.DataFrame, run: dict[str, Any]) -> Iterator[Any]:
    """Yields the events of a run, in order: the format's version, its settings, its curve."""
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    yield Event(wall_time=0.0, file_version=_VERSION)
    group = f"{run['env']} / {run['label']}"
    yield Event(wall_time=0.0, summary=hparams_pb(_settings(run), group, start_time_secs=0.0))
    for row in rows.to_dict("records"):
        values = [
            Summary.Value(tag=name, simple_value=row[name])
            for name in SCALARS
            if _is_finite(row[name])
        ]
        if values:
            seconds = row["wall_seconds"] if _is_finite(row["wall_seconds"]) else 0.0
            summary = Summary(value=values)
            yield Event(wall_time=seconds, step=int(row["env_steps"]), summary=summary)


def _settings(run: dict[str, Any]) -> dict[str, bool | float | str]:
    """Returns what defines a run except its seed: environment, label, agent, and its settings."""
    settings = {name: run[name] for name in ("env", "label", "agent")}
    for name, value in run.items():
        if name.startswith("hyper.") and (isinstance(value, bool | str) or _is_finite(value)):
            settings[name.removeprefix("hyper.")] = value
    return settings


def _is_finite(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)
