"""The figures: learning curves, final returns, and return against wall-clock time.

Each is a function from the tables to a matplotlib `Figure` with a panel an environment, and each
says under its panels how many seeds it rests on, what its intervals are, and which runs are not in
its means. `styles` should come from all labels of the folder (`palette.styles`), so that a label
looks the same in a figure of a part of them.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis import curves as alignment
from rl_es.analysis import notes, palette, panels
from rl_es.analysis.palette import Style
from rl_es.analysis.statistics import REPLICATES, bootstrap

TAIL = 0.1  # the share of an axis below which a single seed's remainder is not worth a line
_THRESHOLD = dict(color="#555555", linestyle=(0, (4, 3)), linewidth=0.7)


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
    shown = [label for label in styles if label in set(runs["label"])]
    single = False
    with panels.paper():
        figure, axes = panels.grid(len(environments), 2.35, 1.8)
        for panel, env in zip(axes, environments, strict=True):
            here = runs[runs["env"] == env]
            furthest = x[curves["run_id"].isin(here["run_id"])].max()
            for place, label in enumerate(shown):
                found = alignment.of_runs(curves, here[here["label"] == label], x)
                offset = (place + 0.5) / len(shown)
                _mean_and_band(panel, found, styles[label], offset, replicates, label)
                single |= _single_runs(panel, found, styles[label], furthest)
            _dress(panel, env, here)
            panel.set_xlim(0, furthest * 1.02 if furthest > 0 else 1)
            panels.shorten_ticks(panel.xaxis, 4)
            panel.set_xlabel(name)
            if panels.first_of_row(panel):
                panel.set_ylabel("return")
        band = notes.on_bands(runs, replicates, single)
        under = [*band, *said, *notes.on_runs(curves, runs)]
        entries = [(_handle(styles[label]), label) for label in shown]
        return panels.finish(figure, [*entries, *_threshold_entry(runs)], under)


def _mean_and_band(
    panel: Axes,
    found: list[alignment.Curve],
    style: Style,
    offset: float,
    replicates: int,
    label: str,
) -> None:
    grid, returns = alignment.align(alignment.counted(found))
    if not grid.size:
        return
    interval = bootstrap(returns, replicates=replicates)
    low, high = interval.low, interval.high
    panel.fill_between(grid, low, high, color=style.colour, alpha=0.18, linewidth=0)
    # Markers are spaced along the line, each label's from its own start, to fall apart.
    every = (0.04 + 0.2 * offset, 0.24) if grid.size > 1 else None
    panel.plot(
        grid,
        interval.estimate,
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        markevery=every,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
        label=f" {label}" if label.startswith("_") else label,
    )


def _single_runs(panel: Axes, found: list[alignment.Curve], style: Style, furthest: float) -> bool:
    """Draws by themselves the seeds that no mean holds, and what lies beyond the common range."""
    mean = alignment.counted(found)
    end = min((curve.x[-1] for curve in mean), default=-np.inf)
    drawn = False
    for curve in found:
        lost = curve.status not in alignment.COUNTED
        beyond = (
            slice(None) if lost else slice(int(np.searchsorted(curve.x, end, "right")) - 1, None)
        )
        x, y = curve.x[beyond], curve.y[beyond]
        if not lost and x[-1] - end <= TAIL * furthest:
            continue
        drawn = True
        panel.plot(x, y, color=style.colour, linewidth=0.5, alpha=0.8, linestyle=style.line)
        if lost:
            panel.plot(x[-1:], y[-1:], color=style.colour, marker="x", markersize=4, zorder=4)
    return drawn


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
    shown = [label for label in styles if label in set(runs["label"])]
    with panels.paper():
        left = 0.055 * max(map(len, shown))
        figure, axes = panels.grid(len(environments), 2.1, 0.55 + 0.21 * len(shown), left)
        for panel, env in zip(axes, environments, strict=True):
            here = runs[runs["env"] == env]
            for place, label in enumerate(shown):
                _bar(panel, place, here[here["label"] == label], styles[label], replicates)
            _dress(panel, env, here, across=True)
            panel.grid(False, axis="y")
            panel.set_ylim(len(shown) - 0.4, -0.6)
            names = shown if panels.first_of_row(panel) else [""] * len(shown)
            panel.set_yticks(range(len(shown)), names)
            panel.tick_params(axis="y", length=0)
            panels.shorten_ticks(panel.xaxis, 4)
            panel.set_xlabel("final return")
        under = [*notes.on_bars(runs, replicates), *notes.on_runs(curves, runs)]
        return panels.finish(figure, _threshold_entry(runs), under)


def _bar(panel: Axes, place: int, runs: pd.DataFrame, style: Style, replicates: int) -> None:
    known = runs[np.isfinite(runs["final"])].sort_values(["seed", "run_id"])
    mean = known[known["status"].isin(alignment.COUNTED)]["final"].to_numpy(float)
    lost = known[~known["status"].isin(alignment.COUNTED)]["final"].to_numpy(float)
    if mean.size:
        interval = bootstrap(mean, replicates=replicates)
        panel.barh(place, interval.estimate, 0.7, color=style.colour, alpha=0.35, linewidth=0)
        ends = [interval.low, interval.high]
        panel.plot(ends, [place, place], color=panels.INK, linewidth=1.3, zorder=4)
        panel.plot(
            [interval.estimate], [place], color=panels.INK, marker="|", markersize=6, zorder=4
        )
    else:
        at = panel.get_yaxis_transform()
        panel.text(0.02, place, "no result", transform=at, va="center", fontsize=6, color="#666666")
    for values, marker, size in ((mean, "o", 2.6), (lost, "x", 3.5)):
        spread = place + np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else [place]
        edge = "white" if marker == "o" else style.colour
        look = dict(
            markersize=size, markeredgecolor=edge, markeredgewidth=0.3 if marker == "o" else 1
        )
        panel.plot(values, spread[: len(values)], marker, color=style.colour, zorder=5, **look)


def _dress(panel: Axes, env: str, runs: pd.DataFrame, across: bool = False) -> None:
    panel.set_title(env if len(env) <= 34 else f"{env[:33]}…")
    for threshold in runs["threshold"].dropna().unique():
        # As data, so that the limits leave room around it.
        panel.update_datalim([(threshold, threshold)], updatex=across, updatey=not across)
        (panel.axvline if across else panel.axhline)(threshold, zorder=2, **_THRESHOLD)
    panel.autoscale_view()
    if not across:
        panels.shorten_ticks(panel.yaxis, 5)


def _handle(style: Style) -> Artist:
    return Line2D(
        [], [], color=style.colour, linestyle=style.line, marker=style.marker,
        markeredgecolor="white", markeredgewidth=0.4,
    )  # fmt: skip


def _threshold_entry(runs: pd.DataFrame) -> list[tuple[Artist, str]]:
    return [(Line2D([], [], **_THRESHOLD), "threshold")] if runs["threshold"].notna().any() else []


def styles_of(runs: pd.DataFrame) -> dict[str, Style]:
    """The styles of all labels in a runs table."""
    return palette.styles(dict(zip(runs["label"], runs["agent"], strict=True)))
