"""A results folder as the executor sees it: what is done of each cell, where each thing goes.

cells/<run_id>.parquet         a run's curve and record
checkpoints/<run_id>.msgpack   its state, for going on after a stop or with a longer budget
policies/<run_id>/             its saved policies
claims/<group>.lock            held by whoever runs a group
set_aside/                     files that were found damaged; nothing reads them
manifest.json                  what made the folder

A file that is damaged is set aside, and what it held is made anew.

What is recorded of an evaluation, and whether the run can go on after it.

What is written of a run, beside its numbers: who it is, and what came out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from rl_es import registry
from rl_es.errors import DamagedError, UserError, source_line
from rl_es.interfaces import Snapshot
from rl_es.plugins import is_reference
from rl_es.results import manifest as results_manifest
from rl_es.results import tables, text_files
from rl_es.results.files import Note, read_or_set_aside, remove_temporary, set_aside
from rl_es.results.manifest import git_revision, package_versions
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.sweep.cells import Cell
from rl_es.sweep.schema import Sweep
from rl_es.training import policy_manifest

State = Literal["missing", "failed", "done"]


@dataclass
class RunProgress:
    """How far a run has come."""

    generation: int = 0
    env_steps: int = 0
    episodes: int = 0
    wall_seconds: float = 0.0
    nonfinite_members: int | None = None  # None where none were counted

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "RunProgress":
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
        found = read_or_set_aside(self.folder, self.cell(cell), tables.read_cell, self.note)
        return found or ([], {})

    def state(self, cell: Cell) -> State:
        """Whether it has ended, and reached the budget that the sweep asks for now."""
        _, record = self.read(cell)
        status = record.get("status")
        if status in ("diverged", "failed"):
            return "done" if status == "diverged" else "failed"
        if status == "finished" and RunProgress.of(record).fraction(cell) >= 1.0:
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
                remove_temporary(path.parent, cell.run_id)
            remove_temporary(self.policies(cell))

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
        results_manifest.write_manifest(
            self.folder, "sweep", stated, {"cells": cells, **start}, self.note
        )


def _finite(tree: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def return_statistics(returns: np.ndarray, snapshot: Snapshot) -> dict[str, float | None]:
    """Of an evaluation's returns [E]: None where they are not finite, or the policy is not.

    A policy that is not finite may have finite returns: the index of the greatest of outputs that
    are not numbers is an action like any other. They would say nothing of it.
    """
    known = returns if _finite(snapshot) else np.full_like(returns, np.nan)
    with np.errstate(invalid="ignore"):
        found = {
            "return_mean": known.mean(),
            "return_std": known.std(),
            "return_min": known.min(),
            "return_max": known.max(),
        }
    return {name: tables.finite(float(value)) for name, value in found.items()}


def divergence_reason(generation: int, returns: np.ndarray, snapshot: Snapshot) -> str | None:
    """Why a run cannot go on after an evaluation; None where it can."""
    if not _finite(snapshot):
        return f"the policy after generation {generation} is not finite"
    if not np.isfinite(returns).all():
        return f"a return after generation {generation} is not finite"
    return None


def center_parameters(snapshot: Snapshot) -> list[float] | None:
    """The parameters as one list, in the tree's order; None of too many, or not finite ones."""
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(snapshot.params)]
    if sum(leaf.size for leaf in leaves) > tables.MOST_CENTER:
        return None
    whole = np.concatenate(leaves).astype(np.float64)
    return whole.tolist() if np.isfinite(whole).all() else None


def cell_identity(cell: Cell) -> dict[str, Any]:
    """The `tables.IDENTITY` of a run."""
    return {
        "sweep": cell.sweep,
        "run_id": cell.run_id,
        "env": cell.env,
        "agent": cell.agent,
        "label": cell.label,
        "seed": cell.seed,
    }


def cell_origin(cell: Cell) -> dict[str, Any]:
    """What a run's environment and policy are built from, and by which code."""
    content = cell_source(cell.env_name, cell.env_options, cell.wrappers, cell.policy)
    loads = {cell.agent: registry.agents.load, cell.env_name: registry.environment_suite}
    code = {name: str(load(name).NUMERICS) for name, load in loads.items() if is_reference(name)}
    return {**content, "versions": {**content["versions"], **code}}


def cell_source(
    name: str, options: Mapping[str, Any], wrappers: WrapperConfig, policy: PolicyConfig
) -> dict[str, Any]:
    """What an environment and a policy are built from, and by which code."""
    wrapped = wrappers.model_dump(mode="json")
    return {
        "environment": {"name": name, "options": dict(options), "wrappers": wrapped},
        "policy": policy.model_dump(mode="json"),
        "versions": package_versions(),
        "git_revision": git_revision(),
    }


def cell_reason(error: Exception) -> str:
    """Why something failed, on one line."""
    place = "" if isinstance(error, UserError) else source_line(error)
    return f"{type(error).__name__}: {error}".splitlines()[0][:500] + place


def cell_outcome(rows: Sequence[Mapping[str, Any]], threshold: float | None) -> dict[str, Any]:
    """Final and best return of a curve, and when it first reached the threshold."""
    means = [row["return_mean"] for row in rows]
    reached = [
        row["env_steps"]
        for row in rows
        if None not in (threshold, row["return_mean"]) and row["return_mean"] >= threshold
    ]
    return {
        "final_return": means[-1] if means else None,
        "best_return": max((mean for mean in means if mean is not None), default=None),
        "threshold": threshold,
        "steps_to_threshold": min(reached, default=None),
    }


def write_cell_record(
    cell: Cell, store: Store, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]
) -> None:
    """Writes a run's curve and record."""
    if not store.mine:
        return
    curve = [{name: row.get(name) for name in tables.MEASURES} for row in rows]
    whole = {**record, **cell_outcome(rows, cell.threshold)}
    tables.write_cell(store.cell(cell), cell_identity(cell), cell.settings, curve, whole)


def refresh_cell(cell: Cell, store: Store) -> None:
    """Gives a finished run the labels and the threshold that the sweep has now.

    Raises:
      UserError: a manifest of its policies is damaged.
    """
    rows, record = store.read(cell)
    named = cell_identity(cell)
    if {**named, "threshold": cell.threshold}.items() <= record.items():
        return
    for path in store.policies(cell).glob("*.json"):
        manifest = read_or_set_aside(
            store.folder,
            path,
            lambda path: text_files.read_json(path, policy_manifest.WHAT),
            store.note,
        )
        if manifest is not None:
            text_files.write_json(path, {**manifest, **named})
    write_cell_record(cell, store, rows, {name: record[name] for name in tables.RUN})
