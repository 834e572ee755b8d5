"""A sweep's results folder, shared by all processes that run the sweep.

    cells/<run_id>.parquet         curve and record of a run
    checkpoints/<run_id>.msgpack   state of a run, to resume it or to extend its budget
    policies/<run_id>/             saved policies of a run
    surfaces/<env>.parquet         objective of an environment on a grid of two parameters
    claims/<group>.lock            locked by the process that runs the group
    set_aside/                     damaged files, which nothing reads
    manifest.json                  the sweep, the versions, and each start of it

A damaged file is set aside, and its content is computed again.

This is the only module of the executor that knows of processes joined by `jax.distributed`
(`rl_es.training.multihost`). The first process alone reads and writes the folder. What is read is
broadcast, so that all processes take the same decisions; writes do nothing in the others. Every
method that reads, claims or agrees must therefore be called by all processes in the same order.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import jax

from rl_es import registry
from rl_es.config import Config
from rl_es.errors import DamagedError, UserError, source_line
from rl_es.interfaces import Snapshot
from rl_es.plugins import is_reference
from rl_es.results import files, manifest, surfaces, tables, text_files
from rl_es.results.files import Claim, Note, read_or_set_aside, remove_temporary
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.schema import Sweep
from rl_es.training import checkpoint, multihost, policies, policy_manifest

CellState = Literal["missing", "failed", "done"]
ENDING = ("status", "reason", "final_return", "wall_seconds")  # columns that are reported


@dataclass
class RunProgress:
    """How far a run has come.

    Attributes:
      generation: Number of generations.
      env_steps: Number of environment steps of training.
      episodes: Number of episodes of training that have ended.
      wall_seconds: Seconds of training.
      nonfinite_members: Number of members whose return was not finite; None where not counted.
    """

    generation: int = 0
    env_steps: int = 0
    episodes: int = 0
    wall_seconds: float = 0.0
    nonfinite_members: int | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "RunProgress":
        """Returns the progress that a run's record states."""
        return cls(
            record["generations"],
            record["env_steps"],
            record["episodes"],
            record["wall_seconds"],
            record.get("nonfinite_members"),
        )

    def share(self, cell: Cell) -> Fraction:
        """Returns the exact share of the cell's budget that is used; above 1 beyond its end."""
        budget = cell.budget
        if budget.env_steps is not None:
            return Fraction(self.env_steps, budget.env_steps)
        if budget.generations is not None:
            return Fraction(self.generation, budget.generations)
        return Fraction(self.wall_seconds) / Fraction(budget.seconds or 1.0)

    def fraction(self, cell: Cell) -> float:
        """Returns the share of the cell's budget that is used, 0 to 1."""
        return min(1.0, float(self.share(cell)))


@dataclass(frozen=True)
class GroupClaim:
    """A claim of one group out of a list.

    Attributes:
      index: Position of the group in the list.
      run_ids: Cells of the group that are left to run; may be empty.
      ended_records: `ENDING` of the cells that another process has ended, by run_id.
      lock: The lock; None in a process that is not the first.
    """

    index: int
    run_ids: Set[str]
    ended_records: Mapping[str, Mapping[str, Any]]
    lock: Claim | None

    def release(self) -> None:
        """Releases the claim; may be called twice."""
        if self.lock is not None:
            self.lock.release()


@dataclass
class Store:
    """The files of a results folder.

    Attributes:
      folder: The folder; in a process that is not the first it is never touched.
      note: Receives a message about each file that is set aside.
    """

    folder: Path
    note: Note = lambda text: None

    @property
    def is_writer(self) -> bool:
        """Whether this process reads and writes the folder: the first or only one."""
        return multihost.is_first()

    # Paths.

    def cell_path(self, cell: Cell) -> Path:
        """Returns the file of a cell's curve and record."""
        return self.folder / "cells" / f"{cell.run_id}.parquet"

    def checkpoint_path(self, cell: Cell) -> Path:
        """Returns the file of a cell's state."""
        return self.folder / "checkpoints" / f"{cell.run_id}.msgpack"

    def policies_folder(self, cell: Cell) -> Path:
        """Returns the folder of a cell's policies."""
        return self.folder / "policies" / cell.run_id

    # Reading.

    def read(self, cell: Cell) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Returns a cell's (curve rows, record); both are empty where there is no file."""
        rows, record = multihost.call_on_first(lambda: self._read(cell))
        return rows, record

    def states(self, cells: Iterable[Cell]) -> dict[str, CellState]:
        """Returns whether each cell failed or has ended at its present budget, by run_id."""
        return multihost.call_on_first(lambda: {cell.run_id: self._state(cell) for cell in cells})

    def fractions(self, cells: Iterable[Cell]) -> dict[str, float]:
        """Returns the share of its present budget that each cell has used, by run_id."""
        return {
            cell.run_id: RunProgress.from_record(record).fraction(cell) if record else 0.0
            for cell in cells
            for _, record in [self.read(cell)]
        }

    def version(self, cell: Cell) -> int:
        """Returns a number that changes with each write of a cell's record; 0 without a file."""
        try:
            return self.cell_path(cell).stat().st_mtime_ns if self.is_writer else 0
        except OSError:
            return 0

    def resume(
        self, cell: Cell, shapes: Any
    ) -> tuple[Any, RunProgress, list[dict[str, Any]]] | None:
        """Reads the last checkpoint of a cell; returns None where the run must start anew.

        A checkpoint whose curve is incomplete is not used, since the curve could not be completed.
        It is removed before anything is written: otherwise it would pass for one of the new curve.
        A damaged checkpoint is set aside.

        Args:
          cell: the cell.
          shapes: pytree of `jax.ShapeDtypeStruct`, the structure of the state.

        Returns:
          The state as NumPy arrays, the progress, and the rows of the curve up to the checkpoint.

        Raises:
          UserError: the checkpoint holds a state of another structure.
        """
        path = self.checkpoint_path(cell)
        rows = multihost.call_on_first(lambda: self._read(cell)[0] if path.exists() else [])
        if not rows:
            self._remove(path)
            return None
        try:
            state, counters = checkpoint.load(
                path, shapes, lambda path: multihost.read_on_first(path.read_bytes)
            )
        except DamagedError as error:
            if self.is_writer:
                self.note(files.set_aside(self.folder, path, error))
            return None
        evaluations = counters.pop("evaluations", None)
        progress = RunProgress(**counters)
        rows = [row for row in rows if row["generation"] <= progress.generation]
        if evaluations not in (None, len(rows)):
            self._remove(path)
            return None
        return state, progress, rows

    def surface_settings(self, env: str) -> str | None:
        """Returns the hash of the settings of an environment's surface; None where it has none."""

        def read() -> str | None:
            path = surfaces.path_of(self.folder, env)
            surface = read_or_set_aside(self.folder, path, surfaces.read, self.note)
            return None if surface is None else surface.settings

        return multihost.call_on_first(read)

    def _read(self, cell: Cell) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        content = read_or_set_aside(self.folder, self.cell_path(cell), tables.read_cell, self.note)
        return content or ([], {})

    def _state(self, cell: Cell) -> CellState:
        _, record = self._read(cell)
        status = record.get("status")
        if status in ("diverged", "failed"):
            return "done" if status == "diverged" else "failed"
        if status == "finished" and RunProgress.from_record(record).fraction(cell) >= 1.0:
            return "done"
        return "missing"

    def _remove(self, path: Path) -> None:
        if self.is_writer:
            path.unlink(missing_ok=True)

    # Writing.

    def write_manifest(self, sweep: Sweep, cells: Sequence[Cell], /, **start: Any) -> None:
        """Writes `manifest.json`, or adds this start to an existing one.

        Args:
          sweep: the sweep that is run.
          cells: all of its cells, in order.
          start: what else to record of this start; empty values are left out.

        Raises:
          UserError: the folder holds the results of another sweep.
        """
        content = sweep.model_dump(mode="json", by_alias=True)
        processes = {"processes": jax.process_count()} if multihost.is_multihost() else {}
        start = {
            **processes,
            **{name: value for name, value in start.items() if value not in ("", [])},
        }
        styles = registry.plugin_styles(agent.name for agent in sweep.agents)
        more = describe_cells(cells) | ({"styles": styles} if styles else {})
        baselines = {entry.display_name: entry.baselines for entry in sweep.environments}
        if any(baselines.values()):
            more["baselines"] = {env: returns for env, returns in baselines.items() if returns}
        multihost.call_on_first(
            lambda: manifest.write_manifest(self.folder, "sweep", content, start, self.note, **more)
        )

    def refresh(self, *cells: Cell) -> None:
        """Gives finished runs the labels and the threshold that the sweep has now.

        Raises:
          UserError: a manifest of their policies is damaged.
        """

        def refresh_all() -> None:
            for cell in cells:
                self._refresh(cell)

        multihost.call_on_first(refresh_all)

    def write(
        self, cell: Cell, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]
    ) -> None:
        """Writes a cell's curve and record."""
        if self.is_writer:
            curve = [{name: row.get(name) for name in tables.MEASURES} for row in rows]
            record = {**record, **cell_outcome(rows, cell.threshold)}
            tables.write_cell(
                self.cell_path(cell), cell_identity(cell), cell.settings, curve, record
            )

    def write_checkpoint(
        self, cell: Cell, state: Any, progress: RunProgress, evaluations: int
    ) -> None:
        """Writes a checkpoint.

        Args:
          cell: the cell.
          state: state of its learner, a pytree of arrays.
          progress: progress of its run.
          evaluations: number of rows of its curve.
        """
        if self.is_writer:
            counters = {**asdict(progress), "evaluations": evaluations}
            checkpoint.save(self.checkpoint_path(cell), state, counters)

    def write_policy(
        self,
        cell: Cell,
        stage: str,
        snapshot: Snapshot,
        progress: RunProgress,
        return_mean: float | None,
    ) -> None:
        """Writes a policy with its manifest.

        Args:
          cell: the cell.
          stage: name of the file: early, middle or final.
          snapshot: the policy.
          progress: progress of its run.
          return_mean: mean return of its evaluation.
        """
        if self.is_writer:
            content = {
                **cell_identity(cell),
                "settings": cell.settings,
                "generation": progress.generation,
                "env_steps": progress.env_steps,
                "return_mean": return_mean,
                **cell_origin(cell),
            }
            snapshot = jax.device_get(snapshot)
            policies.save_policy(self.policies_folder(cell), stage, snapshot, content)

    def write_surface(
        self, env: str, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]
    ) -> None:
        """Writes the surface of an environment."""
        if self.is_writer:
            surfaces.write(surfaces.path_of(self.folder, env), rows, record)

    def _refresh(self, cell: Cell) -> None:
        rows, record = self._read(cell)
        identity = cell_identity(cell)
        if {**identity, "threshold": cell.threshold}.items() <= record.items():
            return
        for path in self.policies_folder(cell).glob("*.json"):
            content = read_or_set_aside(
                self.folder,
                path,
                lambda path: text_files.read_json(path, policy_manifest.MANIFEST_KIND),
                self.note,
            )
            if content is not None:
                text_files.write_json(path, {**content, **identity})
        self.write(cell, rows, {name: record[name] for name in tables.RUN})

    # Claims, and decisions that all processes share.

    def claim_first(
        self, groups: Sequence[Group], versions: Mapping[str, int]
    ) -> GroupClaim | None:
        """Claims the first group that no other process has; None where there is none.

        What a killed process left half-written of its cells is removed.

        Args:
          groups: candidates, in order.
          versions: `version` of each cell that may be run, by run_id, as the sweep started. A cell
            that has failed is run again only if it has not been written since.
        """
        locks: list[Claim] = []

        def claim() -> Any:
            for index, group in enumerate(groups):
                lock = files.claim(self.folder, group.key)
                if lock is not None:
                    locks.append(lock)
                    return index, *self._left(group, versions)
            return None

        choice = multihost.call_on_first(claim)
        if choice is None:
            return None
        index, run_ids, ended_records = choice
        return GroupClaim(index, frozenset(run_ids), ended_records, locks[0] if locks else None)

    def _left(
        self, group: Group, versions: Mapping[str, int]
    ) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """Returns (run_ids left to run, `ENDING` of the other wanted cells) of a claimed group."""
        run_ids, ended_records = [], {}
        for cell in group.cells:
            if cell.run_id not in versions:
                continue
            if self.is_left(cell, versions[cell.run_id]):
                run_ids.append(cell.run_id)
                for path in (self.cell_path(cell), self.checkpoint_path(cell)):
                    remove_temporary(path.parent, cell.run_id)
                remove_temporary(self.policies_folder(cell))
            else:
                record = self._read(cell)[1]
                ended_records[cell.run_id] = {name: record[name] for name in ENDING}
        return run_ids, ended_records

    def is_left(self, cell: Cell, version: int) -> bool:
        """Returns whether a cell that had this version at the start is left to run."""
        state = self._state(cell)
        return state == "missing" or (state == "failed" and self.version(cell) == version)

    def check_same(self, identity: str) -> None:
        """Compares the start of all processes.

        Args:
          identity: text that is equal in processes that would run the same.

        Raises:
          UserError: it differs.
        """
        multihost.check_same(identity, "sweeps, options, versions or devices")

    def in_any_process(self, flag: bool) -> bool:
        """Returns the logical OR over all processes."""
        return multihost.any_process(flag)

    def stop_requested(self, stop: threading.Event, timeout: float = 0.0) -> bool:
        """Returns whether a stop was requested in any process, after `timeout` seconds at most."""
        return self.in_any_process(stop.wait(timeout) if timeout else stop.is_set())

    def first_seconds(self, seconds: float) -> float:
        """Returns the first process's measurement, so that all cut their calls alike."""
        return multihost.agree_on(seconds)

    def is_shared(self, error: Exception) -> bool:
        """Returns whether all processes have raised this error, and can therefore go on.

        Otherwise the others would wait for this process in vain: the error has to end them all.
        """
        return isinstance(error, UserError) or not multihost.is_multihost()


def describe_cells(cells: Iterable[Cell]) -> dict[str, Any]:
    """Returns the protocol of each environment and the labels, in the order of the sweep."""
    protocol: dict[str, dict[str, Any]] = {}
    labels: dict[str, None] = {}
    for cell in cells:
        budget = cell.budget.model_dump(mode="json", exclude_none=True)
        evaluation = cell.evaluation.model_dump(mode="json")
        protocol.setdefault(cell.env, {"env": cell.env, "budget": budget, "evaluation": evaluation})
        labels.setdefault(cell.label)
    return {"protocol": [*protocol.values()], "labels": [*labels]}


def cell_identity(cell: Cell) -> dict[str, Any]:
    """Returns the `tables.IDENTITY` of a run."""
    return {name: getattr(cell, name) for name in tables.IDENTITY if name != "schema_version"}


def cell_origin(cell: Cell) -> dict[str, Any]:
    """Returns what a run's environment and policy are built from, and the versions of the code."""
    content = cell_source(cell.env_name, cell.options, cell.wrappers, cell.policy)
    loads = {cell.agent: registry.agents.load, cell.env_name: registry.environment_suite}
    code = {name: str(load(name).NUMERICS) for name, load in loads.items() if is_reference(name)}
    if (network_code := cell.policy.network_code) is not None:
        code[cell.policy.network] = str(network_code)
    return {**content, "versions": {**content["versions"], **code}}


def cell_source(
    name: str, options: Config, wrappers: WrapperConfig, policy: PolicyConfig
) -> dict[str, Any]:
    """Returns what an environment and a policy are built from, and the versions of the code."""
    settings = {"options": options.model_dump(), "wrappers": wrappers.model_dump(mode="json")}
    data = registry.data_digest(name, options)
    return {
        "environment": {"name": name, **settings, **({} if data is None else {"data": data})},
        "policy": policy.model_dump(mode="json"),
        "versions": manifest.package_versions(),
        "git_revision": manifest.git_revision(),
    }


def cell_reason(error: Exception) -> str:
    """Returns the reason of a failure, on one line."""
    location = "" if isinstance(error, UserError) else source_line(error)
    return f"{type(error).__name__}: {error}".splitlines()[0][:500] + location


def cell_outcome(rows: Sequence[Mapping[str, Any]], threshold: float | None) -> dict[str, Any]:
    """Returns the final and the best return of a curve, and the steps to the threshold."""
    means = [row["return_mean"] for row in rows]
    steps_reached = [
        row["env_steps"]
        for row in rows
        if None not in (threshold, row["return_mean"]) and row["return_mean"] >= threshold
    ]
    return {
        "final_return": means[-1] if means else None,
        "best_return": max((mean for mean in means if mean is not None), default=None),
        "threshold": threshold,
        "steps_to_threshold": min(steps_reached, default=None),
    }
