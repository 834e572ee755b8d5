"""Curves in Weights & Biases while a sweep runs: one of its runs for each run of the sweep.

Its own settings come from its environment variables: `WANDB_MODE=offline` keeps everything in the
folder `wandb` of the results folder, from which `wandb sync` uploads it later.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_es import registry
from rl_es.sweep.cells import Cell
from rl_es.sweep.tracking import run_settings

SCALARS = ("return_mean", "population_mean", "population_best", "update_norm", "wall_seconds")


class WandbTracker:
    """A project of Weights & Biases, of the sweep's name, in which the labels are groups."""

    name = "wandb"

    def __init__(self, folder: Path):
        """Keeps its files in the results folder.

        Raises:
          UserError: wandb is not installed.
        """
        registry.require("wandb", "wandb", "logging to Weights & Biases")
        self._wandb = importlib.import_module("wandb")
        self._folder = folder
        self._runs: dict[str, Any] = {}  # runs that are tracked, by run_id

    def log(self, cell: Cell, rows: Sequence[Mapping[str, Any]]) -> None:
        """Logs evaluations at their environment steps; wandb ignores those that it has."""
        if cell.run_id not in self._runs:
            self._runs[cell.run_id] = self._start(cell)
        for row in rows:
            values = {name: row[name] for name in SCALARS if row[name] is not None}
            finite = {name: value for name, value in values.items() if math.isfinite(value)}
            self._runs[cell.run_id].log(finite, step=int(row["env_steps"]))

    def finish(self, cell: Cell) -> None:
        """Ends a run."""
        if run := self._runs.pop(cell.run_id, None):
            run.finish()

    def close(self) -> None:
        """Ends all runs."""
        for run in self._runs.values():
            run.finish()
        self._runs.clear()

    def _start(self, cell: Cell) -> Any:
        settings = self._wandb.Settings(silent=True, console="off")
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._wandb.init(
            project=cell.sweep,
            id=cell.run_id,
            name=f"{cell.env} / {cell.label} / seed {cell.seed}",
            group=f"{cell.env} / {cell.label}",
            config=run_settings(cell),
            dir=str(self._folder),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
