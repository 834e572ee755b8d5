"""The content of a table of results, whatever format it is written in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from rl_es.analysis import metrics
from rl_es.analysis.alignment import COUNTED
from rl_es.analysis.best import supported_best
from rl_es.analysis.drawing.notes import named, on_running, seeds
from rl_es.analysis.metrics import METRICS, Metric
from rl_es.analysis.results import Results
from rl_es.analysis.scores import Scale, of_runs
from rl_es.analysis.statistics import CONFIDENCE, Interval, aggregate

LEVEL = 1 - CONFIDENCE


@dataclass(frozen=True)
class Cell:
    """A label in an environment.

    Attributes:
      found: its mean, or median, with the interval.
      best: whether it is the environment's best, by `best.supported_best`.
      lost: how many of its runs diverged or failed.
    """

    found: Interval
    best: bool
    lost: int


@dataclass(frozen=True)
class Content:
    """A table.

    Attributes:
      metric: what runs are judged by.
      environments: in order.
      labels: in the order of legends.
      cells: by (environment, label), where there are runs.
      totals: by label, over all environments on the scale; empty if there are fewer than two.
      over: the environments of the totals.
      scale: of normalised scores.
      lost: the runs that diverged or failed, by name.
      running: a sentence on unfinished runs, if there are any.
      replicates: of the bootstrap.
    """

    metric: Metric
    environments: Sequence[str]
    labels: Sequence[str]
    cells: Mapping[tuple[str, str], Cell]
    totals: Mapping[str, Interval]
    over: Sequence[str]
    scale: Scale
    lost: Sequence[str]
    running: Sequence[str]
    replicates: int


def content(results: Results, metric: str, scale: Scale, replicates: int) -> Content:
    """The table of a folder.

    Only labels with runs in every environment on the scale have totals, so that these compare;
    times have none.

    Args:
      results: the folder's.
      metric: one of `rl_es.analysis.metrics.METRICS`.
      scale: of normalised scores, for the totals.
      replicates: of the bootstrap.
    """
    (runs,) = metrics.measured([results], metric)
    best = supported_best(results, metric)
    everyone = results.runs
    lost = everyone[~everyone["status"].isin(COUNTED)]
    missing = lost.groupby(["env", "label"]).size()
    groups = {(str(key[0]), str(key[1])): own for key, own in runs.groupby(["env", "label"])}
    cells = {
        (env, label): Cell(
            metrics.typical(groups[env, label], metric, replicates),
            best[env] == label,
            int(missing.get((env, label), 0)),
        )
        for env, label in groups
    }
    return Content(
        METRICS[metric],
        [env for env in results.environments if any(key[0] == env for key in cells)],
        [label for label in results.shown if any(key[1] == label for key in cells)],
        cells,
        {} if METRICS[metric].lower else _totals(results, runs, scale, replicates),
        scale.environments,
        scale,
        named(lost),
        on_running(everyone),
        replicates,
    )


def _totals(
    results: Results, runs: pd.DataFrame, scale: Scale, replicates: int
) -> dict[str, Interval]:
    if len(scale.environments) < 2:
        return {}
    values = runs["value"].reindex(results.runs.index)
    found = of_runs(results, scale, values)
    whole = {
        label: own for label, own in found.items() if set(own.names) == set(scale.environments)
    }
    return {label: aggregate(own, replicates=replicates) for label, own in whole.items()}


def caption(table: Content, interval: bool) -> str:
    """What the numbers are, in plain text."""
    median = table.metric.name == metrics.ARRIVAL
    what = "censored median" if median else "mean"
    kind = "percentile bootstrap" if median else "expanded percentile bootstrap"
    title = table.metric.title
    counted = seeds({key: cell.found.n for key, cell in table.cells.items()})
    said = [f"{title[0].upper()}{title[1:]}: {what} over seeds, {counted}"]
    if interval:
        said.append(
            f"In brackets: {CONFIDENCE:.0%} {kind} interval ({table.replicates:,} replicates)"
        )
    if table.totals:
        said.append(f"Total: interquartile mean of normalised scores ({table.scale.told})")
        if len(table.over) < len(table.environments):
            said[-1] += f" over {', '.join(table.over)}"
    said += [sentence.rstrip(".") for sentence in table.running]
    if any(cell.best for cell in table.cells.values()):
        said.append(
            f"Bold: told from every other in its environment (Student's test, p < {LEVEL:.2f}, "
            "adjusted by Holm for the rivals)"
        )
    elif len(table.labels) > 1:
        said.append("None is told from all others of its environment, so none is bold")
    return ". ".join(said) + "."


def footnote(table: Content) -> str:
    """Which runs diverged or failed; empty where none did."""
    if not table.lost:
        return ""
    median = table.metric.name == metrics.ARRIVAL
    what = "Diverged runs never arrive, failed ones are not counted" if median else "Not counted"
    return f"{what}: {'; '.join(table.lost)}."
