"""The table of a results folder for a paper or a page: means, intervals, and the best in bold.

A row per environment and a column per label, or the other way round, with totals over the
environments. It is written as LaTeX, as Markdown, or unrounded as CSV.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from rl_es.analysis.curves import COUNTED_STATUSES
from rl_es.analysis.drawing.captions import list_runs, running_note, seeds_note
from rl_es.analysis.formatting import (
    DAGGER,
    DASH,
    Table,
    TableCell,
    escape_markdown,
    format_bounds,
    format_estimate,
    make_table,
    text_cell,
    to_csv,
    to_latex,
    to_markdown,
)
from rl_es.analysis.metrics import (
    METRICS,
    THRESHOLD_STEPS,
    Metric,
    measure_runs,
    significant_best_labels,
    typical_value,
)
from rl_es.analysis.results import ResultTables, load_results
from rl_es.analysis.scores import LOW, ScoreScale, score_scale, scores_of_runs
from rl_es.analysis.statistics.aggregates import MANY_REPLICATES, aggregate
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval
from rl_es.errors import UserError
from rl_es.results.files import folder_of_results

LEVEL = 1 - CONFIDENCE
TOTAL = "total"
Format = Literal["latex", "markdown", "csv"]
Rows = Literal["environments", "labels"]


@dataclass(frozen=True)
class PublicationCell:
    """A label in an environment.

    Attributes:
      value: the mean, or the median, with its interval.
      best: True for the environment's best, by `metrics.supported_best`.
      lost: number of its runs that diverged or failed.
    """

    value: Interval
    best: bool
    lost: int


@dataclass(frozen=True)
class PublicationContent:
    """The content of a table, whatever it is written as.

    Attributes:
      metric: what runs are judged by.
      environments: the environments in order.
      labels: the labels in the order of legends.
      cells: a cell for each (environment, label) that has runs.
      totals: by label, over all environments on the scale; empty if there are fewer than two.
      scale: the scale of normalised scores.
      lost: the names of the runs that diverged or failed.
      running: a sentence on unfinished runs, if there are any.
      replicates: number of replicates of the bootstrap.
    """

    metric: Metric
    environments: Sequence[str]
    labels: Sequence[str]
    cells: Mapping[tuple[str, str], PublicationCell]
    totals: Mapping[str, Interval]
    scale: ScoreScale
    lost: Sequence[str]
    running: Sequence[str]
    replicates: int


def compose(
    folder: Path,
    form: Format,
    metric: str,
    rows: Rows = "environments",
    normalise: tuple[str, str] | None = None,
    interval: bool = True,
    replicates: int = MANY_REPLICATES,
) -> str:
    """Returns the table of a folder as text.

    Args:
      folder: the results folder.
      form: latex, markdown or csv.
      metric: one of `rl_es.analysis.metrics.METRICS`.
      rows: what has a row: environments, or labels.
      normalise: the references that are 0 and 1; None for the default of `scores.score_scale`.
      interval: True for intervals beside the estimates (CSV always has them).
      replicates: number of replicates of the bootstrap.

    Raises:
      UserError: no run has the metric, or the folder holds no results.
    """
    results = load_results(folder_of_results(folder))
    low, high = normalise or (LOW, None)
    content = publication_content(results, metric, score_scale(results, low, high), replicates)
    if not content.cells:
        raise UserError(f"{folder}: no run has the metric '{metric}'")
    if form == "csv":
        return to_csv(unrounded_rows(content))
    table, note = publication_table(content, rows, interval), publication_footnote(content)
    caption = publication_caption(content, interval)
    if form == "latex":
        return to_latex(table, caption, note, metric.replace("_", "-"))
    footnote = [f"{DAGGER} {escape_markdown(note)}"] if note else []
    return "\n\n".join([to_markdown(table), escape_markdown(caption), *footnote]) + "\n"


def publication_content(
    results: ResultTables, metric: str, scale: ScoreScale, replicates: int
) -> PublicationContent:
    """Returns the content of a folder's table.

    Only labels with runs in every environment on the scale have totals, so that these compare;
    times have none.

    Args:
      results: what the folder holds.
      metric: one of `rl_es.analysis.metrics.METRICS`.
      scale: the scale of normalised scores, for the totals.
      replicates: number of replicates of the bootstrap.
    """
    (runs,) = measure_runs([results], metric)
    best = significant_best_labels(results, metric)
    lost = results.runs[~results.runs["status"].isin(COUNTED_STATUSES)]
    counts = lost.groupby(["env", "label"]).size()
    groups = {(str(key[0]), str(key[1])): group for key, group in runs.groupby(["env", "label"])}
    cells = {
        (env, label): PublicationCell(
            typical_value(group, metric, replicates),
            best[env] == label,
            int(counts.get((env, label), 0)),
        )
        for (env, label), group in groups.items()
    }
    return PublicationContent(
        METRICS[metric],
        [env for env in results.environments if any(key[0] == env for key in cells)],
        [label for label in results.legend if any(key[1] == label for key in cells)],
        cells,
        {} if METRICS[metric].lower else _totals(results, runs, scale, replicates),
        scale,
        list_runs(lost),
        running_note(results.runs),
        replicates,
    )


def _totals(
    results: ResultTables, runs: pd.DataFrame, scale: ScoreScale, replicates: int
) -> dict[str, Interval]:
    if len(scale.environments) < 2:
        return {}
    values = runs["value"].reindex(results.runs.index)
    return {
        label: aggregate(scores, replicates=replicates)
        for label, scores in scores_of_runs(results, scale, values).items()
        if set(scores.names) == set(scale.environments)
    }


def publication_caption(content: PublicationContent, interval: bool) -> str:
    """Returns what the numbers are, in plain text."""
    median = content.metric.name == THRESHOLD_STEPS
    statistic = "censored median" if median else "mean"
    bootstrap = "percentile bootstrap" if median else "expanded percentile bootstrap"
    title, environments = content.metric.title, content.scale.environments
    seeds = seeds_note({key: cell.value.n for key, cell in content.cells.items()})
    sentences = [f"{title[0].upper()}{title[1:]}: {statistic} over seeds, {seeds}"]
    if interval:
        sentences.append(
            f"In brackets: {CONFIDENCE:.0%} {bootstrap} interval ({content.replicates:,} "
            "replicates)"
        )
    if content.totals:
        total = f"Total: interquartile mean of normalised scores ({content.scale.description})"
        some = len(environments) < len(content.environments)
        sentences.append(total + (f" over {', '.join(environments)}" if some else ""))
    sentences += [sentence.rstrip(".") for sentence in content.running]
    if any(cell.best for cell in content.cells.values()):
        sentences.append(
            f"Bold: told from every other in its environment (Student's test, p < {LEVEL:.2f}, "
            "adjusted by Holm for the rivals)"
        )
    elif len(content.labels) > 1:
        sentences.append("None is told from all others of its environment, so none is bold")
    return ". ".join(sentences) + "."


def publication_footnote(content: PublicationContent) -> str:
    """Returns which runs diverged or failed; empty text where none did."""
    if not content.lost:
        return ""
    median = content.metric.name == THRESHOLD_STEPS
    effect = "Diverged runs never arrive, failed ones are not counted" if median else "Not counted"
    return f"{effect}: {'; '.join(content.lost)}."


def publication_table(content: PublicationContent, rows: Rows, interval: bool) -> Table:
    """Returns a table with a row per environment and a last one of totals, or a row per label."""

    def cell(env: str, label: str) -> TableCell:
        entry = content.cells.get((env, label))
        if entry is None:
            return TableCell(DASH, math.nan)
        return _cell(entry.value, interval, entry.best, DAGGER if entry.lost else "")

    def total(label: str) -> TableCell:
        value = content.totals.get(label)
        return TableCell(DASH, math.nan) if value is None else _cell(value, interval)

    environments, labels = content.environments, content.labels
    if rows == "environments":
        body = [[text_cell(env), *(cell(env, label) for label in labels)] for env in environments]
        last = [text_cell(TOTAL), *map(total, labels)] if content.totals else None
        return make_table(["environment", *labels], body, last)
    body = [[text_cell(label), *(cell(env, label) for env in environments)] for label in labels]
    if not content.totals:
        return make_table(["label", *environments], body)
    body = [[*row, total(label)] for row, label in zip(body, labels, strict=True)]
    return make_table(["label", *environments, TOTAL], body)


def _cell(value: Interval, interval: bool, strong: bool = False, mark: str = "") -> TableCell:
    bounds = format_bounds(value) if interval else ""
    key = float(value.estimate)
    return TableCell(format_estimate(value), key, strong, bounds=bounds, mark=mark)


def unrounded_rows(content: PublicationContent) -> pd.DataFrame:
    """Returns a row per cell, unrounded, and one per total."""
    metric = content.metric.name
    rows = [
        {"env": env, "label": label, "metric": metric, "n": cell.value.n, **cell.value.as_dict()}
        | {"lost": cell.lost, "best": cell.best}
        for (env, label), cell in content.cells.items()
    ]
    rows += [
        {"env": TOTAL, "label": label, "metric": metric, "n": value.n, **value.as_dict()}
        for label, value in content.totals.items()
    ]
    return pd.DataFrame(rows).astype({"lost": "Int64", "best": "boolean"})
