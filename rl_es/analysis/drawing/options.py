"""How figures are drawn: the choices that are not in the tables, the same for every kind."""

from dataclasses import dataclass
from pathlib import Path

from rl_es.analysis.drawing.sheet import AUTO, Sheet
from rl_es.analysis.statistics import REPLICATES


@dataclass(frozen=True)
class Options:
    """How figures are drawn.

    Attributes:
      sheet: that they are made for.
      replicates: of the bootstrap.
      low: the reference that is 0 on the scale of normalised scores (`rl_es.analysis.scores`).
      high: the one that is 1; None for the usual one.
      reference: the label that others are compared with; None for the kind's own choice.
      published: a CSV file of what others have found, which a figure shows beside its own.
    """

    sheet: Sheet = AUTO
    replicates: int = REPLICATES
    low: str = "untrained"
    high: str | None = None
    reference: str | None = None
    published: Path | None = None


USUAL = Options()
