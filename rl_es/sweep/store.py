"""A results folder as the executor sees it: what is done of each cell, where each thing goes.

cells/<run_id>.parquet         a run's curve and record
checkpoints/<run_id>.msgpack   its state, for going on after a stop or with a longer budget
policies/<run_id>/             its saved policies
claims/<group>.lock            held by whoever runs a group
set_aside/                     files that were found damaged; nothing reads them
manifest.json                  what made the folder

A file that is damaged is set aside, and what it held is made anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from rl_es import tables
from rl_es.errors import DamagedError
from rl_es.files.whole import Note, read_whole, set_aside, tidy
from rl_es.sweep import manifest
from rl_es.sweep.cells import Cell
from rl_es.sweep.schema import Sweep

State = Literal["missing", "failed", "done"]


@dataclass
class Progressed:
    """How far a run has come."""

    generation: int = 0
    env_steps: int = 0
    episodes: int = 0
    wall_seconds: float = 0.0
    nonfinite_members: int | None = None  # None where none were counted

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Progressed":
        """What a run's record says."""
        return cls(
            record["generations"],
            record["env_steps"],
            record["episodes"],
            record["wall_seconds"],
            record.get("nonfinite_members"),
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
      note: told of each file that is set aside.
    """

    folder: Path
    mine: bool = True
    note: Note = lambda text: None

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
        if not self.mine:
            return [], {}
        found = read_whole(self.folder, self.cell(cell), tables.read_cell, self.note)
        return found or ([], {})

    def state(self, cell: Cell) -> State:
        """Whether it has ended, and reached the budget that the sweep asks for now."""
        _, record = self.read(cell)
        status = record.get("status")
        if status in ("diverged", "failed"):
            return "done" if status == "diverged" else "failed"
        if status == "finished" and Progressed.of(record).fraction(cell) >= 1.0:
            return "done"
        return "missing"

    def set_aside(self, path: Path, error: DamagedError) -> None:
        """Moves a damaged file out of the way, and says so."""
        if self.mine:
            self.note(set_aside(self.folder, path, error))

    def tidy(self, cell: Cell) -> None:
        """Removes what a killed process left half-written of a cell that is claimed."""
        if self.mine:
            for path in (self.cell(cell), self.checkpoint(cell)):
                tidy(path.parent, cell.run_id)
            tidy(self.policies(cell))

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
        manifest.write(self.folder, "sweep", stated, {"cells": cells, **start}, self.note)
