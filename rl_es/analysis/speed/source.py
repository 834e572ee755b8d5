"""What the figures of a speed benchmark are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rl_es import timings
from rl_es.analysis.speed import look
from rl_es.analysis.speed.summary import summarise, titles


@dataclass(frozen=True)
class Speed:
    """The summary of a speed folder, or of some of its workloads.

    Attributes:
      table: `summary.summarise`.
      named: a name for each workload of the folder.
    """

    table: pd.DataFrame
    named: Mapping[str, str]

    @property
    def workloads(self) -> list[str]:
        """The workloads, in the order of the benchmark's file."""
        return list(dict.fromkeys(self.table["workload"]))

    def having(self, rows: pd.DataFrame) -> list[str]:
        """The workloads of some rows."""
        there = set(rows["workload"])
        return [workload for workload in self.workloads if workload in there]

    def within(self, subjects: Sequence[str | tuple[str, ...]]) -> "Speed":
        """The same for some workloads alone; those that are drawn together are in a tuple."""
        wanted = {
            workload
            for subject in subjects
            for workload in ((subject,) if isinstance(subject, str) else subject)
        }
        rows = self.table[self.table["workload"].isin(wanted)]
        return replace(self, table=rows.reset_index(drop=True))

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The rows of the summary."""
        return {"speed": self.table}

    def counted(self) -> str:
        """'n = 9 interleaved rounds'."""
        return f"n = {look.rounds(self.table)}"


def of(table: pd.DataFrame) -> Speed:
    """The source of a whole summary."""
    return Speed(table, titles(table))


def load(folder: Path) -> Speed:
    """Reads a folder.

    Raises:
      UserError: the folder holds no finished workload, or a damaged one.
    """
    return of(summarise(*timings.load(folder)[:2]))
