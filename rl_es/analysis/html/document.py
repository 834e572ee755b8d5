"""A page of sections as one file: its templates, style and scripts put together."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "templates"
SCRIPTS = ("page.js", "tables.js", "curves.js", "replays.js")


@dataclass(frozen=True)
class Header:
    """The top of the page; `details` are folded away, and a `warning` is shown if there is one."""

    title: str
    description: str
    outcome: str
    warning: str
    line: str
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
      anchor: its address within the page.
      title: its heading.
      template: `templates/<template>.html`, which draws it.
      content: the variable `content` of the template.
    """

    anchor: str
    title: str
    template: str
    content: Any


def render(header: Header, sections: Sequence[Section]) -> str:
    """The whole page; it contains plotly if a section draws curves."""
    from markupsafe import Markup

    library = ""
    if any(section.template == "curves" for section in sections):
        from plotly.offline import get_plotlyjs

        library = get_plotlyjs()
    return (
        _environment()
        .get_template("page.html")
        .render(
            header=header,
            sections=sections,
            style=Markup((FOLDER / "page.css").read_text()),
            theme=Markup((FOLDER / "theme.js").read_text()),
            library=Markup(library),
            scripts=[Markup((FOLDER / name).read_text()) for name in SCRIPTS],
        )
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breaks": _breaks, "key": _key}
    return environment


def _key(number: float) -> str:
    """A number as JavaScript reads it; empty for NaN."""
    known = repr(number).replace("inf", "Infinity")
    return "" if math.isnan(number) else known


def _breaks(text: str) -> Any:
    """Escaped text that may be broken after the signs that join the parts of a name."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=\w)([_/-])(?=\w)", r"\1<wbr>", str(escape(text))))
