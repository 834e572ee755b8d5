"""The distance of low-rank expected updates from full-rank ones against rank, a row per problem."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rl_es.analysis.digits import span
from rl_es.analysis.drawing import marks, palette, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.drawing.palette import Style
from rl_es.analysis.gradients.rank_bias import fitted
from rl_es.analysis.gradients.source import Gradients
from rl_es.analysis.gradients.summary import family
from rl_es.analysis.statistics import CONFIDENCE

INTERVAL = f"{CONFIDENCE:.0%} jackknife over seeds, with Student's t"
_EXACT: dict[str, Any] = dict(marks.REFERENCE, linewidth=0.9)
_SAID = {"known": "full rank as known", "measured": "full rank as measured"}


def where(gradients: Gradients, options: Options = USUAL) -> list[str]:
    """The families with an environment that knows how far ranks are from full rank."""
    found = {family(env) for env in gradients.bias["env"]}
    return sorted(found, key=palette.natural)


def draw(gradients: Gradients, options: Options = USUAL) -> Figure:
    """Left, distances and the exact line on logarithmic axes; right, distances over exact ones."""
    bias = gradients.bias
    problems = [(env, agent, own) for (env, agent), own in bias.groupby(["env", "agent"])]
    looks = palette.styles({agent: agent for _, agent, _ in problems})
    with panels.paper():
        figure, rows = panels.rows(options.sheet, [2] * len(problems), 2.7, 2.2)
        for (env, agent, own), pair in zip(problems, rows, strict=True):
            _distances(pair[0], own[own["reference"] == "known"], looks[agent])
            _ratios(pair[1], own, looks[agent])
            for panel in pair:
                _ranks(panel, own)
                panel.set_title(f"{env}: {agent}")
        alone = next(iter(looks.values())) if len(looks) == 1 else Style("#555555", "-", "o")
        return panels.finish(figure, _entries(bias, alone), [_note(bias)])


def _distances(panel: Axes, rows: pd.DataFrame, style: Style) -> None:
    """Draws distances; those that are zero are below the panel."""
    panel.set_yscale("log", nonpositive="clip")
    panel.plot(rows["rank"], rows["exact"], zorder=2, **_EXACT)
    _points(panel, rows["rank"], rows[["distance", "low", "high"]], style, "known")
    drawn = rows[["exact", "distance", "high"]].to_numpy(float)
    drawn = drawn[drawn > 0]
    panel.set_ylim(drawn.min() / 1.5, drawn.max() * 1.5)
    ticks.log_ticks(panel.yaxis)
    panel.set_ylabel("distance of expected updates")
    said, corner = f"slope\n{fitted(rows.iloc[0].to_dict())}", panel.transAxes
    panel.text(0.97, 0.95, said, ha="right", va="top", fontsize=7, transform=corner)


def _ratios(panel: Axes, rows: pd.DataFrame, style: Style) -> None:
    """Draws distances over exact ones, the two references on either side of their rank."""
    panel.axhline(1, zorder=2, **_EXACT)
    references = sorted(set(rows["reference"]))
    for place, reference in enumerate(references):
        own = rows[rows["reference"] == reference]
        ratios = own[["distance", "low", "high"]].div(own["exact"], axis=0)
        aside = 2 ** (0.24 * (place - (len(references) - 1) / 2))
        _points(panel, own["rank"] * aside, ratios, style, reference)
    panel.set_ylabel("distance / exact distance")
    ticks.shorten_ticks(panel.yaxis, 5)


def _points(panel: Axes, at: pd.Series, values: pd.DataFrame, style: Style, reference: str) -> None:
    low = values["low"].clip(lower=np.finfo(float).tiny)
    panel.vlines(at, low, values["high"], color=style.colour, linewidth=1.3, zorder=3)
    panel.plot(at, values["distance"], zorder=4, **_marker(style, reference))


def _marker(style: Style, reference: str) -> dict[str, Any]:
    face = style.colour if reference == "known" else "white"
    look: dict[str, Any] = dict(marker=style.marker, color=style.colour, markerfacecolor=face)
    return look | dict(linestyle="", markersize=4, markeredgewidth=0.8)


def _ranks(panel: Axes, rows: pd.DataFrame) -> None:
    """A logarithmic axis with a tick at each rank."""
    ranks = sorted(set(rows["rank"]))
    ticks.log2_ticks(panel, ranks)
    panel.set_xlim(ranks[0] / 1.4, ranks[-1] * 1.4)
    panel.set_xlabel("rank of the noise")


def _entries(bias: pd.DataFrame, style: Style) -> list[tuple[Artist, str]]:
    entries: list[tuple[Artist, str]] = [(Line2D([], [], **_EXACT), "exact")]
    for reference in sorted(set(bias["reference"])):
        entries.append((Line2D([], [], **_marker(style, reference)), _SAID[reference]))
    return entries


def _note(bias: pd.DataFrame) -> str:
    return (
        "Norm of the difference of expected updates of low rank and of full rank, parameters held "
        "still; its square, without bias, from inner products of estimates of different seeds. "
        "Vertical lines: "
        f"{INTERVAL} (n = {span(bias['n'])}). Slope: least squares of log distance on log rank, "
        "full rank as known. "
        f"Antithetic pairs a point: at least {(bias['samples'] * bias['pairs']).min():,}."
    )
