"""The tables that a report is made from: a summary, aggregates of scores, comparisons of labels."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rl_es.analysis import scores, summary, totals
from rl_es.analysis.best import supported_best
from rl_es.analysis.results import Results
from rl_es.files.whole import write_text


@dataclass(frozen=True)
class Digest:
    """The tables of a results folder.

    Attributes:
      summary: a row per (environment, label), `summary.summarise`.
      aggregates: a row per (label, statistic), `totals.of`; empty without a scale for scores.
      comparisons: a row per pair of labels and environment, `totals.between`; none without a scale.
      scale: of the scores; None where no environment has both references.
      best: the (environment, label) pairs that `best.supported_best` finds.
    """

    summary: pd.DataFrame
    aggregates: pd.DataFrame
    comparisons: pd.DataFrame
    scale: scores.Scale | None
    best: Collection[tuple[str, str]] = ()


def of(results: Results) -> Digest:
    """The tables of a folder, on its default scale."""
    scale = scores.scale(results)
    return Digest(
        summary.summarise(results.curves, results.runs),
        totals.of(results, scale),
        totals.between(results, scale),
        scale if scale.environments else None,
        {(env, label) for env, label in supported_best(results).items() if label is not None},
    )


def write(folder: Path, digest: Digest) -> list[Path]:
    """Writes `summary.csv`, `aggregates.csv` and `comparisons.csv`; returns their paths."""
    written = []
    for name in ("summary", "aggregates", "comparisons"):
        written.append(folder / f"{name}.csv")
        write_text(written[-1], getattr(digest, name).to_csv(index=False))
    return written
