"""Cells and tables of a sweep's results, their columns and types.

A cell, `cells/<run_id>.parquet`, holds one run: the rows of its curve, and its record as metadata.
The tables of a folder, `curves.parquet`, `runs.parquet` and `runs.csv`, are made from its cells. A
folder without cells, such as a copy of the tables, is read from its tables.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rl_es.errors import UserError, brief, short_reason
from rl_es.results import checksums, text_files
from rl_es.results.files import atomic_path, is_key, write_text
from rl_es.results.parquet import (
    as_json,
    check_rows,
    damage_error,
    read_with_record,
    write_with_record,
)

SCHEMA_VERSION = 1  # a new column that may be null does not raise it
MOST_CENTER = 64  # scalars of a `center`: so few can be looked at

IDENTITY = {
    "schema_version": pa.int64(),
    "sweep": pa.string(),
    "run_id": pa.string(),
    "env": pa.string(),  # the environment's name, or the label its sweep entry gives it
    "agent": pa.string(),  # the registry's name
    "label": pa.string(),  # unique a variant; the agent's name unless the sweep gives one
    "seed": pa.int64(),
}
MEASURES = {
    "generation": pa.int64(),
    "env_steps": pa.int64(),  # real ones, of training only
    "episodes": pa.int64(),
    "wall_seconds": pa.float64(),  # of training, without compilation and evaluation
    "lanes": pa.int64(),  # runs that shared that time
    "compile_seconds": pa.float64(),
    "return_mean": pa.float64(),  # of the unperturbed policy, over evaluation episodes
    "return_std": pa.float64(),
    "return_min": pa.float64(),
    "return_max": pa.float64(),
    "population_mean": pa.float64(),  # of the last generation before it; null before any
    "population_best": pa.float64(),
    "update_norm": pa.float64(),
    "nonfinite_members": pa.int64(),  # so far, whose return was not finite; null before any
    "center": pa.list_(pa.float32()),  # the evolved parameters; null of more than `MOST_CENTER`
}
RUN = {
    "status": pa.string(),  # running, finished, diverged or failed
    "reason": pa.string(),  # why it diverged or failed
    "final_return": pa.float64(),
    "best_return": pa.float64(),
    "threshold": pa.float64(),  # null where the sweep names none
    "steps_to_threshold": pa.int64(),  # null where it was not reached
    "generations": pa.int64(),
    "env_steps": pa.int64(),
    "episodes": pa.int64(),
    "nonfinite_members": pa.int64(),  # null where none were counted
    "wall_seconds": pa.float64(),
    "lanes": pa.int64(),
    "devices": pa.int64(),  # that were used
    "chunks": pa.int64(),  # parts of a device's population, evaluated one after the other
    "compile_seconds": pa.float64(),
    "peak_memory_bytes": pa.int64(),
    "parameters": pa.int64(),  # scalars evolved
    "device": pa.string(),
    "git_revision": pa.string(),
    "versions": pa.string(),  # JSON: package -> version
    "environment": pa.string(),  # JSON: name, options, wrappers, digest of data
    "policy": pa.string(),  # JSON
}
NEEDED = (*IDENTITY, "generation", "env_steps")  # in each row of a curve
STATUSES = ("running", "finished", "diverged", "failed")
MAPPINGS = ("versions", "environment", "policy")  # of a run: plain, or as JSON text
TIMING = ("wall_seconds", "compile_seconds", "peak_memory_bytes")  # differ between equal runs


def hyper_columns(hyper: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings as `hyper.*` columns: numbers as floats, booleans, all else as text."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        return float(value) if isinstance(value, int | float) else str(value)

    return {f"hyper.{name}": plain(value) for name, value in sorted(hyper.items())}


def hyper_type(value: Any) -> pa.DataType:
    """Returns the type of a setting's column, by one of its values."""
    if isinstance(value, bool):
        return pa.bool_()
    return pa.float64() if isinstance(value, int | float) else pa.string()


def finite(number: float | None) -> float | None:
    """Returns the number, or None where it is not finite."""
    return number if number is not None and math.isfinite(number) else None


_RECORD = b"rl_es.run"


def write_cell(
    path: Path,
    identity: Mapping[str, Any],
    hyper: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    record: Mapping[str, Any],
) -> None:
    """Writes the curve and the record of a run atomically.

    Args:
      path: `cells/<run_id>.parquet`.
      identity: values of the `IDENTITY` columns without `schema_version`.
      hyper: the agent's settings by name.
      rows: the `MEASURES` of each evaluation, in order.
      record: the `RUN` values that are known; structures become JSON text in the tables.
    """
    common = {"schema_version": SCHEMA_VERSION, **identity}
    settings = hyper_columns(hyper)
    columns = {**IDENTITY, **MEASURES, **{n: hyper_type(v) for n, v in settings.items()}}
    rows = ({**common, **row, **settings} for row in rows)
    write_with_record(path, columns, rows, _RECORD, {**common, **settings, **record})


def read_cell(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Reads the curve's rows and the record of a run.

    Raises:
      UserError: the file is damaged, or another program wrote it.
    """
    file_kind = "cell"
    rows, record = read_with_record(path, _RECORD, SCHEMA_VERSION, file_kind)
    _check((path, path), rows, [record], file_kind)
    if path.stem != record["run_id"]:
        raise damage_error(path, file_kind, f"it is of run {record['run_id']}")
    return rows, record


def _check(
    paths: tuple[Path, Path],
    rows: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    file_kind: str,
) -> None:
    """Raises a `DamagedError` for curves and runs, from these files, that no sweep has written."""
    curves_path, runs_path = paths
    columns = {name: kind for name, kind in {**IDENTITY, **RUN}.items() if name not in MAPPINGS}
    check_rows(runs_path, runs, columns, IDENTITY, file_kind)
    for number, run in enumerate(runs):
        if reason := next(_invalid_fields(run), ""):
            raise damage_error(runs_path, file_kind, f"row {number}: {reason}")
    check_rows(curves_path, rows, {**IDENTITY, **MEASURES}, NEEDED, file_kind)
    identities = {run["run_id"]: [run[name] for name in IDENTITY] for run in runs}
    for row in rows:
        if identities.get(row["run_id"]) != [row[name] for name in IDENTITY]:
            reason = f"a row of run {row['run_id']} is of another run"
            raise damage_error(curves_path, file_kind, reason)
    finished_ids = {run["run_id"] for run in runs if run.get("status") == "finished"}
    if missing := finished_ids - {row["run_id"] for row in rows}:
        reason = f"run {min(missing)} is finished, and its curve is missing"
        raise damage_error(curves_path, file_kind, reason)


def _invalid_fields(run: Mapping[str, Any]) -> Iterator[str]:
    """Yields a reason for each field of a run that is invalid."""
    if not is_key(run["run_id"]):
        yield f"run_id must be 16 hex digits, is '{brief(run['run_id'])}'"
    if run.get("status") not in (None, *STATUSES):
        yield f"status must be one of {', '.join(STATUSES)}, is '{brief(run['status'])}'"
    for name in MAPPINGS:
        value = run.get(name)
        try:
            value = text_files.loads_json(value) if isinstance(value, str) else value
        except (ValueError, RecursionError) as error:
            yield f"{name} must be JSON ({short_reason(error)})"
        if value is not None and not isinstance(value, dict):
            yield f"{name} must be a mapping, is {brief(value)}"
        elif name == "versions" and not all(isinstance(v, str) for v in (value or {}).values()):
            yield "versions must be texts"
    for name, value in run.items():
        if name.startswith("hyper.") and not isinstance(value, bool | int | float | str | None):
            yield f"{name} must be a number, a switch or text, is {brief(value)}"


def cell_paths(folder: Path) -> list[Path]:
    """Returns the cells of a results folder, sorted by name."""
    return sorted(path for path in (folder / "cells").glob("*.parquet") if path.name[0] != ".")


def read_typed_csv(
    path: Path, file_kind: str, columns: Mapping[str, pa.DataType]
) -> list[dict[str, Any]]:
    """Returns the rows of a CSV file, empty cells as None.

    Args:
      path: the file.
      file_kind: its kind, for messages.
      columns: types by name. A column that is not among them, a setting, is read as numbers or
        booleans where all of its values are such, and else as text.

    Raises:
      UserError: it cannot be read.
      ValueError: a cell is not of its column's type.
    """
    head, cells = text_files.read_csv(path, file_kind)
    rows: list[dict[str, Any]] = [
        {name: value or None for name, value in zip(head, row, strict=True)} for row in cells
    ]
    for name in head:
        values = {row[name] for row in rows} - {None}
        read = _reader(columns.get(name), values)
        for row in rows:
            row[name] = None if row[name] is None else read(row[name])
    return rows


def _reader(kind: pa.DataType | None, values: Set[str]) -> Callable[[str], Any]:
    """Returns the conversion of a column's texts; where `kind` is None its values decide."""
    if kind is not None:
        return {pa.int64(): lambda text: int(float(text)), pa.float64(): float}.get(kind, str)
    if values <= {"True", "False"}:
        return lambda text: text == "True"
    try:
        _ = [float(value) for value in values]
    except ValueError:
        return str
    return float


_TABLE = "table of results"


def load_tables(*folders: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the curves and runs of results folders, in a fixed order.

    They are made from a folder's cells; where it has none, its tables are read. A run that two
    sweeps share, with the same label and an equal curve, is taken once, from the first folder.

    Raises:
      UserError: a folder holds neither, or a damaged file; two folders hold the same run of one
        sweep, or with different curves.
    """
    rows: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    earlier: dict[str, RunOrigin] = {}
    for folder in folders:
        curves, runs = _load_folder(folder)
        curve_of: dict[str, list[dict[str, Any]]] = {}
        for row in curves:
            curve_of.setdefault(row["run_id"], []).append(row)
        repeated: set[str] = set()
        origins: dict[str, RunOrigin] = {}
        for run in runs:
            run_id = run["run_id"]
            origin = RunOrigin(folder, run, curve_of.get(run_id, []))
            if run_id not in earlier:
                origins[run_id] = origin
            elif earlier[run_id].is_shared_with(origin):
                repeated.add(run_id)
            else:
                raise UserError(
                    f"{folder}: holds run {run_id}, and so does {earlier[run_id].folder}"
                )
        earlier |= origins
        rows += [row for row in curves if row["run_id"] not in repeated]
        records += [run for run in runs if run["run_id"] not in repeated]
    order = ["env", "label", "seed", "run_id"]
    curves = _frame(rows, {**IDENTITY, **MEASURES}).sort_values([*order, "generation"])
    runs = _frame(records, {**IDENTITY, **RUN}).sort_values(order)
    return curves.reset_index(drop=True), runs.reset_index(drop=True)


@dataclass(frozen=True)
class RunOrigin:
    """A run in one of several folders.

    Attributes:
      folder: the results folder.
      run: its row of the table of runs.
      curve: its rows of the table of curves.
    """

    folder: Path
    run: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]]

    def is_shared_with(self, other: "RunOrigin") -> bool:
        """Tells whether another sweep has the same run: its label, its end and an equal curve."""
        if self.run["sweep"] == other.run["sweep"]:
            return False
        names = ("env", "label", "status")
        if any(self.run.get(name) != other.run.get(name) for name in names):
            return False
        measures = [name for name in MEASURES if name not in (*TIMING, "lanes")]
        curves = ([[row.get(name) for name in measures] for row in o.curve] for o in (self, other))
        return next(curves) == next(curves)


def table_paths(folder: Path) -> tuple[Path, Path] | None:
    """Returns the files of curves and runs of a folder; None where they are missing."""
    curves = folder / "curves.parquet"
    runs = [path for path in (folder / "runs.parquet", folder / "runs.csv") if path.exists()]
    return (curves, runs[0]) if curves.exists() and runs else None


def write_tables(folder: Path, curves: pd.DataFrame, runs: pd.DataFrame) -> list[Path]:
    """Writes `curves.parquet`, `runs.parquet` and `runs.csv`, with checksums; returns their paths.

    The types are the schema's, whatever the data: pandas holds an integer column with gaps as
    floats, the files hold integers and nulls.
    """
    paths = []
    for name, frame, columns in (("curves", curves, MEASURES), ("runs", runs, RUN)):
        types = {**IDENTITY, **columns}
        integers = [column for column, kind in types.items() if kind == pa.int64()]
        frame = frame.astype({column: "Int64" for column in integers if column in frame})
        table = pa.Table.from_pandas(frame, preserve_index=False)
        schema = [field.with_type(types.get(field.name, field.type)) for field in table.schema]
        path = folder / f"{name}.parquet"
        with atomic_path(path) as temporary:
            pq.write_table(table.cast(pa.schema(schema)), temporary)
        paths.append(path)
        if name == "runs":
            write_text(folder / "runs.csv", frame.to_csv(index=False))
    paths.append(folder / "runs.csv")
    checksums.write_sums(paths)
    return paths


def _load_folder(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the rows of a folder's curves, and of its runs."""
    if cells := cell_paths(folder):
        read = [read_cell(path) for path in cells]
        records = [{name: as_json(value) for name, value in record.items()} for _, record in read]
        return [row for curve, _ in read for row in curve], records
    paths = table_paths(folder)
    if paths is None:
        raise UserError(
            f"{folder}: no results here (neither cells/*.parquet nor curves.parquet with "
            "runs.parquet or runs.csv); run a sweep into it"
        )
    curves, runs = map(_rows, paths)
    if not runs:
        raise damage_error(paths[1], _TABLE, "it has no runs")
    _check(paths, curves, runs, _TABLE)
    return curves, runs


def _rows(path: Path) -> list[dict[str, Any]]:
    """Reads the rows of a table.

    Raises:
      UserError: it is damaged or of another version.
    """
    checksums.check_sums(path)
    try:
        if path.suffix == ".csv":
            rows = read_typed_csv(path, _TABLE, {**IDENTITY, **RUN})
        else:
            rows = pq.read_table(pa.BufferReader(path.read_bytes())).to_pylist()
        versions = {row["schema_version"] for row in rows} - {SCHEMA_VERSION}
    except (OSError, OverflowError, pa.ArrowException, ValueError, KeyError) as error:
        raise damage_error(path, _TABLE, short_reason(error)) from None
    if versions:
        version = min(map(str, versions))
        raise UserError(
            f"{path}: written with results schema {version}, this version reads {SCHEMA_VERSION}"
        )
    return rows


def _frame(rows: list[dict[str, Any]], columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    types: dict[str, set[pa.DataType]] = {}
    for row in rows:
        for name, value in row.items():
            if name.startswith("hyper."):
                types.setdefault(name, set()).update(() if value is None else {hyper_type(value)})
    settings = {
        name: next(iter(kinds)) if len(kinds) == 1 else pa.string()
        for name, kinds in sorted(types.items())
    }
    mixed_names = [name for name, kinds in types.items() if len(kinds) > 1]
    if mixed_names:
        rows = [{**row, **{name: _text(row.get(name)) for name in mixed_names}} for row in rows]
    schema = pa.schema([*columns.items(), *settings.items()])
    return pa.Table.from_pylist(rows, schema=schema).to_pandas()


def _text(value: Any) -> str | None:
    return f"{value:g}" if isinstance(value, float) else None if value is None else str(value)
