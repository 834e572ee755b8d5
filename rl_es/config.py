"""Typed, frozen configurations: what YAML, `list`, the planner and factories all read.

A field is either static (a new value compiles a new program) or traced (a number handed to the
compiled program, so that many values share it). `traced` marks the second kind.

Nothing here, and nothing at the top of an agent or environment file, imports jax: a sweep file is
checked, and refused where it is wrong, before anything heavy is loaded.
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
    """A field that is part of a program's identity."""
    return Field(default, description=help, **limits)


def traced(default: Any = ..., help: str = "", **limits: Any) -> Any:
    """A numeric field handed to the compiled program as a traced scalar."""
    return Field(default, description=help, json_schema_extra={"traced": True}, **limits)


def traced_names(config: type[Config]) -> tuple[str, ...]:
    """Names of the traced fields of a configuration class, in order of declaration."""
    return tuple(
        name
        for name, field in config.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("traced")
    )


def split_traced(config: Config) -> tuple[dict[str, Any], dict[str, float]]:
    """Splits a configuration into its (static, traced) values."""
    names = traced_names(type(config))
    values = config.model_dump()
    return (
        {name: value for name, value in values.items() if name not in names},
        {name: float(values[name]) for name in names},
    )
