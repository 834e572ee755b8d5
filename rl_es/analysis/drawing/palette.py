"""One colour, line style and marker per label, the same in every figure and every environment.

Colours are those of Okabe and Ito (2008), told apart under the common kinds of colour blindness;
their yellow is left out, too pale on white, and a grey is added. Lines and markers differ as well,
so that figures can be read in grey.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

BLACK, GREY, ORANGE, SKY = "#000000", "#7f7f7f", "#E69F00", "#56B4E9"
GREEN, BLUE, VERMILLION, PURPLE = "#009E73", "#0072B2", "#D55E00", "#CC79A7"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
SOLID, DASHED, LONG = "-", (0, (4, 1.5)), (0, (9, 1.5))
DOTTED, DASHDOT = (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5))
LINES = (SOLID, DASHED, DASHDOT, DOTTED, LONG)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")

Line = Literal["-"] | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Style:
    """How one label is drawn."""

    colour: str
    line: Line
    marker: str


KNOWN = {  # in the order of legends and bars
    "open_es": Style(BLUE, SOLID, "o"),
    "full_rank_es": Style(SKY, DASHED, "s"),
    "eggroll": Style(VERMILLION, SOLID, "^"),
    "pes": Style(GREEN, LONG, "D"),
    "nres": Style(PURPLE, DASHED, "v"),
    "truncated_es": Style(ORANGE, DASHDOT, "P"),
    "ppo": Style(BLACK, DASHDOT, "X"),
    "random_search": Style(GREY, DOTTED, "p"),
}


def styles(agents: Mapping[str, str]) -> dict[str, Style]:
    """A style for each label of a results folder, in the order of legends.

    A known agent keeps its fixed style under its own name, and under another label if that is the
    only one it has here. All other labels, in natural order ('r4' before 'r16'), take the colour
    least used so far and a line that this colour does not have yet.

    Args:
      agents: label -> the registry's name, of all labels in the folder, so that a label looks the
        same in a figure of a part of them.
    """
    labels: dict[str, list[str]] = {}
    for label in sorted(agents, key=natural_order):
        labels.setdefault(agents[label], []).append(label)
    fixed: dict[str, Style] = {}
    for agent, style in KNOWN.items():
        named = labels.get(agent, [])
        owner = agent if agent in agents else named[0] if len(named) == 1 else None
        if owner is not None:
            fixed[owner] = style
    chosen = dict(fixed)
    for label in sorted(agents.keys() - fixed.keys(), key=natural_order):
        chosen[label] = _free(list(chosen.values()))
    rank = {agent: place for place, agent in enumerate(KNOWN)}

    def order(label: str) -> tuple[object, ...]:
        return (rank.get(agents[label], len(rank)), natural_order(label))

    return {label: chosen[label] for label in sorted(agents, key=order)}


def style_among(styles: Mapping[str, Style], labels: Iterable[str]) -> dict[str, Style]:
    """The styles of some labels, in the order of legends."""
    present = set(labels)
    return {label: style for label, style in styles.items() if label in present}


def _free(taken: list[Style]) -> Style:
    """The style least like those taken: in colour first, then in line, then in marker."""
    used = [style.colour for style in taken]
    colour = min(COLOURS, key=used.count)
    lines = [style.line for style in taken if style.colour == colour]
    line = min(LINES, key=lines.count)
    markers = [style.marker for style in taken if (style.colour, style.line) == (colour, line)]
    everywhere = [style.marker for style in taken]
    return Style(colour, line, min(MARKERS, key=lambda m: (m in markers, everywhere.count(m))))


def natural_order(text: str) -> tuple[tuple[int, float, str], ...]:
    """A sorting key in which numbers inside names count as numbers."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", text)
    return tuple((0, float(p), p) if p[0].isdecimal() else (1, 0.0, p) for p in parts)
