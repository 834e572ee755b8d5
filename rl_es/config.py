"""What files of agents and suites declare: typed, frozen configurations, and looks in figures.

A configuration is read from YAML. A field is static (a new value compiles a new program) or traced
(a number that is an argument of the compiled program, so that many values share it).

Neither this module nor the top level of an agent's or suite's file imports jax: a wrong sweep file
is refused before anything heavy is loaded.
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pydantic
from pydantic import Field


class Config(pydantic.BaseModel):
    """Base of every configuration: immutable, strict about types, closed to unknown keys."""

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    def identity(self) -> dict[str, Any]:
        """Returns the settings that determine a run's numbers, as JSON, without implied values."""
        implied = {
            name: field.json_schema_extra["implied"]
            for name, field in type(self).model_fields.items()
            if isinstance(field.json_schema_extra, dict) and "implied" in field.json_schema_extra
        }
        content = self.model_dump(mode="json")
        return {
            name: value
            for name, value in content.items()
            if name not in implied or value != implied[name]
        }


def static(default: Any = ..., help: str = "", *, implied: Any = ..., **limits: Any) -> Any:
    """Declares a field that is part of a program's identity.

    `implied` is the value that runs had before the field was added: `Config.identity` leaves it
    out, so that these runs keep their ids.
    """
    extra = None if implied is ... else {"implied": implied}
    return Field(default, description=help, json_schema_extra=extra, **limits)


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
    """Returns a configuration's static values and its traced values, by name.

    A subclass fixes an inherited setting as a constant of the class, `lr: ClassVar[float] = 0.1`.
    It is no setting then, but a traced one is passed to the compiled program as ever.
    """
    names = traced_names(type(config))
    values = config.model_dump()
    bases = [base for base in type(config).__mro__ if issubclass(base, Config)]
    inherited = {name for base in bases for name in traced_names(base)} - {*values}
    constants = {name: float(getattr(config, name)) for name in sorted(inherited)}
    return (
        {name: value for name, value in values.items() if name not in names},
        {name: float(values[name]) for name in names} | constants,
    )


# Colours are those of Okabe and Ito (2008), which stay distinct under the common kinds of colour
# blindness; their yellow is left out, because it is too pale on white, and a grey is added. After
# these eight come four dark ones, three of them of Tol (2021), so that twelve
# labels have a colour each. Lines and markers differ as well, so that figures can be read in grey.
BLACK, GREY, ORANGE, SKY = "#000000", "#7f7f7f", "#E69F00", "#56B4E9"
GREEN, BLUE, VERMILLION, PURPLE = "#009E73", "#0072B2", "#D55E00", "#CC79A7"
INDIGO, WINE, OLIVE, BROWN = "#332288", "#882255", "#999933", "#7A4A1E"
COLOURS = (
    *(BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY),
    *(WINE, INDIGO, OLIVE, BROWN),
)
LINES = {  # by name, in matplotlib's notation
    "solid": "-",
    "dashed": (0, (4, 1.5)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
    "dotted": (0, (1, 1.2)),
    "long": (0, (9, 1.5)),
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "*", "d", "8", "H")
LAST = 1000  # in legends


@dataclass(frozen=True)
class Style:
    """The look of one label.

    Attributes:
      colour: Colour of lines, bars and markers, as '#rrggbb'.
      line: One of `LINES`: solid, dashed, dashdot, dotted, long.
      marker: One of `MARKERS`, in matplotlib's notation.
      order: Place in legends and bars, from the smallest number on; equal ones go by name.

    Raises:
      ValueError: The colour, line or marker is none of these.
    """

    colour: str
    line: str = "solid"
    marker: str = "o"
    order: int = LAST

    def __post_init__(self):
        """Checks the values: figures are drawn after hours of training, and must not fail then."""
        if not re.fullmatch("#[0-9A-Fa-f]{6}", self.colour):
            raise ValueError(f"colour must be '#rrggbb', is {self.colour!r}")
        for name, values in (("line", LINES), ("marker", MARKERS)):
            if getattr(self, name) not in values:
                value = getattr(self, name)
                raise ValueError(f"{name} must be one of {', '.join(values)}, is {value!r}")

    def to_json(self) -> dict[str, str]:
        """Returns what the manifest of a results folder holds: all but the order."""
        return {"colour": self.colour, "line": self.line, "marker": self.marker}

    @property
    def linestyle(self) -> Any:
        """The line in matplotlib's notation."""
        return LINES[self.line]
