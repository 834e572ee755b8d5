"""The options that adapt figures, as `rl_es.results.figure_settings` has them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from tyro.conf import arg

from rl_es.cli.arguments import Flag, Texts, option
from rl_es.errors import UserError, brief, explain_validation
from rl_es.results.figure_settings import FigureSettings


@dataclasses.dataclass(frozen=True)
class FigureArguments:
    """The labels, names, size and words of figures; they override `figures` of the sweep file."""

    label: Annotated[
        Texts, option("a label to draw, in this order", note="(may be repeated; default: all)")
    ] = ()
    env: Annotated[
        Texts, option("an environment to draw, likewise", note="(may be repeated; default: all)")
    ] = ()
    rename: Annotated[
        Texts,
        option("a label or an environment, and its new name", "OLD=NEW", "(may be repeated)"),
    ] = ()
    colour: Annotated[
        Texts, option("a label and its colour", "LABEL=#RRGGBB", "(may be repeated)")
    ] = ()
    title: Annotated[
        str | None, option("title above the figures of each --kind", "TEXT", "(default: none)")
    ] = None
    x_limits: Annotated[
        tuple[float, float] | None,
        option("ends of the x axes of each --kind", "LOW HIGH", "(default: those of the data)"),
    ] = None
    x_scale: Annotated[
        Literal["linear", "log"] | None,
        option("scale of the x axes of each --kind of curves", note="(default: linear)"),
    ] = None
    width: Annotated[
        float | None, option("width in inches, instead of the size's", "INCHES", "")
    ] = None
    height: Annotated[
        float | None,
        option("height in inches, with the legend and the caption", "INCHES", "(default: by rows)"),
    ] = None
    no_caption: Annotated[
        Flag, option("write captions into files .txt and .tex beside the figures", note="")
    ] = False
    legend: Annotated[
        Literal["figure", "file", "none"] | None,
        option("one in each figure, one for all in a file of its own, or none", note=""),
    ] = None
    style: Annotated[
        Path | None, option("matplotlib style file, above the suite's style", "FILE", "")
    ] = None

    def settings(self, kinds: Sequence[str], size: str) -> FigureSettings:
        """Returns the settings that the command line states.

        Args:
          kinds: the kinds of figures that the command line names.
          size: the paper size.

        Raises:
          UserError: an option has a value that it cannot have.
        """
        of_kinds = {"--title": self.title, "--x-limits": self.x_limits, "--x-scale": self.x_scale}
        for name, value in of_kinds.items():
            if value is not None and not kinds:
                raise UserError(f"{name}: needs --kind, the kind of figure that it is for")
        content = {
            "labels": list(self.label),
            "environments": list(self.env),
            "rename": split_pairs("--rename", "OLD=NEW", self.rename),
            "colours": split_pairs("--colour", "LABEL=#RRGGBB", self.colour),
            "titles": {kind: self.title for kind in kinds if self.title is not None},
            "x_limits": {kind: self.x_limits for kind in kinds if self.x_limits is not None},
            "x_scales": {kind: self.x_scale for kind in kinds if self.x_scale is not None},
            "size": None if size == "auto" else size,
            "width": self.width,
            "height": self.height,
            "legend": self.legend,
            "style": None if self.style is None else str(self.style),
        }
        content = {name: value for name, value in content.items() if value not in (None, [], {})}
        return validate_settings(content | ({"caption": False} if self.no_caption else {}))


NO_ADAPTATION = FigureArguments()
FigureOptionsArgument = Annotated[FigureArguments, arg(name="")]
_OPTIONS = {
    "labels": "--label",
    "environments": "--env",
    "rename": "--rename",
    "colours": "--colour",
    "titles": "--title",
    "x_limits": "--x-limits",
    "x_scales": "--x-scale",
}


def validate_settings(content: Mapping[str, Any]) -> FigureSettings:
    """Returns settings of figures; an error names the option instead of the key.

    Raises:
      UserError: a value is none that the key takes.
    """
    try:
        return FigureSettings.model_validate(content)
    except pydantic.ValidationError as error:
        problem = explain_validation(error, FigureSettings)
        key = str(problem.path[0])
        raise UserError(f"{_OPTIONS.get(key, f'--{key}')}: {problem.reason}") from None


def split_pairs(name: str, form: str, texts: Sequence[str]) -> dict[str, str]:
    """Returns pairs such as OLD=NEW as a mapping; the last `=` of a pair divides it.

    Raises:
      UserError: a text is no such pair, or two have the same first part.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        first, equals, second = text.rpartition("=")
        if not (first and equals and second):
            raise UserError(f"{name}: must be {form}; is '{brief(text)}'")
        if first in pairs:
            raise UserError(f"{name}: '{brief(first)}' stands there twice")
        pairs[first] = second
    return pairs
