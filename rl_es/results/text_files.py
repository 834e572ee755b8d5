"""JSON and CSV files: UTF-8 text of a bounded size.

A JSON file of the suite holds one object and its checksum, and is written atomically. It is read as
a pydantic model: a value of another type is an error that names its path, and so is text that UTF-8
cannot encode. Keys that the model does not have are ignored, since later versions may add some.

CSV files, of the suite or of a user, are read as text; the caller converts the cells.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import pydantic
from pydantic import AfterValidator

from rl_es.errors import (
    ConfigError,
    DamagedError,
    UserError,
    brief,
    control_character,
    explain_validation,
    short_reason,
)
from rl_es.results import checksums
from rl_es.results.files import is_key, read_bounded, write_text

MAX_JSON_BYTES = 64 * 2**20


class FileModel(pydantic.BaseModel):
    """Base class of the models of files: immutable, strict about types, open to further keys."""

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        frozen=True, strict=True, extra="ignore", populate_by_name=True
    )


def _key(text: str) -> str:
    if not is_key(text):
        raise ValueError(f"must be 16 hex digits, is '{brief(text)}'")
    return text


Key = Annotated[str, AfterValidator(_key)]  # the id of a run, or the key of a workload
Model = TypeVar("Model", bound=pydantic.BaseModel)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes an object with its checksum, atomically; its keys are sorted."""
    write_text(path, checksums.json_text(content))


def read_json(path: Path, file_kind: str) -> dict[str, Any]:
    """Reads an object that `write_json` wrote.

    Args:
      path: the file.
      file_kind: its kind, for messages.

    Raises:
      DamagedError: there is none, it was cut short or altered, or it was not written by this suite.
    """
    try:
        content = checksums.json_content(read_bounded(path, MAX_JSON_BYTES).decode())
        _check_text(content)
        return content
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, file_kind, error) from None


def read_json_as(path: Path, model: type[Model], file_kind: str) -> tuple[Model, dict[str, Any]]:
    """Reads an object that `write_json` wrote, as `model` and as plain data.

    Raises:
      DamagedError: as `read_json`, or the object is no `model`; the message names the key.
    """
    content = read_json(path, file_kind)
    try:
        return validate(content, model), content
    except ConfigError as problem:
        raise unreadable(path, file_kind, problem) from None


def unreadable(path: Path, file_kind: str, error: Exception) -> DamagedError:
    """Returns the error about a file that cannot be read."""
    return DamagedError(f"{path}: not a readable {file_kind} ({short_reason(error)})")


def validate(content: Any, model: type[Model]) -> Model:
    """Returns plain data as `model`.

    Raises:
      ConfigError: the first value that is invalid.
    """
    if not isinstance(content, dict):
        raise ConfigError((), f"must be a mapping, is {brief(content)}")
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        raise explain_validation(error, model) from None


def loads_json(text: str | bytes) -> Any:
    """Returns the plain data of a JSON text.

    Raises:
      ValueError: it is no JSON, or holds text that UTF-8 cannot encode.
      RecursionError: it is nested too deep.
    """
    content = json.loads(text)
    _check_text(content)
    return content


def parse_mapping(value: Any) -> dict[str, Any]:
    """Returns a mapping, given as such or as JSON text; {} for any other value."""
    content = json.loads(value) if isinstance(value, str) else value
    return dict(content) if isinstance(content, Mapping) else {}


def _check_text(content: Any) -> None:
    """Raises a `ValueError` for a lone surrogate, which a JSON escape can spell."""
    json.dumps(content, ensure_ascii=False).encode()


MAX_CSV_BYTES = 2**30


def read_csv(
    path: Path, file_kind: str, most: int = MAX_CSV_BYTES
) -> tuple[list[str], list[list[str]]]:
    """Reads the header and the rows of a CSV file, without its empty lines.

    Args:
      path: the file.
      file_kind: its kind, for messages.
      most: the largest size in bytes.

    Raises:
      UserError: it cannot be read, or a row has more or fewer cells than the header.
    """
    try:
        text = read_bounded(path, most).decode("utf-8-sig")
        if sign := control_character(text):
            raise ValueError(f"it has a control character, {sign}")
        head, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
        for number, row in enumerate(rows, start=2):
            if row and len(row) != len(head):
                raise ValueError(f"row {number} has {len(row)} cells, the head has {len(head)}")
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: not a readable {file_kind} ({short_reason(error)})") from None
    return head, [row for row in rows if row]
