"""Measurements of gradient estimates: one row per cell, in a Parquet file of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pydantic import Field

from rl_es.errors import UserError
from rl_es.results.files import write_text
from rl_es.results.parquet import (
    check_record,
    check_rows,
    damage_error,
    read_with_record,
    write_with_record,
)
from rl_es.results.text_files import FileModel

SCHEMA_VERSION = 1
FOLDER = "estimates"
COLUMNS = {
    "schema_version": pa.int64(),
    "sweep": pa.string(),
    "run_id": pa.string(),
    "env": pa.string(),
    "agent": pa.string(),
    "label": pa.string(),
    "seed": pa.int64(),
    "windows": pa.int64(),  # of an episode, whose estimates are added up; 1 for whole episodes
    "pairs": pa.int64(),  # H, over which each estimate is a mean
    "parameters": pa.int64(),
    "samples": pa.int64(),  # estimates of an episode's gradient that were drawn
    "env_steps": pa.int64(),  # taken for them
    "mean": pa.list_(pa.float64()),  # [parameters] over samples
    "variance": pa.float64(),  # sum over parameters of the variance of a sample
    "rank": pa.int64(),  # of the noise on weight matrices; none for full rank
    "factors": pa.string(),  # of low-rank noise; none for full rank, and before they were a setting
    "exact": pa.list_(pa.float64()),  # [parameters] the expected estimate, where it is known
    "exact_full": pa.list_(pa.float64()),  # [parameters] the same of full-rank noise
}
VECTORS = ("mean", "exact", "exact_full")
_RECORD = b"rl_es.estimate"
_NEEDED = [name for name in COLUMNS if name not in ("rank", "factors", "exact", "exact_full")]


class _EstimateRecord(FileModel):
    generations: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)


def path(folder: Path, run_id: str) -> Path:
    """Returns the path of a cell's file."""
    return folder / FOLDER / f"{run_id}.parquet"


def write(folder: Path, row: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Writes a cell's row atomically.

    Args:
      folder: the results folder.
      row: the values of the columns, without `schema_version`.
      record: versions, revision, device and machine.
    """
    row = {"schema_version": SCHEMA_VERSION, **row}
    record = {"schema_version": SCHEMA_VERSION, **record}
    write_with_record(path(folder, row["run_id"]), COLUMNS, [row], _RECORD, record)


def read(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads the row and the record of a cell.

    Raises:
      UserError: the file is damaged, or another program wrote it.
    """
    kind = "gradient estimate"
    rows, record = read_with_record(file, _RECORD, SCHEMA_VERSION, kind)
    if len(rows) != 1:
        raise damage_error(file, kind, f"it has {len(rows)} rows, not one")
    check_rows(file, rows, COLUMNS, _NEEDED, kind)
    check_record(file, record, _EstimateRecord, kind)
    (row,) = rows
    if row["run_id"] != file.stem:
        raise damage_error(file, kind, f"it is of run {row['run_id']}, not {file.stem}")
    lengths = [len(row[name]) for name in VECTORS if row[name] is not None]
    if set(lengths) != {row["parameters"]} or not row["parameters"] or not row["samples"]:
        raise damage_error(file, kind, "its estimates do not have a number per parameter")
    return row, record


def load(folder: Path) -> pd.DataFrame:
    """Returns all rows of a folder, in a fixed order.

    Raises:
      UserError: there are none, or a file is damaged.
    """
    files = sorted((folder / FOLDER).glob("[!.]*.parquet"))
    if not files:
        raise UserError(f"{folder}: no gradient estimates here (no {FOLDER}/*.parquet)")
    rows = pd.DataFrame([read(file)[0] for file in files], columns=list(COLUMNS))
    rows["rank"] = rows["rank"].astype("Int64")
    unstated = rows["rank"].notna() & rows["factors"].isna()  # rows older than the setting
    rows.loc[unstated, "factors"] = "normal"
    return rows.sort_values(["env", "windows", "label", "seed"]).reset_index(drop=True)


def write_table(folder: Path, rows: pd.DataFrame) -> Path:
    """Writes `gradients.csv`, without the estimates themselves; returns its path."""
    file = folder / "gradients.csv"
    write_text(file, rows.drop(columns=list(VECTORS)).to_csv(index=False))
    return file
