"""How wide text is on paper, and text broken so that it fits."""

import functools

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

_DPI = 100  # text is unhinted (paper.mplstyle): what is measured here holds at any resolution


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(10, 10, _DPI)


def inches(text: str, size: float) -> float:
    """The width of one line of text of `size` points, within `panels.paper`."""
    font = FontProperties(size=size)
    return _renderer().get_text_width_height_descent(text, font, False)[0] / _DPI


def wrapped(text: str, width: float, size: float) -> str:
    """Breaks text so that no line is wider than `width` inches.

    Lines end between words, else after a sign that joins the parts of a name, else anywhere.
    """
    lines: list[str] = []
    rest = ""
    for word in text.split():
        longer = f"{rest} {word}" if rest else word
        if inches(longer, size) <= width:
            rest = longer
            continue
        if rest:
            lines.append(rest)
        rest = word
        while inches(rest, size) > width:
            end = _joint(rest, _fitting(rest, width, size))
            lines.append(rest[:end])
            rest = rest[end:]
    return "\n".join([*lines, rest])


def _joint(text: str, end: int) -> int:
    """Where a name may be broken at or before `end`: after a sign that joins its parts."""
    return max(text.rfind(sign, 0, end) for sign in "-_/=") + 1 or end


def cut(text: str, width: float, size: float) -> str:
    """Text cut to `width` inches, with an ellipsis where something is cut off."""
    if inches(text, size) <= width:
        return text
    return text[: _fitting(text, width - inches("…", size), size)] + "…"


def _fitting(text: str, width: float, size: float) -> int:
    """How many characters fit, at least one."""
    end = len(text)
    while end > 1 and inches(text[:end], size) > width:
        end -= 1
    return end
