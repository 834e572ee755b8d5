"""`table`: the table of results of a folder as text."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from rl_es.analysis import results, scores
from rl_es.analysis.markdown import escape, table
from rl_es.analysis.publication import latex
from rl_es.analysis.publication.content import Content, caption, content, footnote
from rl_es.analysis.publication.layout import TOTAL, Entry, Layout, Rows, layout
from rl_es.analysis.statistics import MANY_REPLICATES, Interval
from rl_es.errors import UserError
from rl_es.files.naming import folder_of_results

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
    found = results.load(folder_of_results(folder))
    low, high = normalise or (scores.LOW, None)
    of = content(found, metric, scores.scale(found, low, high), replicates)
    if not of.cells:
        raise UserError(f"{folder}: no run has the metric '{metric}'")
    if form == "csv":
        return _csv(of)
    laid, said, note = layout(of, rows, interval), caption(of, interval), footnote(of)
    if form == "latex":
        return latex.write(laid, said, note, metric.replace("_", "-"))
    return _markdown(laid, said, note)


def _markdown(laid: Layout, said: str, note: str) -> str:
    body = [[escape(name), *map(_cell, entries)] for name, entries in laid.rows]
    if laid.last is not None:
        name, entries = laid.last
        body.append([f"*{escape(name)}*", *map(_cell, entries)])
    heads = [escape(head) for head in (laid.corner, *laid.heads)]
    parts = [table(heads, body), escape(said), f"† {escape(note)}" if note else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(entry: Entry) -> str:
    estimate = f"**{escape(entry.estimate)}**" if entry.bold else escape(entry.estimate)
    noted = "†" if entry.noted else ""
    return f"{estimate}{noted} {escape(entry.bounds)}".rstrip()


def _csv(of: Content) -> str:
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
