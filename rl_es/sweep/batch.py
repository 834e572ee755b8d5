"""One batch of runs, the lanes that a program handles at once, from their start to their end.

Between calls of the compiled program there is progress, a row at each evaluation point, and from
time to time a checkpoint. How the calls are cut changes no number. Of several processes the first
one's clock counts, so that all cut them alike.
"""

import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from rl_es.config import split
from rl_es.interfaces import Limit
from rl_es.sweep.lane import Lane
from rl_es.sweep.placing import CHECKPOINT_SECONDS
from rl_es.sweep.progress import Progress
from rl_es.training import together
from rl_es.training.placement import on_host
from rl_es.training.program import Program

CALL_SECONDS = 2.0  # about how long one call of the program takes


class Stopped(Exception):
    """The run was asked to stop, and everything so far is saved."""


def run(
    program: Program,
    lanes: Sequence[Lane],
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
        stopping = together.anyone(stop.is_set())
        due = stopping or together.agree(time.monotonic() - saved) > checkpoint_seconds
        ending = [lane.active and (due or lane.fraction >= 1.0) for lane in lanes]
        held = on_host(state) if any(ending) else None
        for i, lane in enumerate(lanes):
            if ending[i]:
                mine = jax.tree.map(lambda leaf, i=i: leaf[i], held)
                lane.save(mine)
                if lane.fraction >= 1.0:
                    lane.finish(program.snapshot(mine))
        if stopping:
            raise Stopped
        if due:
            saved = time.monotonic()


def _seeds(lanes: Sequence[Lane]) -> np.ndarray:
    return np.asarray([lane.cell.seed for lane in lanes], np.uint32)


def _start(program: Program, lanes: Sequence[Lane]) -> Any:
    """The state that each lane starts or goes on from."""
    traced = [split(lane.cell.config)[1] for lane in lanes]
    names = traced[0].keys()
    hyper = {name: np.asarray([values[name] for values in traced], np.float32) for name in names}
    state = program.init(_seeds(lanes), hyper)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), program.state_shape
    )
    for i, lane in enumerate(lanes):
        held = lane.resume(shapes) if lane.active else None
        if held is not None:
            state = jax.tree.map(np.array, on_host(state))
            for target, leaf in zip(jax.tree.leaves(state), jax.tree.leaves(held), strict=True):
                target[i] = leaf
    return state


def _advance(
    program: Program,
    state: Any,
    lanes: Sequence[Lane],
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
    rows = on_host(rows)
    seconds = together.agree(time.perf_counter() - began)
    rate = float(rows.env_steps.sum()) / seconds
    for i, lane in enumerate(lanes):
        if lane.active:
            lane.advance(rows, i, seconds)
            shown = lane.rows[-1]["return_mean"]
            progress.running(lane.cell, lane.fraction, shown, lane.come.env_steps, rate)
    return state, seconds


def _evaluate(program: Program, state: Any, lanes: Sequence[Lane], due: Sequence[bool]) -> None:
    """Evaluates the lanes that are due, and ends those that have diverged."""
    if not any(wanted and lane.active for wanted, lane in zip(due, lanes, strict=True)):
        return
    snapshot = program.snapshot(state)
    returns = on_host(program.evaluate(_seeds(lanes), snapshot)).astype(np.float64)
    snapshot = on_host(snapshot)
    for i, (wanted, lane) in enumerate(zip(due, lanes, strict=True)):
        if wanted and lane.active:
            lane.evaluated(returns[i], jax.tree.map(lambda leaf, i=i: leaf[i], snapshot))
