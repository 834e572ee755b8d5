"""Parquet files whose metadata holds a record: what every results file of the suite is."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rl_es.errors import DamagedError, UserError, why
from rl_es.files import checksums, json_files
from rl_es.files.whole import replacing


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
    kept = {key: json.dumps(record).encode(), checksums.PARQUET_KEY: checksums.BLANK}
    table = pa.Table.from_pylist(list(rows), schema=pa.schema([*columns.items()]))
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, table.schema, store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(kept)
        with open(temporary, "r+b") as file:
            content = file.read()
            file.seek(content.rindex(checksums.BLANK))
            file.write(checksums.parquet_seal(content))


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
      DamagedError: the file was cut short or altered, or was not written by this suite.
      UserError: it is of another version.
    """
    try:
        content = path.read_bytes()
        checksums.check_parquet(content)
        table = pq.read_table(pa.BufferReader(content))
        record = json_files.loads((table.schema.metadata or {})[key])
        written = record["schema_version"]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedError(
            f"{path}: not a readable {what} ({why(error)}); "
            "run again: what is damaged is set aside and made anew"
        ) from None
    if written != version:
        raise UserError(
            f"{path}: written with results schema {written}, this version reads {version}"
        )
    return table.to_pylist(), record


def as_json(value: Any) -> Any:
    """A structure as JSON text, anything else as it is."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
