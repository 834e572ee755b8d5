"""The tables that a report is told from: a summary an environment, aggregates, labels compared."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rl_es.analysis import scores, summary, totals
from rl_es.analysis.best import supported_best
from rl_es.analysis.results import Results
from rl_es.files import write_text


@dataclass(frozen=True)
class Digest:
    """What is told of a folder.

    Attributes:
      summary: a row an (environment, label), `summary.summarise`.
      aggregates: a row a (label, statistic), `totals.of`; none without a scale for scores.
      comparisons: a row a pair of labels and environment, `totals.between`; likewise.
      scale: what scores are; None where no environment has both references.
      best: the (environment, label) whose lead the intervals support.
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
