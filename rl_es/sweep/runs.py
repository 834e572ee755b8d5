"""Runs, from their start to their end.

An `ActiveRun` is one run: its progress, its curve and its files. `run_batch` runs several of them,
the lanes that one call of a compiled program advances.

A run is advanced in calls of about `CALL_SECONDS`. After each call progress is reported; at each
evaluation point a row is added to the curve; from time to time a checkpoint is saved. How the calls
are cut changes no number. Where several processes run the batch together, the first one's clock
counts, so that all cut the calls alike.

Axis letters: E evaluation episodes.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from rl_es.config import split_traced
from rl_es.errors import Interrupted
from rl_es.interfaces import Limit, Rows, Snapshot
from rl_es.results import manifest, tables
from rl_es.sweep.cells import Cell
from rl_es.sweep.progress import CellReport, Progress
from rl_es.sweep.store import RunProgress, Store, cell_origin
from rl_es.training.program import Program
from rl_es.training.resources import CHECKPOINT_SECONDS
from rl_es.training.sharding import to_host

CALL_SECONDS = 2.0  # about how long one call of the program takes
WRITE_SECONDS = 2.0  # between two writes of a running cell's curve, at least
MAX_STEPS = 10**9  # environment steps of one call of a program; its counters are int32
MAX_GENERATIONS = 2**31 - 1
MIDDLE = 2 / 3  # share of the budget at which the middle policy is saved


@dataclass(frozen=True)
class GroupRecord:
    """What the runs of a group share in their records.

    Attributes:
      lanes: Number of runs that share a call of the program.
      compile_seconds: Seconds that compiling the program took.
      parameters: Number of scalars that are evolved.
      first_seed: The seed of which the early and middle policies are saved, too.
      devices: Number of devices.
      chunks: Number of chunks in which a population is evaluated.
    """

    lanes: int
    compile_seconds: float
    parameters: int
    first_seed: int
    devices: int = 1
    chunks: int = 1


@dataclass
class ActiveRun:
    """One run.

    Attributes:
      cell: The cell that is run.
      store: The results folder.
      group: The part of its record that its group shares.
      progress: How far it has come.
      rows: Rows of its curve so far.
      population: Measures of the last generation, by column.
      status: running, finished, diverged or failed; done where it had ended before.
      reason: Why it diverged or failed.
    """

    cell: Cell
    store: Store
    group: GroupRecord
    progress: RunProgress = field(default_factory=RunProgress)
    rows: list[dict[str, Any]] = field(default_factory=list)
    population: dict[str, float | None] = field(default_factory=dict)
    status: str = "running"
    reason: str | None = None
    _write_time: float = 0.0  # seconds of `time.monotonic`

    @property
    def active(self) -> bool:
        """Whether it still runs."""
        return self.status == "running"

    @property
    def fraction(self) -> float:
        """The share of its budget that is used, 0 to 1."""
        return self.progress.fraction(self.cell)

    # The way to the next evaluation point.

    def is_due(self, point: Fraction) -> bool:
        """Returns whether it has reached a point of its budget and has no row there yet."""
        has_row = bool(self.rows) and self.rows[-1]["generation"] == self.progress.generation
        is_reached = self.progress.share(self.cell) >= point
        return (is_reached or self.reason is not None) and not has_row

    def next_point(self) -> Fraction:
        """Returns the share of the budget at which it is evaluated next."""
        points = self.cell.evaluation.points
        return min(Fraction(1), Fraction(self.progress.share(self.cell) * points // 1 + 1, points))

    def remaining(self, point: Fraction) -> tuple[int, int]:
        """Returns the (generations, environment steps) left until a share of the budget."""
        if not self.active:
            return 0, 0
        budget = self.cell.budget
        generations, steps = MAX_GENERATIONS, MAX_STEPS
        if budget.env_steps is not None:
            steps = min(steps, math.ceil(point * budget.env_steps) - self.progress.env_steps)
        if budget.generations is not None:
            target = math.ceil(point * budget.generations)
            generations = min(generations, target - self.progress.generation)
        return max(0, generations), max(0, steps)

    def advance(self, rows: Rows, lane: int, seconds: float) -> None:
        """Adds what a call of the program returned for a lane, and the seconds it took."""
        generations = int(rows.generations[lane])
        self.progress.generation += generations
        self.progress.env_steps += int(rows.env_steps[lane])
        self.progress.episodes += int(rows.episodes[lane])
        self.progress.wall_seconds += seconds
        names = ("population_mean", "population_best", "update_norm")
        self.population = {n: tables.finite(float(getattr(rows, n)[lane])) for n in names}
        if rows.nonfinite_members is not None and generations:
            count = int(rows.nonfinite_members[lane])
            self.progress.nonfinite_members = (self.progress.nonfinite_members or 0) + count
        if generations and not np.isfinite(rows.update_norm[lane]):
            self.reason = f"the update of generation {self.progress.generation} is not finite"

    def add_evaluation(self, returns: np.ndarray, snapshot: Snapshot) -> None:
        """Adds the row of an evaluation; ends the run if it has diverged.

        Args:
          returns: [E] float64.
          snapshot: the policy that was evaluated.
        """
        fraction_before = self.rows[-1]["fraction"] if self.rows else 0.0
        self.reason = self.reason or divergence_reason(self.progress.generation, returns, snapshot)
        self.rows.append(
            {
                "fraction": self.fraction,
                "generation": self.progress.generation,
                "env_steps": self.progress.env_steps,
                "episodes": self.progress.episodes,
                "wall_seconds": self.progress.wall_seconds,
                "lanes": self.group.lanes,
                "compile_seconds": self.group.compile_seconds,
                **return_statistics(returns, snapshot),
                **self.population,
                "nonfinite_members": self.progress.nonfinite_members,
                "center": center_parameters(snapshot),
            }
        )
        if self.reason is not None:
            self.end("diverged")
            return
        if self.cell.seed == self.group.first_seed:
            if self._is_early():
                self._save_policy("early", snapshot)
            if fraction_before < MIDDLE <= self.fraction < 1.0:
                self._save_policy("middle", snapshot)
        if time.monotonic() - self._write_time > WRITE_SECONDS:
            self.write()

    def _is_early(self) -> bool:
        """Tells whether the last evaluation is that of the early policy.

        It is the policy before any training, or that of the first evaluation after it where its
        return is lower, so that the early policy has what training then improves.
        """
        if len(self.rows) == 1:
            return True
        if len(self.rows) > 2 or self.fraction >= 1.0:
            return False
        start, first = (row["return_mean"] for row in self.rows)
        return start is not None and first is not None and first < start

    # Files.

    def resume(self, shapes: Any) -> Any | None:
        """Resumes from the last checkpoint; returns its state, or None where there is none."""
        checkpoint = self.store.resume(self.cell, shapes)
        if checkpoint is None:
            return None
        state, self.progress, rows = checkpoint
        self._restore_rows(rows)
        return state

    def save(self, state: Any) -> None:
        """Writes its curve, then a checkpoint of its state (one lane's arrays)."""
        self.write()
        self.store.write_checkpoint(self.cell, state, self.progress, len(self.rows))

    def finish(self, snapshot: Snapshot) -> None:
        """Ends the run at its budget, with its final policy."""
        self._save_policy("final", snapshot)
        self.end("finished")

    def end(self, status: str, reason: str | None = None) -> None:
        """Ends the run and writes its record.

        A run that ends before it was resumed keeps the curve that is in the folder.
        """
        self.status, self.reason = status, reason or self.reason
        rows, record = ([], {}) if self.rows else self.store.read(self.cell)
        if rows:
            self.progress = RunProgress.from_record(record)
            self._restore_rows(rows)
        self.write()

    def fail(self, reason: str) -> None:
        """Ends the run as failed; the record of a run that finished a smaller budget is kept."""
        if self.store.read(self.cell)[1].get("status") == "finished":
            self.status, self.reason = "failed", reason
        else:
            self.end("failed", reason)

    def write(self) -> None:
        """Writes its curve and its record."""
        self._write_time = time.monotonic()
        self.store.write(self.cell, self.rows, self._record())

    def _restore_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes over the rows of a curve in the folder."""
        counters = ("generation", "env_steps", "episodes", "wall_seconds")
        for row in rows:
            fraction = RunProgress(*(row[name] for name in counters)).fraction(self.cell)
            measures = {name: row.get(name) for name in tables.MEASURES}
            self.rows.append({"fraction": fraction, **measures})

    def _record(self) -> Mapping[str, Any]:
        return {
            "status": self.status,
            "reason": self.reason,
            "generations": self.progress.generation,
            "env_steps": self.progress.env_steps,
            "episodes": self.progress.episodes,
            "nonfinite_members": self.progress.nonfinite_members,
            "wall_seconds": self.progress.wall_seconds,
            "lanes": self.group.lanes,
            "devices": self.group.devices,
            "chunks": self.group.chunks,
            "compile_seconds": self.group.compile_seconds,
            "peak_memory_bytes": manifest.peak_memory(),
            "parameters": self.group.parameters,
            "device": manifest.device_name(),
            **cell_origin(self.cell),
        }

    def _save_policy(self, stage: str, snapshot: Snapshot) -> None:
        return_mean = self.rows[-1]["return_mean"]
        self.store.write_policy(self.cell, stage, snapshot, self.progress, return_mean)


# Measures of an evaluation.


def _is_finite(tree: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def return_statistics(returns: np.ndarray, snapshot: Snapshot) -> dict[str, float | None]:
    """Returns the statistics of an evaluation's returns, None where they are not finite.

    All are None where the policy is not finite. Such a policy may have finite returns, since the
    argmax of outputs that are not numbers is an action like any other; they would mean nothing.

    Args:
      returns: [E] float64.
      snapshot: the policy that was evaluated.
    """
    if not _is_finite(snapshot):
        returns = np.full_like(returns, np.nan)
    with np.errstate(invalid="ignore"):
        statistics = {
            "return_mean": returns.mean(),
            "return_std": returns.std(),
            "return_min": returns.min(),
            "return_max": returns.max(),
        }
    return {name: tables.finite(float(value)) for name, value in statistics.items()}


def divergence_reason(generation: int, returns: np.ndarray, snapshot: Snapshot) -> str | None:
    """Returns why a run cannot go on after an evaluation; None where it can."""
    if not _is_finite(snapshot):
        return f"the policy after generation {generation} is not finite"
    if not np.isfinite(returns).all():
        return f"a return after generation {generation} is not finite"
    return None


def center_parameters(snapshot: Snapshot) -> list[float] | None:
    """Returns the parameters as one list, in the tree's order.

    None stands for more than `tables.MOST_CENTER` parameters, or for parameters not all finite.
    """
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(snapshot.params)]
    if sum(leaf.size for leaf in leaves) > tables.MOST_CENTER:
        return None
    parameters = np.concatenate(leaves).astype(np.float64)
    return parameters.tolist() if np.isfinite(parameters).all() else None


# A batch of runs.


def run_batch(
    program: Program,
    lanes: Sequence[ActiveRun],
    progress: Progress,
    stop: threading.Event,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Runs every lane to its end.

    Args:
      program: compiled for this number of lanes.
      lanes: the runs; those that are not active take part in the calls and do nothing.
      progress: receives a report of each run after each call.
      stop: is checked between calls, in all processes.
      checkpoint_seconds: time between two checkpoints.

    Raises:
      Interrupted: a stop was requested; each run is saved.
    """
    store = lanes[0].store
    call_seconds = min(CALL_SECONDS, checkpoint_seconds)
    state = _start(program, lanes)
    _evaluate(program, state, lanes, [not lane.rows for lane in lanes])
    generations, save_time = 1, time.monotonic()
    while any(lane.active for lane in lanes):
        points = [lane.next_point() for lane in lanes]
        state, seconds = _advance(program, state, lanes, points, generations, progress)
        if seconds < call_seconds / 2:
            generations = min(2 * generations, 2**30)
        elif seconds > 2 * call_seconds:
            generations = max(1, generations // 2)
        due = [lane.is_due(point) for lane, point in zip(lanes, points, strict=True)]
        _evaluate(program, state, lanes, due)
        stopping = store.stop_requested(stop)
        checkpoint_due = (
            stopping or store.first_seconds(time.monotonic() - save_time) > checkpoint_seconds
        )
        _save(program, state, lanes, checkpoint_due)
        if stopping:
            raise Interrupted
        if checkpoint_due:
            save_time = time.monotonic()


def _seeds(lanes: Sequence[ActiveRun]) -> np.ndarray:
    return np.asarray([lane.cell.seed for lane in lanes], np.uint32)


def _start(program: Program, lanes: Sequence[ActiveRun]) -> Any:
    """Returns the state that the lanes start from: initial, or of their last checkpoint."""
    traced = [split_traced(lane.cell.config)[1] for lane in lanes]
    names = traced[0].keys()
    hyper = {name: np.asarray([values[name] for values in traced], np.float32) for name in names}
    state = program.init(_seeds(lanes), hyper)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), program.state_shape
    )
    for i, lane in enumerate(lanes):
        resumed_state = lane.resume(shapes) if lane.active else None
        if resumed_state is not None:
            state = jax.tree.map(np.array, to_host(state))
            leaves = jax.tree.leaves(resumed_state)
            for target, leaf in zip(jax.tree.leaves(state), leaves, strict=True):
                target[i] = leaf
    return state


def _advance(
    program: Program,
    state: Any,
    lanes: Sequence[ActiveRun],
    points: Sequence[Fraction],
    generations: int,
    progress: Progress,
) -> tuple[Any, float]:
    """Calls the program once; returns the next state, and the seconds that the call took."""
    remaining = [lane.remaining(point) for lane, point in zip(lanes, points, strict=True)]
    limit = Limit(
        np.asarray([min(most, generations) for most, _ in remaining], np.int32),
        np.asarray([steps for _, steps in remaining], np.int32),
    )
    start = time.perf_counter()
    state, rows = program.advance(state, limit)
    rows = to_host(rows)
    seconds = lanes[0].store.first_seconds(time.perf_counter() - start)
    rate = float(rows.env_steps.sum()) / seconds
    for i, lane in enumerate(lanes):
        if lane.active:
            lane.advance(rows, i, seconds)
            return_mean, env_steps = lane.rows[-1]["return_mean"], lane.progress.env_steps
            progress.running(CellReport(lane.cell, lane.fraction, return_mean, env_steps, rate))
    return state, seconds


def _evaluate(
    program: Program, state: Any, lanes: Sequence[ActiveRun], due: Sequence[bool]
) -> None:
    """Evaluates the active lanes that are due, and ends those that have diverged."""
    due = [is_due and lane.active for is_due, lane in zip(due, lanes, strict=True)]
    if not any(due):
        return
    snapshot = program.snapshot(state)
    returns = to_host(program.evaluate(_seeds(lanes), snapshot)).astype(np.float64)
    snapshot = to_host(snapshot)
    for i, lane in enumerate(lanes):
        if due[i]:
            lane.add_evaluation(returns[i], jax.tree.map(lambda leaf, i=i: leaf[i], snapshot))


def _save(program: Program, state: Any, lanes: Sequence[ActiveRun], checkpoint_due: bool) -> None:
    """Saves the active lanes that are due or at their budget's end, and finishes the latter."""
    saving = [lane.active and (checkpoint_due or lane.fraction >= 1.0) for lane in lanes]
    if not any(saving):
        return
    host_state = to_host(state)
    for i, lane in enumerate(lanes):
        if saving[i]:
            lane_state = jax.tree.map(lambda leaf, i=i: leaf[i], host_state)
            lane.save(lane_state)
            if lane.fraction >= 1.0:
                lane.finish(program.snapshot(lane_state))
