"""Parquet files whose metadata holds a record as JSON: the format of every results file.

Rows and records are checked where they are read, so that later steps need no checks. A file of an
earlier version may lack columns that may be null; a file of another program, or one that was
changed by hand, may hold anything.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from rl_es.errors import (
    ConfigError,
    DamagedError,
    UserError,
    brief,
    control_character,
    short_reason,
)
from rl_es.results import checksums, text_files
from rl_es.results.files import atomic_path


def write_with_record(
    path: Path,
    columns: Mapping[str, pa.DataType],
    rows: Iterable[Mapping[str, Any]],
    key: bytes,
    record: Mapping[str, Any],
) -> None:
    """Writes rows to a Parquet file whose metadata holds a record, atomically.

    Args:
      path: the file.
      columns: types by name.
      rows: values by column.
      key: of the record in the metadata.
      record: as JSON; it has a `schema_version`.
    """
    metadata = {key: json.dumps(record).encode(), checksums.PARQUET_KEY: checksums.BLANK}
    table = pa.Table.from_pylist(list(rows), schema=pa.schema([*columns.items()]))
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(temporary, table.schema, store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(metadata)
        with open(temporary, "r+b") as file:
            content = file.read()
            file.seek(content.rindex(checksums.BLANK))
            file.write(checksums.parquet_seal(content))


def read_with_record(
    path: Path, key: bytes, version: int, file_kind: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Reads the (rows, record) of a file that `write_with_record` wrote.

    Args:
      path: the file.
      key: of the record in its metadata.
      version: the `schema_version` that this reader supports.
      file_kind: its kind, for messages.

    Raises:
      DamagedError: the file was cut short or altered, or was not written by this suite.
      UserError: it is of another version.
    """
    try:
        content = path.read_bytes()
        checksums.check_parquet(content)
        table = pq.read_table(pa.BufferReader(content))
        record = text_files.loads_json((table.schema.metadata or {})[key])
        file_version = record["schema_version"]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedError(
            f"{path}: not a readable {file_kind} ({short_reason(error)}); "
            "run again: what is damaged is set aside and made anew"
        ) from None
    if file_version != version:
        raise UserError(
            f"{path}: written with results schema {file_version}, this version reads {version}"
        )
    return table.to_pylist(), record


def as_json(value: Any) -> Any:
    """Returns a list or a mapping as JSON text, any other value unchanged."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


REMEDY = "copy it again, or run its sweep again, which makes it anew"
MOST = 1e100
LONGEST = 1000  # characters of a name
Model = TypeVar("Model", bound=BaseModel)


def damage_error(path: Path, file_kind: str, reason: str) -> DamagedError:
    """Returns the error about a file whose content is invalid, with the remedy."""
    return DamagedError(f"{path}: not a readable {file_kind} ({reason}); {REMEDY}")


def check_record(path: Path, record: Any, model: type[Model], file_kind: str) -> Model:
    """Returns a file's record as `model`.

    Raises:
      DamagedError: the record is invalid; the message names the key.
    """
    try:
        return text_files.validate(record, model)
    except ConfigError as problem:
        raise damage_error(path, file_kind, str(problem)) from None


def check_rows(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, pa.DataType],
    mandatory: Iterable[str],
    file_kind: str,
) -> None:
    """Raises an error for rows that their columns cannot hold.

    Args:
      path: the file, for messages.
      rows: values by column; values of other columns are not checked.
      columns: types by name.
      mandatory: columns that have a value in each row; texts among them are names.
      file_kind: the file's kind.

    Raises:
      DamagedError: names the column and the row.
    """
    for name, kind in columns.items():
        values = [row.get(name) for row in rows]
        try:
            pa.array(values, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise damage_error(path, file_kind, f"column {name}: {short_reason(error)}") from None
        for value in filter(_is_invalid_count, values if pa.types.is_integer(kind) else ()):
            raise damage_error(
                path, file_kind, f"column {name}: must be whole, from 0, is {brief(value)}"
            )
        for value in filter(_is_invalid_measure, values if kind == pa.float64() else ()):
            raise damage_error(
                path, file_kind, f"column {name}: no measure is as large as {brief(value)}"
            )
        if name.endswith("seconds") and math.inf in values:
            raise damage_error(path, file_kind, f"column {name}: must be finite")
    for name in mandatory:
        for number, row in enumerate(rows):
            if reason := _invalid_value(row.get(name)):
                raise damage_error(path, file_kind, f"row {number}: {name} {reason}")


def _is_invalid_count(value: Any) -> bool:
    """Returns True for a value that is neither missing nor a whole number from 0."""
    return value is not None and (type(value) is not int or value < 0)


def _is_invalid_measure(value: Any) -> bool:
    """Returns True for a finite number so large that float32 cannot hold it, and sums overflow.

    Measures come from float32; those of a run that diverged may be infinite or NaN.
    """
    return value is not None and MOST < abs(value) < math.inf


def _invalid_value(value: Any) -> str:
    """Returns why a required value is invalid; '' where it is valid."""
    if value is None:
        return "is missing"
    if not isinstance(value, str):
        return ""
    if not value.strip() or len(value) > LONGEST:
        return f"must have 1 to {LONGEST} characters, is {brief(value)!r}"
    sign = control_character(value)
    return f"must be without control characters, has {sign}" if sign else ""


def to_frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """Returns checked rows as a data frame of these columns."""
    return pa.Table.from_pylist(list(rows), schema=pa.schema([*columns.items()])).to_pandas()
