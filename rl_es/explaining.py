"""A validation error in the words of the person who wrote the file."""

import re
import typing
from typing import Any

import pydantic
from pydantic import BaseModel

from rl_es.errors import brief, did_you_mean
from rl_es.places import Place, Problem

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "tuple": "a list",
    "list": "a list",
}


def explain(error: pydantic.ValidationError, model: type[BaseModel]) -> Problem:
    """The first of the errors that `model` found, with the nearest valid name where one helps.

    A key that is missing and one beside it that is not known are most likely one key, misspelled.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["type"] == "missing":
        unknown = [other for other in errors if other["type"] == "extra_forbidden"]
        first = next((o for o in unknown if o["loc"][:-1] == first["loc"][:-1]), first)
    place: Place = first["loc"]
    return Problem(place, _message(first, model))


def _message(error: Any, model: type[BaseModel]) -> str:
    kind, place, given, context = error["type"], error["loc"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown key" + did_you_mean(brief(place[-1]), _keys(model, place[:-1]))
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        valid = re.findall(r"'([^']*)'", context["expected"])
        return f"must be {context['expected']}, is {_shown(given)}" + (
            did_you_mean(brief(given), valid) if isinstance(given, str) else ""
        )
    if kind == "too_short":
        return f"is empty; needs at least {context['min_length']}"
    for limit, words in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
        if limit in context:
            return f"must be {words} {context[limit]:g}, is {_shown(given)}"
    expected = _EXPECTED.get(kind.removesuffix("_type"))
    if expected:
        return f"must be {expected}, is {_shown(given)}"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, is {_shown(given)}"


def _shown(value: Any) -> str:
    """A value as YAML would show it, with its kind where the spelling hides it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{brief(value)}'"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    return brief(value)


def _keys(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that a file may have at a place, by the models' own fields."""
    found: type[BaseModel] | None = model
    for part in place:
        if found is None or isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in found.model_fields.items()}
        extra = found.__annotations__.get("__pydantic_extra__")
        found = _config_in(fields[part].annotation if part in fields else extra)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _config_in(annotation: Any) -> type[BaseModel] | None:
    """The first configuration class inside an annotation such as `tuple[Entry, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_config_in(part) for part in typing.get_args(annotation))
    return next((part for part in inner if part is not None), None)
