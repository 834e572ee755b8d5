"""One run as the executor keeps it: how far it has come, its curve, and its files.

One batch of runs, the lanes that a program handles at once, from their start to their end.

Between calls of the compiled program there is progress, a row at each evaluation point, and from
time to time a checkpoint. How the calls are cut changes no number. Of several processes the first
one's clock counts, so that all cut them alike.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rl_es.config import split_traced
from rl_es.errors import DamagedError
from rl_es.interfaces import Limit, Rows, Snapshot
from rl_es.results import manifest, tables
from rl_es.sweep import store
from rl_es.sweep.cells import Cell
from rl_es.sweep.progress import Progress
from rl_es.sweep.store import RunProgress, Store
from rl_es.training import checkpoint, multihost, policies
from rl_es.training.compilation import Program
from rl_es.training.resources import CHECKPOINT_SECONDS
from rl_es.training.sharding import to_host

WRITE_SECONDS = 2.0  # a running cell's curve is written at most so often
MOST_STEPS = 10**9  # environment steps of one call of a program; its counters are int32
MOST_GENERATIONS = 2**31 - 1
_STAGES = ((1 / 3, "early"), (2 / 3, "middle"))


@dataclass(frozen=True)
class GroupRecord:
    """What the runs of a group share in their records."""

    lanes: int
    compile_seconds: float
    parameters: int
    first_seed: int  # the seed whose policies are saved on the way, too
    devices: int = 1
    chunks: int = 1


@dataclass
class ActiveRun:
    """One run.

    Attributes:
      cell: what is run.
      store: where its files go.
      shared: what its group says of it.
      come: how far it has come.
      rows: its curve so far.
      population: what the last generation said.
      status: running, finished, diverged, failed, or done (it was before).
    """

    cell: Cell
    store: Store
    shared: GroupRecord
    come: RunProgress = field(default_factory=RunProgress)
    rows: list[dict[str, Any]] = field(default_factory=list)
    population: dict[str, float | None] = field(default_factory=dict)
    status: str = "running"
    reason: str | None = None
    _written: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it still runs."""
        return self.status == "running"

    @property
    def fraction(self) -> float:
        """The share of its budget that is done."""
        return self.come.fraction(self.cell)

    # How far to go.

    def is_due(self, point: Fraction) -> bool:
        """Whether it has come to a point of its budget and was not evaluated there."""
        there = bool(self.rows) and self.rows[-1]["generation"] == self.come.generation
        return (self.come.share(self.cell) >= point or self.reason is not None) and not there

    def next_point(self) -> Fraction:
        """The share of the budget at which it is evaluated next."""
        points = self.cell.evaluation.points
        return min(Fraction(1), Fraction(self.come.share(self.cell) * points // 1 + 1, points))

    def remaining(self, point: Fraction) -> tuple[int, int]:
        """(generations, environment steps) from here to a share of the budget."""
        if not self.active:
            return 0, 0
        budget = self.cell.budget
        generations, steps = MOST_GENERATIONS, MOST_STEPS
        if budget.env_steps is not None:
            steps = min(steps, math.ceil(point * budget.env_steps) - self.come.env_steps)
        if budget.generations is not None:
            target = math.ceil(point * budget.generations)
            generations = min(generations, target - self.come.generation)
        return max(0, generations), max(0, steps)

    def advance(self, rows: Rows, i: int, seconds: float) -> None:
        """Takes in what a call of the program said of lane `i`."""
        self.come.generation += int(rows.generations[i])
        self.come.env_steps += int(rows.env_steps[i])
        self.come.episodes += int(rows.episodes[i])
        self.come.wall_seconds += seconds
        names = ("population_mean", "population_best", "update_norm")
        self.population = {n: tables.finite(float(getattr(rows, n)[i])) for n in names}
        if rows.nonfinite_members is not None and int(rows.generations[i]):
            more = int(rows.nonfinite_members[i])
            self.come.nonfinite_members = (self.come.nonfinite_members or 0) + more
        if int(rows.generations[i]) and not np.isfinite(rows.update_norm[i]):
            self.reason = f"the update of generation {self.come.generation} is not finite"

    def evaluated(self, returns: np.ndarray, snapshot: Snapshot) -> None:
        """Adds an evaluation's row; ends the run if it has diverged.

        Args:
          returns: [E] float64.
          snapshot: the policy that was evaluated.
        """
        before = self.rows[-1]["fraction"] if self.rows else 0.0
        self.reason = self.reason or store.divergence_reason(
            self.come.generation, returns, snapshot
        )
        self.rows.append(
            {
                "fraction": self.fraction,
                "generation": self.come.generation,
                "env_steps": self.come.env_steps,
                "episodes": self.come.episodes,
                "wall_seconds": self.come.wall_seconds,
                "lanes": self.shared.lanes,
                "compile_seconds": self.shared.compile_seconds,
                **store.return_statistics(returns, snapshot),
                **self.population,
                "nonfinite_members": self.come.nonfinite_members,
                "center": store.center_parameters(snapshot),
            }
        )
        if self.reason is not None:
            self.end("diverged")
            return
        if self.cell.seed == self.shared.first_seed:
            for share, stage in _STAGES:
                if before < share <= self.fraction < 1.0:
                    self._keep(stage, snapshot)
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.write()

    # Files.

    def resume(self, shapes: Any) -> Any | None:
        """Goes back to the last checkpoint; returns its state, or None where there is none.

        A checkpoint without its whole curve is not gone back to: the curve could not be made whole.
        One that is damaged is set aside. Then the run starts anew, and the checkpoint is removed
        before anything is written: it would otherwise be taken for one of the new curve.
        All processes go back to what the first one finds.
        """
        path = self.store.checkpoint(self.cell)
        rows = multihost.call_on_first(
            lambda: self.store.read(self.cell)[0] if path.exists() else []
        )
        if not rows:
            self._forget(path)
            return None
        try:
            state, counters = checkpoint.load(
                path, shapes, lambda path: multihost.read_on_first(path.read_bytes)
            )
        except DamagedError as error:
            self.store.set_aside(path, error)
            return None
        evaluations = counters.pop("evaluations", None)
        come = RunProgress(**counters)
        whole = [row for row in rows if row["generation"] <= come.generation]
        if evaluations not in (None, len(whole)):
            self._forget(path)
            return None
        self.come = come
        self._recall(whole)
        return state

    def _forget(self, path: Path) -> None:
        if self.store.mine:
            path.unlink(missing_ok=True)

    def _recall(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes up a curve that was written before."""
        counted = ("generation", "env_steps", "episodes", "wall_seconds")
        for row in rows:
            at = RunProgress(*(row[name] for name in counted))
            kept = {name: row.get(name) for name in tables.MEASURES}
            self.rows.append({"fraction": at.fraction(self.cell), **kept})

    def save(self, state: Any) -> None:
        """Writes its curve, then a checkpoint of its state (one lane's arrays)."""
        self.write()
        if self.store.mine:
            counters = {**asdict(self.come), "evaluations": len(self.rows)}
            checkpoint.save(self.store.checkpoint(self.cell), state, counters)

    def finish(self, snapshot: Snapshot) -> None:
        """Ends the run at its budget, with its final policy."""
        self._keep("final", snapshot)
        self.end("finished")

    def end(self, status: str, reason: str | None = None) -> None:
        """Ends the run and writes its record; one that failed before it went on keeps its curve."""
        self.status, self.reason = status, reason or self.reason
        rows, record = ([], {}) if self.rows else self.store.read(self.cell)
        if rows:
            self.come = RunProgress.of(record)
            self._recall(rows)
        self.write()

    def fail(self, reason: str) -> None:
        """Ends the run as failed; the record of one that was finished, for less, stays as it is."""
        if self.store.read(self.cell)[1].get("status") == "finished":
            self.status, self.reason = "failed", reason
        else:
            self.end("failed", reason)

    def write(self) -> None:
        """Writes its curve and record as they are."""
        self._written = time.monotonic()
        store.write_cell_record(self.cell, self.store, self.rows, self._record())

    def _record(self) -> Mapping[str, Any]:
        return {
            "status": self.status,
            "reason": self.reason,
            "generations": self.come.generation,
            "env_steps": self.come.env_steps,
            "episodes": self.come.episodes,
            "nonfinite_members": self.come.nonfinite_members,
            "wall_seconds": self.come.wall_seconds,
            "lanes": self.shared.lanes,
            "devices": self.shared.devices,
            "chunks": self.shared.chunks,
            "compile_seconds": self.shared.compile_seconds,
            "peak_memory_bytes": manifest.peak_memory(),
            "parameters": self.shared.parameters,
            "device": manifest.device_name(),
            **store.cell_origin(self.cell),
        }

    def _keep(self, stage: str, snapshot: Snapshot) -> None:
        cell = self.cell
        if not self.store.mine:
            return
        policies.save_policy(
            self.store.policies(cell),
            stage,
            jax.device_get(snapshot),
            {
                **store.cell_identity(cell),
                "settings": cell.settings,
                "generation": self.come.generation,
                "env_steps": self.come.env_steps,
                "return_mean": self.rows[-1]["return_mean"],
                **store.cell_origin(cell),
            },
        )


CALL_SECONDS = 2.0  # about how long one call of the program takes


class StopRequested(Exception):
    """The run was asked to stop, and everything so far is saved."""


def run_batch(
    program: Program,
    lanes: Sequence[ActiveRun],
    progress: Progress,
    stop: threading.Event,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Runs every lane to its end.

    Args:
      program: compiled for as many lanes.
      lanes: those already `done` are carried along but do nothing.
      progress: told after each call.
      stop: looked at between calls, in all processes.
      checkpoint_seconds: after which each is saved once more.

    Raises:
      Stopped: a `stop` was set; each lane is saved.
    """
    call_seconds = min(CALL_SECONDS, checkpoint_seconds)
    state = _start(program, lanes)
    _evaluate(program, state, lanes, [not lane.rows for lane in lanes])
    generations, saved = 1, time.monotonic()
    while any(lane.active for lane in lanes):
        points = [lane.next_point() for lane in lanes]
        state, seconds = _advance(program, state, lanes, points, generations, progress)
        if seconds < call_seconds / 2:
            generations = min(2 * generations, 2**30)
        elif seconds > 2 * call_seconds:
            generations = max(1, generations // 2)
        arrived = [lane.is_due(point) for lane, point in zip(lanes, points, strict=True)]
        _evaluate(program, state, lanes, arrived)
        stopping = multihost.any_process(stop.is_set())
        due = stopping or multihost.agree_on(time.monotonic() - saved) > checkpoint_seconds
        ending = [lane.active and (due or lane.fraction >= 1.0) for lane in lanes]
        held = to_host(state) if any(ending) else None
        for i, lane in enumerate(lanes):
            if ending[i]:
                mine = jax.tree.map(lambda leaf, i=i: leaf[i], held)
                lane.save(mine)
                if lane.fraction >= 1.0:
                    lane.finish(program.snapshot(mine))
        if stopping:
            raise StopRequested
        if due:
            saved = time.monotonic()


def _seeds(lanes: Sequence[ActiveRun]) -> np.ndarray:
    return np.asarray([lane.cell.seed for lane in lanes], np.uint32)


def _start(program: Program, lanes: Sequence[ActiveRun]) -> Any:
    """The state that each lane starts or goes on from."""
    traced = [split_traced(lane.cell.config)[1] for lane in lanes]
    names = traced[0].keys()
    hyper = {name: np.asarray([values[name] for values in traced], np.float32) for name in names}
    state = program.init(_seeds(lanes), hyper)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), program.state_shape
    )
    for i, lane in enumerate(lanes):
        held = lane.resume(shapes) if lane.active else None
        if held is not None:
            state = jax.tree.map(np.array, to_host(state))
            for target, leaf in zip(jax.tree.leaves(state), jax.tree.leaves(held), strict=True):
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
    """One call of the program: the next state, and the seconds that it took."""
    left = [lane.remaining(point) for lane, point in zip(lanes, points, strict=True)]
    limit = Limit(
        np.asarray([min(most, generations) for most, _ in left], np.int32),
        np.asarray([steps for _, steps in left], np.int32),
    )
    began = time.perf_counter()
    state, rows = program.advance(state, limit)
    rows = to_host(rows)
    seconds = multihost.agree_on(time.perf_counter() - began)
    rate = float(rows.env_steps.sum()) / seconds
    for i, lane in enumerate(lanes):
        if lane.active:
            lane.advance(rows, i, seconds)
            shown = lane.rows[-1]["return_mean"]
            progress.running(lane.cell, lane.fraction, shown, lane.come.env_steps, rate)
    return state, seconds


def _evaluate(
    program: Program, state: Any, lanes: Sequence[ActiveRun], due: Sequence[bool]
) -> None:
    """Evaluates the lanes that are due, and ends those that have diverged."""
    if not any(wanted and lane.active for wanted, lane in zip(due, lanes, strict=True)):
        return
    snapshot = program.snapshot(state)
    returns = to_host(program.evaluate(_seeds(lanes), snapshot)).astype(np.float64)
    snapshot = to_host(snapshot)
    for i, (wanted, lane) in enumerate(zip(due, lanes, strict=True)):
        if wanted and lane.active:
            lane.evaluated(returns[i], jax.tree.map(lambda leaf, i=i: leaf[i], snapshot))
