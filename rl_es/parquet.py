"""Parquet files whose metadata holds a record: what every results file of the suite is."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rl_es.errors import UserError
from rl_es.files import replacing


def write_with_record(
    path: Path,
    columns: Mapping[str, pa.DataType],
    rows: Iterable[Mapping[str, Any]],
    key: bytes,
    record: Mapping[str, Any],
) -> None:
    """Writes rows to a Parquet file whose metadata holds a record, whole or not at all.

    Args:
      path: the file.
      columns: types by name.
      rows: values by column.
      key: of the record in the metadata.
      record: as JSON; it has a `schema_version`.
    """
    schema = pa.schema([*columns.items()], metadata={key: json.dumps(record).encode()})
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_with_record(
    path: Path, key: bytes, version: int, what: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Reads the (rows, record) of a file that `write_with_record` wrote.

    Args:
      path: the file.
      key: of the record in its metadata.
      version: the `schema_version` that is read.
      what: its kind, for messages.

    Raises:
      UserError: the file is damaged, of another version, or was not written by this suite.
    """
    try:
        table = pq.read_table(path)
        record = json.loads((table.schema.metadata or {})[key])
        written = record["schema_version"]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a readable {what} ({error}); remove it and run again"
        ) from None
    if written != version:
        raise UserError(
            f"{path}: written with results schema {written}, this version reads {version}"
        )
    return table.to_pylist(), record


def as_json(value: Any) -> Any:
    """A structure as JSON text, anything else as it is."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
