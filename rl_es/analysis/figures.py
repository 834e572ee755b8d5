"""The figures: learning curves, final returns, and return against wall-clock time.

Each is a function from the tables to a matplotlib `Figure` with a panel an environment, and each
says under its panels how many seeds it rests on, what its intervals are, and which runs are not in
its means. `styles` should come from all labels of the folder (`palette.styles`), so that a label
looks the same in a figure of a part of them.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from rl_es.analysis import curves as alignment
from rl_es.analysis import lines, marks, notes, palette, panels
from rl_es.analysis.palette import Style
from rl_es.analysis.statistics import REPLICATES


def learning_curves(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    styles: Mapping[str, Style] | None = None,
    *,
    replicates: int = REPLICATES,
) -> Figure:
    """Return against environment steps: the mean over seeds and its bootstrap band."""
    steps = curves["env_steps"]
    return _against(curves, runs, steps, "environment steps", styles, replicates, ())


def wall_clock(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    styles: Mapping[str, Style] | None = None,
    *,
    replicates: int = REPLICATES,
) -> Figure:
    """Return against wall-clock time a run, without compilation."""
    seconds = alignment.per_run_seconds(curves)
    longest = seconds.max()
    unit, size = (
        ("s", 1) if not longest > 600 else ("min", 60) if longest <= 10_800 else ("h", 3600)
    )
    said = notes.on_time(curves)
    name = f"wall-clock time per run ({unit})"
    return _against(curves, runs, seconds / size, name, styles, replicates, said)


def _against(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    x: pd.Series,
    name: str,
    styles: Mapping[str, Style] | None,
    replicates: int,
    said: tuple[str, ...],
) -> Figure:
    styles = styles_of(runs) if styles is None else styles
    environments = sorted(runs["env"].unique(), key=palette.natural)
    shown = palette.among(styles, runs["label"])
    single = False
    with panels.paper():
        figure, axes = panels.grid(len(environments), 2.35, 1.8)
        for panel, env in zip(axes, environments, strict=True):
            here = runs[runs["env"] == env]
            single |= lines.means(panel, curves, here, x, shown, replicates)
            marks.dress(panel, env, here)
            lines.abscissa(panel, lines.furthest(curves, here, x), name)
            if panels.first_of_row(panel):
                panel.set_ylabel("return")
        band = notes.on_bands(runs, replicates, single)
        under = [*band, *said, *notes.on_runs(curves, runs)]
        entries = [*marks.entries(shown), *marks.threshold_entry(runs)]
        return panels.finish(figure, entries, under)


def final_returns(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    styles: Mapping[str, Style] | None = None,
    *,
    replicates: int = REPLICATES,
) -> Figure:
    """Final returns: a bar for the mean, its interval, and each seed as a dot."""
    styles = styles_of(runs) if styles is None else styles
    runs = runs.assign(final=alignment.final_returns(curves, runs))
    environments = sorted(runs["env"].unique(), key=palette.natural)
    shown = list(palette.among(styles, runs["label"]))
    with panels.paper():
        left = 0.055 * max(map(len, shown))
        figure, axes = panels.grid(len(environments), 2.1, 0.55 + 0.21 * len(shown), left)
        for panel, env in zip(axes, environments, strict=True):
            here = runs[runs["env"] == env]
            for place, label in enumerate(shown):
                marks.bar(panel, place, here[here["label"] == label], styles[label], replicates)
            marks.dress(panel, env, here, across=True)
            panel.grid(False, axis="y")
            panel.set_ylim(len(shown) - 0.4, -0.6)
            names = shown if panels.first_of_row(panel) else [""] * len(shown)
            panel.set_yticks(range(len(shown)), names)
            panel.tick_params(axis="y", length=0)
            panels.shorten_ticks(panel.xaxis, 4)
            panel.set_xlabel("final return")
        under = [*notes.on_bars(runs, replicates), *notes.on_runs(curves, runs)]
        return panels.finish(figure, marks.threshold_entry(runs), under)


def styles_of(runs: pd.DataFrame) -> dict[str, Style]:
    """The styles of all labels in a runs table."""
    return palette.styles(dict(zip(runs["label"], runs["agent"], strict=True)))
