"""What a report is made from: a folder's tables, its surfaces, and what its sweep asked for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from rl_es import surfaces, tables
from rl_es.analysis import manifest, variants
from rl_es.analysis.drawing import notes, palette
from rl_es.analysis.drawing.palette import Style
from rl_es.surfaces import Surface


@dataclass(frozen=True)
class Results:
    """The results of a folder, or of some of its environments.

    Attributes:
      curves: a row per run and evaluation.
      runs: a row per run.
      styles: of all labels of the folder, in the order of legends.
      surfaces: by environment, of those that have one.
      asked: names of the optional figures that the sweep asks for.
      part_of: the results of the whole folder, if these are only of some of its environments.
    """

    curves: pd.DataFrame
    runs: pd.DataFrame
    styles: Mapping[str, Style]
    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    part_of: "Results | None" = None

    @property
    def whole(self) -> "Results":
        """The results of all environments of the folder."""
        return self.part_of or self

    @property
    def environments(self) -> list[str]:
        """The environments' labels, in natural order."""
        return sorted(self.runs["env"].unique(), key=palette.natural)

    @property
    def shown(self) -> dict[str, Style]:
        """The styles of the labels that have a run here, in the order of legends."""
        return palette.among(self.styles, self.runs["label"])

    def within(self, environments: Collection[str], /) -> "Results":
        """The results of these environments alone."""
        curves, runs = (
            frame[frame["env"].isin(environments)].reset_index(drop=True)
            for frame in (self.curves, self.runs)
        )
        return replace(self, curves=curves, runs=runs, part_of=self.whole)

    def tables(self) -> dict[str, pd.DataFrame]:
        """All rows, by a table's name."""
        grids = [self.surfaces[env].table() for env in self.environments if env in self.surfaces]
        found = {"curves": self.curves, "runs": self.runs}
        return {**found, "surfaces": pd.concat(grids)} if grids else found

    def counted(self) -> str:
        """'n = 5 seeds', with the exceptions by name."""
        return notes.counts(self.runs)


def load(folder: Path, only: Collection[str] | None = None) -> Results:
    """The results of a folder: of its cells, or else of its tables.

    Args:
      folder: of the results.
      only: run_id of the runs that are wanted; None: all.

    Raises:
      UserError: it holds neither, or a damaged file.
    """
    found = tables.load(folder)
    if only is not None:
        found = tuple(one[one["run_id"].isin(only)].reset_index(drop=True) for one in found)
    curves, runs = variants.apart(*found)
    styles = palette.styles(dict(zip(runs["label"], runs["agent"], strict=True)))
    asked = frozenset(manifest.read(folder).sweep.get("figures", ()))
    return Results(curves, runs, styles, surfaces.load(folder), asked)
