"""Normalised return over all environments against the share of the budget: interquartile means."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rl_es.analysis import alignment
from rl_es.analysis.drawing import marks, notes, panels, ticks
from rl_es.analysis.drawing.options import USUAL, Options
from rl_es.analysis.figures import across
from rl_es.analysis.results import Results
from rl_es.analysis.statistics import AGGREGATES, Interval, bootstrap

POINTS = 41


def draw(results: Results, options: Options = USUAL) -> Figure:
    """One panel: the interquartile mean over runs of all environments, with bands."""
    on = across.scale(results, options)
    curves = results.curves[results.curves["env"].isin(on.environments)]
    score = pd.Series(on.score(curves["env"], curves["return_mean"]), index=curves.index)
    spent = curves["env_steps"] / curves["run_id"].map(_budgets(results.runs, curves))
    grid, drawn = np.linspace(0, 1, POINTS), {}
    with panels.paper():
        figure, (panel,) = panels.grid(options.sheet, 1, 3.6, 2.3)
        for place, (label, style) in enumerate(results.shown.items()):
            own = results.runs[results.runs["label"] == label]
            parts = [
                alignment.counted(alignment.of_runs(curves, own[own["env"] == env], spent, score))
                for env in on.environments
            ]
            if not all(parts):
                continue
            reached = grid[grid <= min(curve.x[-1] for part in parts for curve in part) + 1e-9]
            interval = _means(parts, reached, options.replicates)
            marks.band(panel, reached, interval, style, place / len(results.shown), label, 0.15)
            drawn[label] = style
        panel.set_xlim(0, 1.02)
        ticks.shorten_ticks(panel.xaxis, 5)
        ticks.shorten_ticks(panel.yaxis, 5)
        panel.set_xlabel("share of the budget of environment steps")
        panel.set_ylabel("normalised return (IQM)")
        middle = "the interquartile mean"
        banded = notes.interval(results.runs, "shaded", options.replicates, middle)
        under = [
            f"Lines: {middle} of the normalised returns of all runs, "
            f"{notes.counts(results.runs)} an environment; {banded}.",
            *across.said(results, on, drawn),
            *notes.on_runs(results.curves, results.runs),
        ]
        return panels.finish(figure, marks.entries(drawn), under)


def _budgets(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.Series:
    """The environment steps of each run's whole budget, by run_id.

    For a finished run, the steps that it took; for another, those of finished runs of its label in
    its environment, else of any label there, else its own steps so far.
    """
    reached = curves.groupby("run_id")["env_steps"].max().astype(float)
    own = runs["run_id"].map(reached)
    whole = own.where(runs["status"] == "finished")
    of_label = whole.groupby([runs["env"], runs["label"]]).transform("max")
    of_env = whole.groupby(runs["env"]).transform("max")
    found = whole.fillna(of_label).fillna(of_env).fillna(own)
    return pd.Series(found.to_numpy(), index=runs["run_id"]).replace(0, np.nan)


def _means(parts: list[list[alignment.Curve]], grid: np.ndarray, replicates: int) -> Interval:
    """Interquartile means over runs of all environments [T] on a grid [T]."""
    values = [np.interp(grid, curve.x, curve.y) for part in parts for curve in part]
    tasks = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    statistic = AGGREGATES["interquartile_mean"](tasks)
    return bootstrap(np.stack(values), statistic, tasks, replicates=replicates)
