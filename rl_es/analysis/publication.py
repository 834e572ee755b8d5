"""The table of a results folder for a paper or a page: means, intervals, and the best in bold.

A row per environment and a column per label, or the other way round, with totals over the
environments. It is written as LaTeX, as Markdown, or unrounded as CSV.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from rl_es.analysis.curves import COUNTED_STATUSES
from rl_es.analysis.drawing import list_runs, running_note, seeds_note
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
from rl_es.analysis.scores import (
    LOW,
    ScoreScale,
    missing_totals_text,
    score_scale,
    scores_of_runs,
    shared_scale,
)
from rl_es.analysis.statistics import CONFIDENCE, MANY_REPLICATES, Interval, aggregate
from rl_es.errors import UserError
from rl_es.results.files import folder_of_results

LEVEL = 1 - CONFIDENCE
TOTAL = "total"
Format = Literal["latex", "markdown", "csv"]
Rows = Literal["environments", "labels"]


@dataclass(frozen=True)
class PublicationContent:
    """The content of a table, whatever it is written as.

    Attributes:
      results: Results that the table is of.
      metric: Metric that runs are judged by.
      scale: Scale of normalised scores.
      replicates: Number of replicates of the bootstrap.
      cells: A row of the CSV file for each (environment, label) that has runs: the mean, or the
        median, with its interval; whether it is the environment's best; its number of lost runs.
      totals: A row for each label over all environments on the scale; empty if there are fewer than
        two. Only labels with runs in each of these have one, so that they compare; times have none.
    """

    results: ResultTables
    metric: Metric
    scale: ScoreScale
    replicates: int
    cells: Mapping[tuple[str, str], Mapping[str, Any]]
    totals: Mapping[str, Mapping[str, Any]]

    @property
    def environments(self) -> list[str]:
        """The environments in order."""
        return [env for env in self.results.environments if any(env == e for e, _ in self.cells)]

    @property
    def labels(self) -> list[str]:
        """The labels in the order of legends."""
        return [name for name in self.results.legend if any(name == n for _, n in self.cells)]

    @property
    def lost_runs(self) -> pd.DataFrame:
        """The runs that diverged or failed."""
        return self.results.runs[~self.results.runs["status"].isin(COUNTED_STATUSES)]


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
    scale = shared_scale(results, score_scale(results, *(normalise or (LOW, None))))
    content = publication_content(results, METRICS[metric], scale, replicates)
    if not content.cells:
        raise UserError(f"{folder}: no run has the metric '{metric}'")
    if form == "csv":
        table = pd.DataFrame([*content.cells.values(), *content.totals.values()])
        return to_csv(table.astype({"lost": "Int64", "best": "boolean"}))
    table, note = publication_table(content, rows, interval), publication_footnote(content)
    caption = publication_caption(content, interval)
    if form == "latex":
        return to_latex(table, caption, note, metric.replace("_", "-"))
    footnote = [f"{DAGGER} {escape_markdown(note)}"] if note else []
    return "\n\n".join([to_markdown(table), escape_markdown(caption), *footnote]) + "\n"


def publication_content(
    results: ResultTables, metric: Metric, scale: ScoreScale, replicates: int
) -> PublicationContent:
    """Returns the content of a folder's table."""
    (runs,) = measure_runs([results], metric.name)
    best = significant_best_labels(results, metric.name)
    is_lost = ~results.runs["status"].isin(COUNTED_STATUSES)
    losses = is_lost.groupby([results.runs["env"], results.runs["label"]]).sum()
    cells = {}
    for (env, label), group in runs.groupby(["env", "label"]):
        row = _row(env, label, metric, typical_value(group, metric.name, replicates))
        row |= {"lost": int(losses[env, label]), "best": best[env] == label}
        cells[env, label] = row
    scores = {}
    if len(scale.environments) > 1 and not metric.lower:
        values = runs["value"].reindex(results.runs.index)
        scores = scores_of_runs(results, scale, values)
    totals = {
        label: _row(TOTAL, label, metric, aggregate(of_label, replicates=replicates))
        for label, of_label in scores.items()
        if set(of_label.names) == set(scale.environments)
    }
    return PublicationContent(results, metric, scale, replicates, cells, totals)


def _row(env: str, label: str, metric: Metric, value: Interval) -> dict[str, Any]:
    return {"env": env, "label": label, "metric": metric.name, "n": value.n, **value.as_dict()}


def publication_caption(content: PublicationContent, interval: bool) -> str:
    """Returns what the numbers are, in plain text."""
    median = content.metric.name == THRESHOLD_STEPS
    statistic = "censored median" if median else "mean"
    bootstrap = "percentile bootstrap" if median else "expanded percentile bootstrap"
    title, environments = content.metric.title, content.scale.environments
    seeds = seeds_note({key: cell["n"] for key, cell in content.cells.items()})
    sentences = [f"{title[0].upper()}{title[1:]}: {statistic} over seeds, {seeds}"]
    if interval:
        sentences.append(
            f"In brackets: {CONFIDENCE:.0%} {bootstrap} interval ({content.replicates:,} "
            "replicates)"
        )
    if content.totals:
        total = f"Total: interquartile mean of normalised scores ({content.scale.description})"
        is_partial = len(environments) < len(content.environments)
        sentences.append(total + (f" over {', '.join(environments)}" if is_partial else ""))
    elif not content.metric.lower:
        text = missing_totals_text(content.cells, content.scale)
        sentences += [text.rstrip(".")] if text else []
    sentences += [sentence.rstrip(".") for sentence in running_note(content.results.runs)]
    if any(cell["best"] for cell in content.cells.values()):
        sentences.append(
            f"Bold: told from every other in its environment (Student's test, p < {LEVEL:.2f}, "
            "adjusted by Holm for the rivals)"
        )
    elif len(content.labels) > 1:
        sentences.append("None is told from all others of its environment, so none is bold")
    return ". ".join(sentences) + "."


def publication_footnote(content: PublicationContent) -> str:
    """Returns which runs diverged or failed; empty text where none did."""
    if content.lost_runs.empty:
        return ""
    median = content.metric.name == THRESHOLD_STEPS
    effect = "Diverged runs never arrive, failed ones are not counted" if median else "Not counted"
    return f"{effect}: {'; '.join(list_runs(content.lost_runs))}."


def publication_table(content: PublicationContent, rows: Rows, interval: bool) -> Table:
    """Returns a table with a row per environment and a last one of totals, or a row per label."""
    environments, labels = content.environments, content.labels
    grid = [
        [_cell(content.cells.get((env, label)), interval) for label in labels]
        for env in environments
    ]
    totals = [[_cell(content.totals.get(label), interval) for label in labels]]
    totals = totals if content.totals else []
    if rows == "environments":
        body = [[text_cell(env), *row] for env, row in zip(environments, grid, strict=True)]
        return make_table(
            ["environment", *labels], body, [text_cell(TOTAL), *totals[0]] if totals else None
        )
    columns = zip(*grid, *totals, strict=True)
    body = [[text_cell(label), *column] for label, column in zip(labels, columns, strict=True)]
    return make_table(["label", *environments, *([TOTAL] if totals else [])], body)


def _cell(row: Mapping[str, Any] | None, interval: bool) -> TableCell:
    """Returns the cell of a row of `PublicationContent`; a dash without one."""
    if row is None:
        return TableCell(DASH, math.nan)
    value = Interval(*(np.asarray(row[name]) for name in ("estimate", "low", "high")), row["n"])
    return TableCell(
        format_estimate(value),
        row["estimate"],
        row.get("best", False),
        bounds=format_bounds(value) if interval else "",
        mark=DAGGER if row.get("lost") else "",
    )
