"""Shared by figures over several environments: the scale, and the labels that are on all of it."""

from collections.abc import Mapping, Sequence

from rl_es.analysis import scores
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.results import Results
from rl_es.analysis.scores import Scale
from rl_es.analysis.statistics import Scores

MOST_LABELS = 16  # a comparison of more cannot be read
FEWEST = 2  # environments
MOST_NAMED = 4


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments on the scale, if labels can be compared over several."""
    if len(results.shown) > MOST_LABELS:
        return []
    found = scale(results, options).environments
    return found if len(found) >= FEWEST else []


def scale(results: Results, options: Options = USUAL) -> Scale:
    """The scale that the options ask for."""
    return scores.scale(results, options.low, options.high)


def everywhere(results: Results, scored: Mapping[str, Scores], on: Scale) -> dict[str, Style]:
    """The labels with a score in every environment of the scale, in the order of legends."""
    wanted = len(on.environments)
    whole = {label for label, own in scored.items() if len(own.names) == wanted}
    return {label: style for label, style in results.shown.items() if label in whole}


def said(results: Results, on: Scale, shown: Mapping[str, Style]) -> tuple[str, ...]:
    """Notes on the scale, and on the labels and environments that are not on it."""
    count = len(on.environments)
    told = f"Normalised return: {on.told}; {count} environments."
    gaps = off_scale(results, on)
    others = [label for label in results.shown if label not in shown]
    if others:
        gaps.append(f"Without a score in every environment, so not here: {_named(others)}.")
    return (" ".join([told, *gaps]),)


def off_scale(results: Results, on: Scale) -> list[str]:
    """A sentence on the folder's environments that are not on the scale; none where all are."""
    off = [env for env in results.whole.environments if env not in on.environments]
    return [f"Not on the scale where {on.told}, so not here: {_named(off)}."] if off else []


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
