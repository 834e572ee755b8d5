"""The content of a table of results, whatever format it is written in.

A table in LaTeX, with booktabs; an interval stands under its estimate, so that columns fit.

A table of results as rows and columns of marked numbers, before any markup.

`table`: the table of results of a folder as text.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from rl_es.analysis import formatting, metrics, scores
from rl_es.analysis.curves import COUNTED
from rl_es.analysis.drawing.captions import named_note, running_note, seeds_note
from rl_es.analysis.formatting import MINUS, escape_markdown, markdown_table
from rl_es.analysis.metrics import METRICS, Metric, supported_best
from rl_es.analysis.results import ResultTables, load
from rl_es.analysis.scores import ScoreScale, scores_of_runs
from rl_es.analysis.statistics.aggregates import MANY_REPLICATES, aggregate
from rl_es.analysis.statistics.intervals import CONFIDENCE, Interval
from rl_es.errors import UserError
from rl_es.results.files import folder_of_results

LEVEL = 1 - CONFIDENCE


@dataclass(frozen=True)
class PublicationCell:
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
class PublicationContent:
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
    cells: Mapping[tuple[str, str], PublicationCell]
    totals: Mapping[str, Interval]
    over: Sequence[str]
    scale: ScoreScale
    lost: Sequence[str]
    running: Sequence[str]
    replicates: int


def publication_content(
    results: ResultTables, metric: str, scale: ScoreScale, replicates: int
) -> PublicationContent:
    """The table of a folder.

    Only labels with runs in every environment on the scale have totals, so that these compare;
    times have none.

    Args:
      results: the folder's.
      metric: one of `rl_es.analysis.metrics.METRICS`.
      scale: of normalised scores, for the totals.
      replicates: of the bootstrap.
    """
    (runs,) = metrics.measure_runs([results], metric)
    best = supported_best(results, metric)
    everyone = results.runs
    lost = everyone[~everyone["status"].isin(COUNTED)]
    missing = lost.groupby(["env", "label"]).size()
    groups = {(str(key[0]), str(key[1])): own for key, own in runs.groupby(["env", "label"])}
    cells = {
        (env, label): PublicationCell(
            metrics.typical_value(groups[env, label], metric, replicates),
            best[env] == label,
            int(missing.get((env, label), 0)),
        )
        for env, label in groups
    }
    return PublicationContent(
        METRICS[metric],
        [env for env in results.environments if any(key[0] == env for key in cells)],
        [label for label in results.shown if any(key[1] == label for key in cells)],
        cells,
        {} if METRICS[metric].lower else _totals(results, runs, scale, replicates),
        scale.environments,
        scale,
        named_note(lost),
        running_note(everyone),
        replicates,
    )


def _totals(
    results: ResultTables, runs: pd.DataFrame, scale: ScoreScale, replicates: int
) -> dict[str, Interval]:
    if len(scale.environments) < 2:
        return {}
    values = runs["value"].reindex(results.runs.index)
    found = scores_of_runs(results, scale, values)
    whole = {
        label: own for label, own in found.items() if set(own.names) == set(scale.environments)
    }
    return {label: aggregate(own, replicates=replicates) for label, own in whole.items()}


def publication_caption(table: PublicationContent, interval: bool) -> str:
    """What the numbers are, in plain text."""
    median = table.metric.name == metrics.ARRIVAL
    what = "censored median" if median else "mean"
    kind = "percentile bootstrap" if median else "expanded percentile bootstrap"
    title = table.metric.title
    counted = seeds_note({key: cell.found.n for key, cell in table.cells.items()})
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


def footnote(table: PublicationContent) -> str:
    """Which runs diverged or failed; empty where none did."""
    if not table.lost:
        return ""
    median = table.metric.name == metrics.ARRIVAL
    what = "Diverged runs never arrive, failed ones are not counted" if median else "Not counted"
    return f"{what}: {'; '.join(table.lost)}."


Rows = Literal["environments", "labels"]
TOTAL = "total"


@dataclass(frozen=True)
class LayoutEntry:
    """A number in the table.

    Attributes:
      estimate: as text.
      bounds: its interval as text; empty without one.
      bold: whether it is the best.
      noted: whether some of its runs are in the footnote.
    """

    estimate: str
    bounds: str = ""
    bold: bool = False
    noted: bool = False


@dataclass(frozen=True)
class Layout:
    """Rows and columns.

    Attributes:
      corner: the head of the first column.
      heads: of the others.
      rows: the name of each and its entries.
      last: the row of totals, apart from the others; None where there is none.
    """

    corner: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[LayoutEntry]]]
    last: tuple[str, Sequence[LayoutEntry]] | None = None


def make_layout(table: PublicationContent, rows: Rows, interval: bool) -> Layout:
    """The table with a row per environment and a last one of totals, or a row per label."""

    def entry(env: str, label: str) -> LayoutEntry:
        cell = table.cells.get((env, label))
        if cell is None:
            return LayoutEntry(formatting.DASH)
        return _entry(cell.found, interval, cell.best, cell.lost > 0)

    def total(label: str) -> LayoutEntry:
        found = table.totals.get(label)
        return LayoutEntry(formatting.DASH) if found is None else _entry(found, interval)

    environments, labels = table.environments, table.labels
    if rows == "environments":
        body = [(env, [entry(env, label) for label in labels]) for env in environments]
        last = (TOTAL, [total(label) for label in labels]) if table.totals else None
        return Layout("environment", labels, body, last)
    ends = [TOTAL] if table.totals else []
    body = [
        (label, [*(entry(env, label) for env in environments), *(total(label) for _ in ends)])
        for label in labels
    ]
    return Layout("label", [*environments, *ends], body)


def _entry(found: Interval, interval: bool, bold: bool = False, noted: bool = False) -> LayoutEntry:
    bounds = formatting.format_bounds(found) if interval else ""
    return LayoutEntry(formatting.format_estimate(found), bounds, bold, noted)


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MINUS: "$-$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "—": "---",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it, on one line; minus signs in math mode."""
    return "".join(_SPECIAL.get(sign, sign) for sign in " ".join(text.split()))


def write_latex(layout: Layout, caption: str, footnote: str, name: str) -> str:
    r"""The table as a float; it needs `\usepackage{booktabs}`.

    Args:
      layout: its rows and columns.
      caption: plain text.
      footnote: likewise; empty for none.
      name: of the reference, as `tab:NAME`.
    """
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[t]",
        r"  \centering",
        rf"  \caption{{{escape_latex(caption)}}}",
        rf"  \label{{tab:{name}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(layout.heads)}}}",
        r"    \toprule",
        _row([escape_latex(layout.corner), *map(escape_latex, layout.heads)]),
        r"    \midrule",
        *(line for row in layout.rows for line in _lines(*row)),
    ]
    if layout.last is not None:
        lines += [r"    \midrule", *_lines(*layout.last)]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    if footnote:
        lines.append(rf"  \par\smallskip{{\footnotesize $^\dagger$\,{escape_latex(footnote)}}}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _lines(name: str, entries: Sequence[LayoutEntry]) -> list[str]:
    """A row of estimates, and one of their intervals where there are any."""
    named = escape_latex(name)
    # Without braces it would be read as an argument of the `\\` before it.
    named = f"{{{named}}}" if named.startswith(("[", "*")) else named
    lines = [_row([named, *map(_estimate, entries)])]
    if any(entry.bounds for entry in entries):
        lines.append(_row(["", *(_bounds(entry) for entry in entries)]))
    return lines


def _estimate(entry: LayoutEntry) -> str:
    written = escape_latex(entry.estimate)
    bold = rf"\textbf{{{written}}}" if entry.bold else written
    return bold + (r"$^\dagger$" if entry.noted else "")


def _bounds(entry: LayoutEntry) -> str:
    return rf"{{\scriptsize {escape_latex(entry.bounds)}}}" if entry.bounds else ""


def _row(cells: Sequence[str]) -> str:
    return f"    {' & '.join(cells)} \\\\"


Format = Literal["latex", "markdown", "csv"]


def compose(
    folder: Path,
    form: Format,
    metric: str,
    rows: Rows = "environments",
    normalise: tuple[str, str] | None = None,
    interval: bool = True,
    replicates: int = MANY_REPLICATES,
) -> str:
    """The table of a folder as text.

    Args:
      folder: the results.
      form: latex, markdown or csv.
      metric: one of `rl_es.analysis.metrics.METRICS`.
      rows: what has a row: environments, or labels.
      normalise: the references that are 0 and 1; None for `scores.scale`'s own.
      interval: whether intervals stand in it (in CSV always).
      replicates: of the bootstrap.

    Raises:
      UserError: no run has the metric, or the folder holds no results.
    """
    found = load(folder_of_results(folder))
    low, high = normalise or (scores.LOW, None)
    of = publication_content(found, metric, scores.scale(found, low, high), replicates)
    if not of.cells:
        raise UserError(f"{folder}: no run has the metric '{metric}'")
    if form == "csv":
        return _csv(of)
    laid, said, note = (
        make_layout(of, rows, interval),
        publication_caption(of, interval),
        footnote(of),
    )
    if form == "latex":
        return write_latex(laid, said, note, metric.replace("_", "-"))
    return _markdown(laid, said, note)


def _markdown(laid: Layout, said: str, note: str) -> str:
    body = [[escape_markdown(name), *map(_cell, entries)] for name, entries in laid.rows]
    if laid.last is not None:
        name, entries = laid.last
        body.append([f"*{escape_markdown(name)}*", *map(_cell, entries)])
    heads = [escape_markdown(head) for head in (laid.corner, *laid.heads)]
    parts = [
        markdown_table(heads, body),
        escape_markdown(said),
        f"† {escape_markdown(note)}" if note else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(entry: LayoutEntry) -> str:
    estimate = (
        f"**{escape_markdown(entry.estimate)}**" if entry.bold else escape_markdown(entry.estimate)
    )
    noted = "†" if entry.noted else ""
    return f"{estimate}{noted} {escape_markdown(entry.bounds)}".rstrip()


def _csv(of: PublicationContent) -> str:
    """A row per cell, unrounded, and one a total."""
    common = {"metric": of.metric.name}
    rows = [
        {"env": env, "label": label, **common, **_interval(cell.found)}
        | {"lost": cell.lost, "best": cell.best}
        for (env, label), cell in of.cells.items()
    ]
    rows += [
        {"env": TOTAL, "label": label, **common, **_interval(found)}
        for label, found in of.totals.items()
    ]
    text = io.StringIO()
    pd.DataFrame(rows).astype({"lost": "Int64", "best": "boolean"}).to_csv(
        text, index=False, lineterminator="\n"
    )
    return text.getvalue()


def _interval(found: Interval) -> Mapping[str, float]:
    return {"n": found.n, **found.named()}
