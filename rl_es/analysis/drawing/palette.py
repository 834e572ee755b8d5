"""One colour, line style and marker per label, the same in every figure and every environment.

Colours are those of Okabe and Ito (2008), which stay distinct under the common kinds of colour
blindness; their yellow is left out, because it is too pale on white, and a grey is added. Lines and
markers differ as well, so that figures can be read in grey.
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
    """The look of one label.

    Attributes:
      colour: Colour of lines, bars and markers.
      line: Line style of matplotlib.
      marker: Marker of matplotlib.
    """

    colour: str
    line: Line
    marker: str


AGENT_STYLES = {  # in the order of legends and bars
    "open_es": Style(BLUE, SOLID, "o"),
    "full_rank_es": Style(SKY, DASHED, "s"),
    "eggroll": Style(VERMILLION, SOLID, "^"),
    "pes": Style(GREEN, LONG, "D"),
    "nres": Style(PURPLE, DASHED, "v"),
    "truncated_es": Style(ORANGE, DASHDOT, "P"),
    "ppo": Style(BLACK, DASHDOT, "X"),
    "random_search": Style(GREY, DOTTED, "p"),
}


def assign_styles(agents: Mapping[str, str]) -> dict[str, Style]:
    """Assigns a style to each label of a results folder, in the order of legends.

    An agent of `AGENT_STYLES` keeps its style under its own name, and under another label if that
    is the only one it has here. All other labels, in natural order ('r4' before 'r16'), take the
    colour least used so far and a line that this colour does not have yet.

    Args:
      agents: The registry's name by label, of all labels in the folder, so that a label looks the
        same in a figure of a part of them.
    """
    labels: dict[str, list[str]] = {}
    for label in sorted(agents, key=natural_order):
        labels.setdefault(agents[label], []).append(label)
    fixed: dict[str, Style] = {}
    for agent, style in AGENT_STYLES.items():
        candidates = labels.get(agent, [])
        owner = agent if agent in agents else candidates[0] if len(candidates) == 1 else None
        if owner is not None:
            fixed[owner] = style
    styles = dict(fixed)
    for label in sorted(agents.keys() - fixed.keys(), key=natural_order):
        styles[label] = _least_used_style(list(styles.values()))
    rank = {agent: index for index, agent in enumerate(AGENT_STYLES)}

    def legend_order(label: str) -> tuple[object, ...]:
        return (rank.get(agents[label], len(rank)), natural_order(label))

    return {label: styles[label] for label in sorted(agents, key=legend_order)}


def select_styles(styles: Mapping[str, Style], labels: Iterable[str]) -> dict[str, Style]:
    """Returns the styles of some labels, in the order of legends."""
    present = set(labels)
    return {label: style for label, style in styles.items() if label in present}


def _least_used_style(styles: list[Style]) -> Style:
    """Returns the style least like those in use: in colour first, then in line, then in marker."""
    colours = [style.colour for style in styles]
    colour = min(COLOURS, key=colours.count)
    lines = [style.line for style in styles if style.colour == colour]
    line = min(LINES, key=lines.count)
    markers = [style.marker for style in styles if (style.colour, style.line) == (colour, line)]
    all_markers = [style.marker for style in styles]
    return Style(colour, line, min(MARKERS, key=lambda m: (m in markers, all_markers.count(m))))


def natural_order(text: str) -> tuple[tuple[int, float, str], ...]:
    """Returns a sorting key in which numbers inside names count as numbers."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", text)
    return tuple((0, float(p), p) if p[0].isdecimal() else (1, 0.0, p) for p in parts)
