"""The tables of whole folders: made from cells, or read where there are none; written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rl_es.errors import UserError, why
from rl_es.files import sums
from rl_es.files.checking import check_curves, check_rows, check_runs, damaged
from rl_es.files.parquet import as_json
from rl_es.files.whole import replacing, write_text
from rl_es.tables import typed_text
from rl_es.tables.cells import cell_paths, read_cell
from rl_es.tables.columns import IDENTITY, MEASURES, NEEDED, RUN, SCHEMA_VERSION, hyper_type

_TABLE = "table of results"


def load(*folders: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The (curves, runs) tables of results folders, in a fixed order.

    They are made from a folder's cells; where it has none, as a copy of its tables, these are read.

    Raises:
      UserError: a folder holds neither, or a damaged file; two folders hold the same run.
    """
    rows: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    held: dict[str, Path] = {}
    for folder in folders:
        curves, runs = _held(folder)
        for run_id in dict.fromkeys(run["run_id"] for run in runs):
            if run_id in held:
                raise UserError(f"{folder}: holds run {run_id}, and so does {held[run_id]}")
            held[run_id] = folder
        rows += curves
        records += runs
    order = ["env", "label", "seed", "run_id"]
    curves = _frame(rows, {**IDENTITY, **MEASURES}).sort_values([*order, "generation"])
    runs = _frame(records, {**IDENTITY, **RUN}).sort_values(order)
    return curves.reset_index(drop=True), runs.reset_index(drop=True)


def table_paths(folder: Path) -> tuple[Path, Path] | None:
    """The tables that `write_tables` wrote: curves, and runs as Parquet or else as text."""
    curves = folder / "curves.parquet"
    runs = [path for path in (folder / "runs.parquet", folder / "runs.csv") if path.exists()]
    return (curves, runs[0]) if curves.exists() and runs else None


def write_tables(folder: Path, curves: pd.DataFrame, runs: pd.DataFrame) -> list[Path]:
    """Writes `curves.parquet`, `runs.parquet` and `runs.csv`, with checksums; returns their paths.

    The types are the schema's, whatever the data: pandas holds an integer column with gaps as
    floats, the files hold integers and nulls.
    """
    written = []
    for name, frame, columns in (("curves", curves, MEASURES), ("runs", runs, RUN)):
        types = {**IDENTITY, **columns}
        whole = [column for column, kind in types.items() if kind == pa.int64()]
        frame = frame.astype({column: "Int64" for column in whole if column in frame})
        table = pa.Table.from_pandas(frame, preserve_index=False)
        schema = [field.with_type(types.get(field.name, field.type)) for field in table.schema]
        path = folder / f"{name}.parquet"
        with replacing(path) as temporary:
            pq.write_table(table.cast(pa.schema(schema)), temporary)
        written.append(path)
        if name == "runs":
            write_text(folder / "runs.csv", frame.to_csv(index=False))
    written = [*written, folder / "runs.csv"]
    sums.write(written)
    return written


def _held(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of a folder's curves, and of its runs."""
    cells, written = cell_paths(folder), table_paths(folder)
    if cells:
        read = [read_cell(path) for path in cells]
        records = [{name: as_json(value) for name, value in record.items()} for _, record in read]
        return [row for curve, _ in read for row in curve], records
    if written is None:
        raise UserError(
            f"{folder}: no results here (neither cells/*.parquet nor curves.parquet with "
            "runs.parquet or runs.csv); run a sweep into it"
        )
    curves, runs = _rows(written[0]), _rows(written[1])
    if not runs:
        raise damaged(written[1], _TABLE, "it has no runs")
    check_runs(written[1], runs, {**IDENTITY, **RUN}, IDENTITY, _TABLE)
    check_rows(written[0], curves, {**IDENTITY, **MEASURES}, NEEDED, _TABLE)
    check_curves(written[0], curves, runs, IDENTITY, _TABLE)
    return curves, runs


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table.

    Raises:
      UserError: it is damaged or of another version.
    """
    sums.check(path)
    try:
        if path.suffix == ".csv":
            rows = typed_text.read(path, _TABLE, {**IDENTITY, **RUN})
        else:
            rows = pq.read_table(pa.BufferReader(path.read_bytes())).to_pylist()
        others = {row["schema_version"] for row in rows} - {SCHEMA_VERSION}
    except (OSError, OverflowError, pa.ArrowException, ValueError, KeyError) as error:
        raise damaged(path, _TABLE, why(error)) from None
    if others:
        other = min(map(str, others))
        raise UserError(
            f"{path}: written with results schema {other}, this version reads {SCHEMA_VERSION}"
        )
    return rows


def _frame(rows: list[dict[str, Any]], columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    types: dict[str, set[pa.DataType]] = {}
    for row in rows:
        for name, value in row.items():
            if name.startswith("hyper."):
                types.setdefault(name, set()).update(() if value is None else {hyper_type(value)})
    settings = {
        name: next(iter(found)) if len(found) == 1 else pa.string()
        for name, found in sorted(types.items())
    }
    mixed = [name for name, found in types.items() if len(found) > 1]
    if mixed:
        rows = [{**row, **{name: _text(row.get(name)) for name in mixed}} for row in rows]
    schema = pa.schema([*columns.items(), *settings.items()])
    return pa.Table.from_pylist(rows, schema=schema).to_pandas()


def _text(value: Any) -> str | None:
    return f"{value:g}" if isinstance(value, float) else None if value is None else str(value)
