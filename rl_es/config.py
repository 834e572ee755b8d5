"""Typed, frozen configurations, read from YAML.

A field is static (a new value compiles a new program) or traced (a number that is an argument of
the compiled program, so that many values share it).

Neither this module nor the top level of an agent's or suite's file imports jax: a wrong sweep file
is refused before anything heavy is loaded.
"""

from typing import Any, ClassVar

import pydantic
from pydantic import Field


class Config(pydantic.BaseModel):
    """Base of every configuration: immutable, strict about types, closed to unknown keys."""

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


def static(default: Any = ..., help: str = "", **limits: Any) -> Any:
    """Declares a field that is part of a program's identity."""
    return Field(default, description=help, **limits)


def traced(default: Any = ..., help: str = "", **limits: Any) -> Any:
    """Declares a number that is passed to the compiled program as a traced scalar."""
    return Field(default, description=help, json_schema_extra={"traced": True}, **limits)


def traced_names(config: type[Config]) -> tuple[str, ...]:
    """Returns the names of a class's traced fields, in the order of their declaration."""
    return tuple(
        name
        for name, field in config.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("traced")
    )


def split_traced(config: Config) -> tuple[dict[str, Any], dict[str, float]]:
    """Returns a configuration's static values and its traced values, by name."""
    names = traced_names(type(config))
    values = config.model_dump()
    return (
        {name: value for name, value in values.items() if name not in names},
        {name: float(values[name]) for name in names},
    )
