"""A results folder as the executor sees it: which cells are done, where each thing goes.

cells/<run_id>.parquet         a run's curve and record
checkpoints/<run_id>.msgpack   its state, for going on after a stop or with a longer budget
policies/<run_id>/             its saved policies
manifest.json                  what made the folder
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rl_es import tables
from rl_es.sweep import manifest
from rl_es.sweep.cells import Cell
from rl_es.sweep.schema import Sweep


@dataclass
class Progressed:
    """How far a run has come."""

    generation: int = 0
    env_steps: int = 0
    episodes: int = 0
    wall_seconds: float = 0.0

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Progressed":
        """What a run's record says."""
        return cls(
            record["generations"], record["env_steps"], record["episodes"], record["wall_seconds"]
        )

    def share(self, cell: Cell) -> Fraction:
        """The share of the cell's budget that is done, exactly; more than 1 beyond its end."""
        budget = cell.budget
        if budget.env_steps is not None:
            return Fraction(self.env_steps, budget.env_steps)
        if budget.generations is not None:
            return Fraction(self.generation, budget.generations)
        return Fraction(self.wall_seconds) / Fraction(budget.seconds or 1.0)

    def fraction(self, cell: Cell) -> float:
        """The share of the cell's budget that is done, 0 to 1."""
        return min(1.0, float(self.share(cell)))


@dataclass
class Store:
    """The files of a results folder.

    Attributes:
      folder: where they are.
      mine: whether this process reads and writes them; for one of several that does not, the
        folder is empty and stays so.
    """

    folder: Path
    mine: bool = True

    def cell(self, cell: Cell) -> Path:
        """Its curve and record."""
        return self.folder / "cells" / f"{cell.run_id}.parquet"

    def checkpoint(self, cell: Cell) -> Path:
        """Its state."""
        return self.folder / "checkpoints" / f"{cell.run_id}.msgpack"

    def policies(self, cell: Cell) -> Path:
        """The folder of its policies."""
        return self.folder / "policies" / cell.run_id

    def read(self, cell: Cell) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Its (curve rows, record) so far, both empty where there is nothing."""
        path = self.cell(cell)
        return tables.read_cell(path) if self.mine and path.exists() else ([], {})

    def is_done(self, cell: Cell) -> bool:
        """Whether its record has ended and reached the budget that the sweep asks for now."""
        _, record = self.read(cell)
        if record.get("status") == "diverged":
            return True
        if record.get("status") != "finished":
            return False
        return Progressed.of(record).fraction(cell) >= 1.0

    def write_manifest(self, sweep: Sweep, cells: int, **start: Any) -> None:
        """Writes `manifest.json`, or adds this start to the one that is there.

        Args:
          sweep: what is run.
          cells: how many it has.
          start: what else to note of this start.

        Raises:
          UserError: the folder holds the results of another sweep.
        """
        stated = sweep.model_dump(mode="json", by_alias=True)
        manifest.write(self.folder, "sweep", stated, {"cells": cells, **start})
