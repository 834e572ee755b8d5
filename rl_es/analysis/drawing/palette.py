"""One colour, line style and marker per label, the same in every figure and every environment.

Agents' files declare styles (`rl_es.config`); labels without one get the style least used so far.
"""

import re
from collections.abc import Iterable, Mapping

from rl_es import registry
from rl_es.config import COLOURS, LINES, MARKERS, Style


def assign_styles(
    agents: Mapping[str, str], plugin_styles: Mapping[str, Style] | None = None
) -> dict[str, Style]:
    """Assigns a style to each label of a results folder, in the order of legends.

    A style that an agent declares is that of the label with the agent's name, or else of the only
    label that the agent has here. All other labels, in natural order ('r4' before 'r16'), take the
    colour least used so far and a line that this colour does not have yet.

    Args:
      agents: The registry's name by label, of all labels in the folder, so that a label looks the
        same in a figure of a part of them.
      plugin_styles: Styles by agent that the folder's manifest has.
    """
    names = {*agents, *agents.values()}
    declared_styles = {**registry.declarations("STYLE", names), **(plugin_styles or {})}
    owners = sorted(
        names & declared_styles.keys(), key=lambda name: (declared_styles[name].order, name)
    )
    labels: dict[str, list[str]] = {}
    for label in sorted(agents, key=natural_order):
        labels.setdefault(agents[label], []).append(label)
    styles: dict[str, Style] = {}
    for agent in owners:
        candidates = labels.get(agent, [])
        if agent in agents or len(candidates) == 1:
            styles[agent if agent in agents else candidates[0]] = declared_styles[agent]
    for label in sorted(agents.keys() - styles.keys(), key=natural_order):
        styles[label] = _least_used_style(list(styles.values()))

    def legend_order(label: str) -> tuple[object, ...]:
        agent = agents[label]
        rank = owners.index(agent) if agent in owners else len(owners)
        return rank, natural_order(label)

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
