"""JSON files of the suite: one object each, with its own checksum, whole or not at all.

They are read as what they should be: a class says which keys they have and what those hold. A value
of another kind is refused, with its place; so is text that UTF-8 cannot write. Keys that the class
does not name are left alone: later versions may have more.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import pydantic
from pydantic import AfterValidator

from rl_es.errors import DamagedError, brief, why
from rl_es.explaining import explain
from rl_es.files import checksums
from rl_es.files.bounded import read_bytes
from rl_es.files.naming import is_key
from rl_es.files.whole import write_text
from rl_es.places import Problem

MAX_BYTES = 64 * 2**20


class Stated(pydantic.BaseModel):
    """Base of what files are read as: immutable, strict about types, open to other keys."""

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        frozen=True, strict=True, extra="ignore", populate_by_name=True
    )


def _key(text: str) -> str:
    if not is_key(text):
        raise ValueError(f"must be 16 hex digits, is '{brief(text)}'")
    return text


Key = Annotated[str, AfterValidator(_key)]  # the id of a run, or the key of a workload
Model = TypeVar("Model", bound=pydantic.BaseModel)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes an object; its keys are sorted."""
    write_text(path, checksums.json_text(content))


def read(path: Path, what: str) -> dict[str, Any]:
    """Reads the object that `write` wrote.

    Args:
      path: the file.
      what: its kind, for messages.

    Raises:
      DamagedError: there is none, it was cut short or altered, or it was not written by this suite.
    """
    try:
        content = checksums.json_content(read_bytes(path, MAX_BYTES).decode())
        _check_text(content)
        return content
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, what, error) from None


def read_as(path: Path, model: type[Model], what: str) -> tuple[Model, dict[str, Any]]:
    """Reads the object that `write` wrote as `model`, and as the plain data that it holds.

    Raises:
      DamagedError: as `read`, or it holds something else; with the place in it.
    """
    content = read(path, what)
    try:
        return validated(content, model), content
    except Problem as problem:
        raise unreadable(path, what, problem) from None


def unreadable(path: Path, what: str, error: Exception) -> DamagedError:
    """What is said of a file that nothing can be made of."""
    return DamagedError(f"{path}: not a readable {what} ({why(error)})")


def validated(content: Any, model: type[Model]) -> Model:
    """Plain data as `model`.

    Raises:
      Problem: the first thing that does not fit.
    """
    if not isinstance(content, dict):
        raise Problem((), f"must be a mapping, is {brief(content)}")
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        raise explain(error, model) from None


def loads(text: str | bytes) -> Any:
    """JSON text as plain data.

    Raises:
      ValueError: it is none, or holds text that UTF-8 cannot write.
      RecursionError: it is nested too deep.
    """
    content = json.loads(text)
    _check_text(content)
    return content


def mapping(value: Any) -> dict[str, Any]:
    """A mapping, plain or as a table's JSON text; an empty one where there is none."""
    held = json.loads(value) if isinstance(value, str) else value
    return dict(held) if isinstance(held, Mapping) else {}


def _check_text(content: Any) -> None:
    """Raises a `ValueError` for half a letter, which an escape can spell."""
    json.dumps(content, ensure_ascii=False).encode()
