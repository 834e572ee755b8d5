"""One setting, all others equal: final return and time against rank, or against width."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_es.analysis import alignment
from rl_es.analysis.drawing import marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style, styles
from rl_es.analysis.ladders import AXES, Ladder, ladders
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import bootstrap

FULL = 2.5  # times the highest rank: where full rank is placed on the axis
MILLION = 1_000_000


def where(results: Results, options: Options = USUAL) -> list[str]:
    """The environments in which a setting is varied."""
    there = {env for axis in AXES for ladder in ladders(results.runs, axis) for env in ladder.runs}
    return [env for env in results.environments if env in there]


def draw(results: Results, options: Options = USUAL) -> Figure:
    """A row per environment: final return, and seconds of a million steps, against the setting."""
    axis = max(AXES, key=lambda axis: sum(len(of.values) for of in ladders(results.runs, axis)))
    seconds = alignment.per_run_seconds(results.runs) / results.runs["env_steps"] * MILLION
    final = alignment.final_returns(results.curves, results.runs)
    runs = results.runs.assign(final=final, seconds=seconds)
    found = ladders(runs, axis)
    looks = styles({ladder.name: ladder.agent for ladder in found})
    with panels.paper():
        figure, rows = panels.rows(options.sheet, [2] * len(results.environments), 2.6, 1.9)
        for env, pair in zip(results.environments, rows, strict=True):
            here = runs[runs["env"] == env]
            for panel, column in zip(pair, ("final", "seconds"), strict=True):
                for place, ladder in enumerate(found):
                    aside = 2 ** (0.12 * (place - (len(found) - 1) / 2))
                    look = looks[ladder.name]
                    _line(panel, ladder, env, column, look, aside, options.replicates)
                _axis(panel, axis, found)
                if column == "final":
                    marks.dress(panel, env, here)
                else:
                    panel.set_title(env)
                    panel.set_ylim(bottom=0)
                    ticks.shorten_ticks(panel.yaxis, 5)
                panel.set_ylabel("final return" if column == "final" else "seconds / M steps")
        full = " (full: full-rank noise)" if any(np.inf in of.values for of in found) else ""
        lined = notes.interval(runs, "lines", options.replicates)
        under = [
            f"{axis.capitalize()} varies at otherwise equal settings{full}. Markers: means over "
            f"seeds, {notes.counts(runs)}; small dots: seeds; {lined}.",
            "Wall time of this sweep, not a speed benchmark.",
            *notes.on_time(results.curves),
            *notes.on_runs(results.curves, runs),
        ]
        entries = [(marks.handle(looks[ladder.name]), ladder.name) for ladder in found]
        return panels.finish(figure, [*entries, *marks.threshold_entry(runs)], under)


def _line(
    panel: Axes, ladder: Ladder, env: str, column: str, style: Style, aside: float, replicates: int
) -> None:
    """Means with intervals, joined by a line, and each seed; x is `aside` times the setting."""
    runs = ladder.runs.get(env)
    if runs is None:
        return
    runs = runs[runs["status"].isin(alignment.COUNTED) & np.isfinite(runs[column])]
    runs = runs.sort_values(["seed", "run_id"])
    numbers = [value for value in ladder.values if np.isfinite(value)]
    x, y = [], []
    for value in ladder.values:
        own = runs[runs["setting"] == value][column].to_numpy(float)
        if not own.size:
            continue
        at = aside * (value if np.isfinite(value) else FULL * numbers[-1])
        interval = bootstrap(own, replicates=replicates)
        look: dict[str, Any] = dict(color=style.colour)
        panel.plot([at, at], [interval.low, interval.high], linewidth=1.3, zorder=3, **look)
        panel.plot([at], [interval.estimate], style.marker, ms=4.5, zorder=4, mec="white", **look)
        spread = at * 2 ** np.linspace(0.1, 0.24, own.size)
        panel.plot(spread, own, ".", ms=2, alpha=0.6, **look)
        if np.isfinite(value):
            x.append(at)
            y.append(float(interval.estimate))
    panel.plot(x, y, color=style.colour, linestyle=style.line, zorder=2)


def _axis(panel: Axes, axis: str, found: list[Ladder]) -> None:
    """A logarithmic axis with a tick at each value; full rank stands apart, at the right."""
    values = sorted({value for ladder in found for value in ladder.values})
    numbers = [value for value in values if np.isfinite(value)]
    places, named = list(numbers), [f"{value:g}" for value in numbers]
    if len(values) > len(numbers):
        places.append(FULL * numbers[-1])
        named.append("full")
        panel.axvline(FULL**0.5 * numbers[-1] * 1.1, color="#999999", linewidth=0.6)
    ticks.log2_ticks(panel, places, named)
    panel.set_xlim(places[0] / 1.4, places[-1] * 1.4)
    panel.set_xlabel({"rank": "rank of the noise", "width": "width of the hidden layers"}[axis])
