"""Runs a sweep in this process: group after group, the next program compiling while one runs.

Surfaces that it asks for come after the groups.

Joined processes (`rl_es.training.together`) all come through here, each doing the same. The first
one alone has the results folder.
"""

import gc
import json
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from rl_es.config import split
from rl_es.errors import UserError
from rl_es.sweep import batch, provenance, records, surfaces
from rl_es.sweep.cells import Cell, Group, cells, groups
from rl_es.sweep.lane import Lane, Shared
from rl_es.sweep.placing import ANY_RESOURCES, Place, Resources, place
from rl_es.sweep.progress import Progress
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import Store
from rl_es.training import together
from rl_es.training.footprint import pair_bytes
from rl_es.training.platform import prepare
from rl_es.training.program import Compiler, Program, lane_axis
from rl_es.training.task import Task, Training, make_training


@dataclass(frozen=True)
class Work:
    """A group with cells left to run.

    Attributes:
      group: its cells, finished ones too: a group is never cut by what is missing.
      training: what it trains, as it is placed.
      place: on which devices, how many runs a call, in how many chunks.
    """

    group: Group
    training: Training
    place: Place

    @property
    def lanes(self) -> int:
        """How many of its runs share a call."""
        return self.place.lanes

    def batches(self) -> Iterator[tuple[Cell, ...]]:
        """The group's cells, `lanes` at a time; the last batch may be smaller."""
        members = self.group.cells
        for start in range(0, len(members), self.lanes):
            yield members[start : start + self.lanes]


def training(group: Group) -> Training:
    """What a group trains.

    Raises:
      UserError: its agent, policy and environment do not fit together.
    """
    cell = group.cells[0]
    task = Task(cell.env_name, cell.env_options, cell.wrappers, cell.policy)
    return make_training(task, cell.agent, cell.config, cell.evaluation.episodes)


def work_of(group: Group, resources: Resources) -> Work:
    """A group's work, placed on what may be used.

    Raises:
      UserError: its agent, policy and environment do not fit together, or there is too little.
    """
    made = training(group)
    learner, (_, traced) = made.learner, split(group.cells[0].config)
    needed = pair_bytes(learner, traced)
    where = place(learner.pairs, len(group.cells), needed, resources)
    axis = lane_axis(where.lanes // where.placement.runs)
    return Work(group, made.placed(axis, where.placement.spread), where)


def evaluation_key(cell: Cell) -> tuple[str, ...]:
    """Equal for groups that can share one evaluation program."""
    world = sorted(cell.env_options.items()), cell.wrappers, cell.policy, cell.evaluation.episodes
    return (cell.env_name, repr(world))


def compile_group(compiler: Compiler, work: Work) -> Program:
    """Compiles what a group runs."""
    first, made = work.group.cells[0], work.training
    _, traced = split(first.config)
    key = evaluation_key(first)
    return compiler.compile(
        made.learner, traced, work.lanes, made.evaluate, key, work.place.placement
    )


def run(sweep: Sweep, out: Path, progress: Progress, resources: Resources = ANY_RESOURCES) -> int:
    """Runs what is missing of a sweep.

    Args:
      sweep: validated.
      out: the results folder.
      progress: told of everything.
      resources: devices, lanes and memory that may be used.

    Returns:
      0, or 1 where a cell or a surface failed.

    Raises:
      UserError: something in the sweep does not fit together; nothing was run.
      KeyboardInterrupt: it was stopped; what is finished is kept, the rest saved.
    """
    prepare(resources.devices)
    together.check_same(_identity(sweep, resources), "sweeps, options, versions or devices")
    store = Store(out, mine=together.is_first())
    asked = surfaces.wanted(sweep)
    every = groups(cells(sweep))
    members = [cell for group in every for cell in group.cells]
    done = together.first(lambda: [cell.run_id for cell in members if store.is_done(cell)])
    done = frozenset(done)
    missing = [group for group in every if any(c.run_id not in done for c in group.cells)]
    queue = [work_of(group, resources) for group in missing]
    together.first(lambda: _open(store, sweep, members, done))
    progress.begin(missing, len(done), len(members))
    with stopping() as stop:
        failed = work_through(queue, done, store, progress, stop, compiling(progress))
        failed += surfaces.run(asked, store, progress, stop)
    return 1 if failed else 0


def compiling(progress: Progress) -> Callable[[Work], Program]:
    """A compiler of what groups run, which tells of each."""
    compiler = Compiler()

    def compiled(work: Work) -> Program:
        progress.compiling(work.group, None)
        program = compile_group(compiler, work)
        progress.compiling(work.group, program.compile_seconds)
        return program

    return compiled


def work_through(
    queue: Sequence[Work],
    done: Collection[str],
    store: Store,
    progress: Progress,
    stop: threading.Event,
    compiled: Callable[[Work], Program],
) -> int:
    """Runs group after group, the next program compiling while one runs.

    Args:
      queue: what is to be run.
      done: run_id of cells among it that are finished.
      store: the results folder.
      progress: told of each cell.
      stop: looked at between calls of a program, in all processes.
      compiled: what compiles, called in a thread of its own.

    Returns:
      How many cells failed.

    Raises:
      Interrupted: a `stop` was set; what is finished is kept, the rest saved.
    """
    failed = 0
    coming = [_Ahead(compiled, work) for work in queue[:1]]
    for i, work in enumerate(queue):
        program, error = coming.pop().result(stop)
        coming = [_Ahead(compiled, after) for after in queue[i + 1 : i + 2]]
        if together.anyone(program is None):
            failed += _fail(work, done, store, progress, error)
        else:
            failed += _run(work, program, done, store, progress, stop)
        del program
        gc.collect()
    return failed


def _identity(sweep: Sweep, resources: Resources) -> str:
    """Equal in processes that would run the same."""
    stated = sweep.model_dump(mode="json", by_alias=True)
    made_of = [provenance.versions(), provenance.revision()]
    where = [jax.default_backend(), jax.local_device_count()]
    return json.dumps([stated, repr(resources), made_of, where], sort_keys=True)


def _open(store: Store, sweep: Sweep, members: Sequence[Cell], done: Collection[str]) -> None:
    """Writes what a start of a sweep changes in its folder."""
    joined = {"processes": jax.process_count()} if together.several() else {}
    store.write_manifest(sweep, len(members), **joined)
    for cell in members:
        if cell.run_id in done:
            records.refresh(cell, store)


def _run(
    work: Work,
    program: Program,
    done: Collection[str],
    store: Store,
    progress: Progress,
    stop: threading.Event,
) -> int:
    """Runs a group batch after batch; returns how many of its cells failed."""
    shared = _shared(work, program.compile_seconds)
    failed = 0
    for members in work.batches():
        lanes = [
            Lane(cell, store, shared, status="done" if cell.run_id in done else "running")
            for cell in members
        ]
        working = [lane for lane in lanes if lane.active]
        if not working:
            continue
        # A program has a fixed number of lanes: the ones left over do nothing.
        idle = [Lane(members[0], store, shared, status="done")] * (work.lanes - len(members))
        try:
            batch.run(program, [*lanes, *idle], progress, stop)
        except batch.Stopped:
            raise together.Interrupted from None
        except Exception as error:
            if together.several() and not isinstance(error, UserError):
                raise  # the others may not have it, and would wait in vain
            for lane in working:
                if lane.active:
                    lane.fail(records.reason(error))
        failed += _tell(working, progress)
    return failed


def _fail(
    work: Work,
    done: Collection[str],
    store: Store,
    progress: Progress,
    error: Exception | None,
) -> int:
    """Records that a group could not be compiled; returns how many cells that is."""
    error = error or RuntimeError("another process could not compile it")
    lanes = [Lane(cell, store, _shared(work, 0.0)) for cell in work.group.cells]
    lanes = [lane for lane in lanes if lane.cell.run_id not in done]
    for lane in lanes:
        lane.fail(records.reason(error))
    return _tell(lanes, progress)


def _tell(lanes: Sequence[Lane], progress: Progress) -> int:
    """Reports how runs ended; returns how many failed."""
    for lane in lanes:
        if lane.status == "failed":
            progress.failed(lane.cell, lane.reason or "")
        else:
            final = lane.rows[-1]["return_mean"]
            final = float("nan") if final is None else final
            progress.finished(lane.cell, lane.status, final, lane.come.wall_seconds)
    return sum(lane.status == "failed" for lane in lanes)


def _shared(work: Work, compile_seconds: float) -> Shared:
    return Shared(
        lanes=work.lanes,
        compile_seconds=compile_seconds,
        parameters=work.training.parameters,
        first_seed=work.group.cells[0].seed,
        devices=work.place.placement.devices,
        chunks=work.place.placement.chunks,
    )


class _Ahead:
    """Work done in a thread that does not hold up the end of the process."""

    def __init__(self, work: Callable[[Any], Any], *args: Any):
        self._done: tuple[Any, Exception | None] | None = None

        def call() -> None:
            try:
                self._done = (work(*args), None)
            except Exception as error:
                self._done = (None, error)

        self._thread = threading.Thread(target=call, daemon=True)
        self._thread.start()

    def result(self, stop: threading.Event) -> tuple[Any, Exception | None]:
        """What the work gave, or the exception it raised.

        Raises:
          Interrupted: `stop` was set before the work was done, here or in another process.
        """
        while self._thread.is_alive() and not stop.is_set():
            self._thread.join(0.1)
        if together.anyone(self._thread.is_alive()):
            raise together.Interrupted
        assert self._done is not None
        return self._done


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one takes effect at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for kind, handler in before.items():
            signal.signal(kind, handler)

    def ask(signum: int, frame: Any) -> None:
        stop.set()
        restore()

    for kind in before:
        signal.signal(kind, ask)
    try:
        yield stop
    finally:
        restore()
