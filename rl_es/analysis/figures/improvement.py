"""Probability of improvement: how often a run of one label is above a run of each other label."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import scores
from rl_es.analysis.drawing import marks, notes, panels
from rl_es.analysis.drawing.names import Names, names
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.figures import across
from rl_es.analysis.results import Results
from rl_es.analysis.scores import Scale
from rl_es.analysis.statistics import (
    CONFIDENCE,
    Interval,
    Scores,
    aggregate,
    are_paired,
    probability_of_improvement,
)
from rl_es.errors import UserError, did_you_mean

USUAL_REFERENCE = "eggroll"
TOTAL = "all environments"
_TOTAL_STYLE = Style(panels.INK, "-", "D")


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments on the scale, if there are labels to compare."""
    found = across.scale(results, options).environments
    few = 2 <= len(results.shown) <= across.MOST_LABELS
    return found if few else []


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A panel per label that the reference is compared with; rows: all environments, then each.

    Where there is a single environment: one panel, with a row per label.
    """
    on = across.scale(results, options)
    scored = scores.finals(results, on)
    reference = _reference(scored, options.reference)
    others = {label: style for label, style in results.shown.items() if label != reference}
    several = len(on.environments) > 1
    # By panel, what its rows compare: a label, and the environments in which.
    if several:
        tasks = [on.environments, *([env] for env in on.environments)]
        rows = [TOTAL, *on.environments]
        drawn = {f"over {label}": [(label, some) for some in tasks] for label in others}
    else:
        rows = [f"over {label}" for label in others]
        drawn = {env: [(label, [env]) for label in others] for env in on.environments}
    with panels.paper():
        named = names(options.sheet, rows)
        size = 1.9, named.high(0.19, frame=0.65), named.left
        figure, axes = panels.grid(options.sheet, len(drawn), *size, stretch=False)
        for panel, (title, compared) in zip(axes, drawn.items(), strict=True):
            for place, (label, some) in enumerate(compared):
                pair = (scored[of].within(some) for of in (reference, label))
                style = _TOTAL_STYLE if len(some) > 1 else others[label]
                _row(panel, place, probability_of_improvement(*pair), style)
            _dress(panel, named, title, several, reference)
        return panels.finish(figure, [], _notes(results, on, scored, reference, others))


def _reference(scored: dict[str, Scores], wanted: str | None) -> str:
    """The label that the others are compared with."""
    if wanted is not None:
        if wanted not in scored:
            raise UserError(f"--reference: no label '{wanted}' here{did_you_mean(wanted, scored)}")
        return wanted
    if USUAL_REFERENCE in scored:
        return USUAL_REFERENCE
    known = {label: own for label, own in scored.items() if len(own.values)}
    middle = {label: float(aggregate(own, replicates=2).estimate) for label, own in known.items()}
    return max(middle, key=middle.__getitem__) if middle else next(iter(scored))


def _row(panel: Axes, place: int, found: Interval, style: Style) -> None:
    if found.n:
        marks.dot_and_line(panel, place, found, style)
    else:
        marks.row_note(panel, place)


def _dress(panel: Axes, named: Names, title: str, total: bool, reference: str) -> None:
    named.beside(panel)
    if total:
        panel.axhline(0.5, color="#bbbbbb", linewidth=0.6)
        first = panel.get_yticklabels()[0]
        first.set_fontweight("bold")
    panel.axvline(0.5, zorder=1, **marks.REFERENCE)
    panel.set_xlim(-0.03, 1.03)
    panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    panel.set_title(title)
    panel.set_xlabel(f"P({reference} above)")


def _notes(
    results: Results,
    on: Scale,
    scored: dict[str, Scores],
    reference: str,
    others: dict[str, Style],
) -> list[str]:
    paired = all(are_paired(scored[reference], scored[label]) for label in others)
    lined = f"lines: {CONFIDENCE:.0%} interval (Newcombe's method for the Mann-Whitney statistic)"
    said = [
        f"Probability that the last evaluation of a run of {reference} is above that of a run of "
        f"each other label, ties counting half; {notes.counts(results.runs)}; "
        + ("no interval from a single seed." if notes.single_seeds(results.runs) else f"{lined}."),
        "The labels share their seeds, which the intervals allow for."
        if paired
        else "Where labels share their seeds, intervals allow for it.",
        *_on_total(on, scored, reference, others),
        *across.off_scale(results, on),
    ]
    return [" ".join(said), *notes.on_runs(results.curves, results.runs, "comparison")]


def _on_total(
    on: Scale, scored: dict[str, Scores], reference: str, others: dict[str, Style]
) -> list[str]:
    """A note on the row of all environments."""
    if len(on.environments) < 2:
        return []
    here = set(scored[reference].names)
    gaps = any(here & set(scored[of].names) != set(on.environments) for of in others)
    return [f"In all: the mean over environments{' that both have runs in' if gaps else ''}."]
