"""Cells: one run each, its curve as rows and its record as metadata."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rl_es.files.checking import check_curves, check_rows, check_runs, damaged
from rl_es.files.parquet import read_with_record, write_with_record
from rl_es.tables.columns import (
    IDENTITY,
    MEASURES,
    NEEDED,
    RUN,
    SCHEMA_VERSION,
    hyper_columns,
    hyper_type,
)

_RECORD = b"rl_es.run"


def write_cell(
    path: Path,
    identity: Mapping[str, Any],
    hyper: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    record: Mapping[str, Any],
) -> None:
    """Writes one run's curve and record, whole or not at all.

    Args:
      path: `cells/<run_id>.parquet`.
      identity: values of the `IDENTITY` columns but the version.
      hyper: the agent's settings by name.
      rows: the `MEASURES` of each evaluation, in order.
      record: the `RUN` values that are known; structures become JSON text in the tables.
    """
    common = {"schema_version": SCHEMA_VERSION, **identity}
    settings = hyper_columns(hyper)
    columns = {**IDENTITY, **MEASURES, **{n: hyper_type(v) for n, v in settings.items()}}
    whole = ({**common, **row, **settings} for row in rows)
    write_with_record(path, columns, whole, _RECORD, {**common, **settings, **record})


def read_cell(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Reads one run's (curve rows, record).

    Raises:
      UserError: the file is damaged or was not written by this suite.
    """
    what = "cell"
    rows, record = read_with_record(path, _RECORD, SCHEMA_VERSION, what)
    check_runs(path, [record], {**IDENTITY, **RUN}, IDENTITY, what)
    check_rows(path, rows, {**IDENTITY, **MEASURES}, NEEDED, what)
    check_curves(path, rows, [record], IDENTITY, what)
    if path.stem != record["run_id"]:
        raise damaged(path, what, f"it is of run {record['run_id']}")
    return rows, record


def cell_paths(folder: Path) -> list[Path]:
    """The cells of a results folder, sorted by name."""
    return sorted(path for path in (folder / "cells").glob("*.parquet") if path.name[0] != ".")
