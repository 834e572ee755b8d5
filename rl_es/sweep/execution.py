"""Runs a sweep in this process: group after group, the next program compiling while one runs.

Surfaces that it asks for come after the groups. Several processes may run one folder: each takes
the groups that no other has claimed (`rl_es.sweep.queue`).

Joined processes (`rl_es.training.multihost`) all come through here, each doing the same. The first
one alone has the results folder.

Work in a thread beside the runs, and how a person or a cluster asks them to stop.
"""

import gc
import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax

from rl_es.results import manifest
from rl_es.sweep import surfaces
from rl_es.sweep.cells import ALL_GROUPS, Cell, Group, Shard, expand_cells, group_cells
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.progress import Progress
from rl_es.sweep.queue import (
    ClaimedGroup,
    GroupQueue,
    PlacedGroup,
    compile_in_background,
    place_groups,
)
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import State, Store, cell_reason, refresh_cell
from rl_es.training import multihost
from rl_es.training.compilation import prepare_jax
from rl_es.training.resources import DEFAULT_RESOURCES, Resources


class BackgroundCompile:
    """Work done in a thread that does not hold up the end of the process."""

    def __init__(self, work: Callable[..., Any], *args: Any):
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
        if multihost.any_process(self._thread.is_alive()):
            raise multihost.Interrupted
        assert self._done is not None
        return self._done


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
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


class Executor(Protocol):
    """Others that run a sweep's groups for this process."""

    def run(self, works: Sequence[PlacedGroup], wanted: Set[str]) -> int:
        """Runs the cells whose run_id is `wanted`; returns how many failed, as `work_through`."""
        ...


Crew = Callable[[Sweep, GroupRunner, State], Executor]  # for cells in that state


def run_sweep(
    sweep: Sweep,
    out: Path,
    progress: Progress,
    resources: Resources = DEFAULT_RESOURCES,
    retry_failed: bool = False,
    shard: Shard = ALL_GROUPS,
    crew: Crew | None = None,
) -> int:
    """Runs what is missing of a sweep.

    Args:
      sweep: validated.
      out: the results folder.
      progress: told of everything.
      resources: devices, lanes and memory that may be used.
      retry_failed: run the cells that failed before, and no others.
      shard: the part of its groups that is run.
      crew: others that run the groups; by default this process does.

    Returns:
      0, or 1 where a cell or a surface failed, now or before.

    Raises:
      UserError: something in the sweep does not fit together; nothing was run.
      StorageError: the results folder cannot be written; what is finished is kept.
      KeyboardInterrupt: it was stopped; what is finished is kept, the rest saved.
    """
    prepare_jax(resources.devices)
    multihost.check_same(_identity(sweep, resources), "sweeps, options, versions or devices")
    store = Store(out, mine=multihost.is_first(), note=progress.note)
    asked = surfaces.requested_surfaces(sweep) if shard.first else ()
    every = shard.of(group_cells(expand_cells(sweep)))
    members = [cell for group in every for cell in group.cells]
    states = multihost.call_on_first(lambda: {cell.run_id: store.state(cell) for cell in members})
    wanted: State = "failed" if retry_failed else "missing"
    missing = [group for group in every if wanted in _states(group, states)]
    works = [place_groups(group, resources) for group in missing]
    multihost.call_on_first(lambda: _open(store, sweep, members, states, shard))
    lost = 0 if retry_failed else sum(state == "failed" for state in states.values())
    left = {cell for cell, state in states.items() if state == wanted}
    progress.begin(missing, len(members) - len(left) - lost, len(members))
    if lost:
        progress.note(f"{lost} of {len(members)} cells failed before: --retry-failed runs them")
    with stop_on_signal() as stop:
        runner = GroupRunner(store, progress, stop, compile_in_background(progress), resources)
        if crew is not None and works:
            failed = crew(sweep, runner, wanted).run(works, left)
        else:
            failed = work_through(GroupQueue(works, store, progress, wanted), runner)
        failed += surfaces.evaluate_surfaces(asked, store, progress, stop)
    return 1 if failed or lost else 0


def work_through(queue: GroupQueue, runner: GroupRunner) -> int:
    """Runs group after group, the next program compiling while one runs.

    Returns:
      How many cells failed.

    Raises:
      Interrupted: a stop was asked for; what is finished is kept, the rest saved.
      StorageError: the results folder cannot be written.
    """
    failed = 0
    taken = queue.wait(runner.stop)
    coming = taken and BackgroundCompile(runner.compiled, taken.work)
    held: list[ClaimedGroup] = []
    try:
        while taken is not None and coming is not None:
            held = [taken]
            program, error = coming.result(runner.stop)
            after = queue.take()
            coming = after and BackgroundCompile(runner.compiled, after.work)
            held += [after] if after else []
            if multihost.any_process(program is None):
                error = error or RuntimeError("another process could not compile it")
                failed += runner.fail(taken.work, taken.wanted, cell_reason(error))
            else:
                failed += runner.run(taken.work, taken.wanted, program)
            taken.release()
            del program
            gc.collect()
            taken = after or queue.wait(runner.stop)
            coming = coming or (taken and BackgroundCompile(runner.compiled, taken.work))
    finally:
        for one in held:
            one.release()
    return failed


def _states(group: Group, states: dict[str, State]) -> set[State]:
    return {states[cell.run_id] for cell in group.cells}


def _identity(sweep: Sweep, resources: Resources) -> str:
    """Equal in processes that would run the same."""
    stated = sweep.model_dump(mode="json", by_alias=True)
    made_of = [manifest.package_versions(), manifest.git_revision()]
    where = [jax.default_backend(), jax.local_device_count()]
    return json.dumps([stated, repr(resources), made_of, where], sort_keys=True)


def _open(
    store: Store, sweep: Sweep, members: Sequence[Cell], states: dict[str, State], shard: Shard
) -> None:
    """Writes what a start of a sweep changes in its folder."""
    start = {"processes": jax.process_count()} if multihost.is_multihost() else {}
    start |= {"shard": str(shard)} if shard != ALL_GROUPS else {}
    store.write_manifest(sweep, len(members), **start)
    for cell in members:
        if states[cell.run_id] == "done":
            refresh_cell(cell, store)
