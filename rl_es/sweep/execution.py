"""Runs a sweep in this process: group after group, the next program compiling while one runs.

Surfaces that it asks for come after the groups. Several processes may run one folder: each takes
the groups that no other has claimed (`rl_es.sweep.queue`).

Joined processes (`rl_es.training.together`) all come through here, each doing the same. The first
one alone has the results folder.
"""

import gc
import json
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Protocol

import jax

from rl_es.sweep import provenance, records, surfaces
from rl_es.sweep.background import Ahead, stopping
from rl_es.sweep.cells import Cell, Group, cells, groups
from rl_es.sweep.groups import Runner
from rl_es.sweep.placing import ANY_RESOURCES, Resources
from rl_es.sweep.progress import Progress
from rl_es.sweep.queue import Queue, Taken
from rl_es.sweep.schema import Sweep
from rl_es.sweep.shards import WHOLE, Shard
from rl_es.sweep.store import State, Store
from rl_es.sweep.work import Work, compiling, work_of
from rl_es.training import together
from rl_es.training.platform import prepare


class Company(Protocol):
    """Others that run a sweep's groups for this process."""

    def run(self, works: Sequence[Work], wanted: Set[str]) -> int:
        """Runs the cells whose run_id is `wanted`; returns how many failed, as `work_through`."""
        ...


Crew = Callable[[Sweep, Runner, State], Company]  # for cells in that state


def run(
    sweep: Sweep,
    out: Path,
    progress: Progress,
    resources: Resources = ANY_RESOURCES,
    retry_failed: bool = False,
    shard: Shard = WHOLE,
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
    prepare(resources.devices)
    together.check_same(_identity(sweep, resources), "sweeps, options, versions or devices")
    store = Store(out, mine=together.is_first(), note=progress.note)
    asked = surfaces.wanted(sweep) if shard.first else ()
    every = shard.of(groups(cells(sweep)))
    members = [cell for group in every for cell in group.cells]
    states = together.first(lambda: {cell.run_id: store.state(cell) for cell in members})
    wanted: State = "failed" if retry_failed else "missing"
    missing = [group for group in every if wanted in _states(group, states)]
    works = [work_of(group, resources) for group in missing]
    together.first(lambda: _open(store, sweep, members, states, shard))
    lost = 0 if retry_failed else sum(state == "failed" for state in states.values())
    left = {cell for cell, state in states.items() if state == wanted}
    progress.begin(missing, len(members) - len(left) - lost, len(members))
    if lost:
        progress.note(f"{lost} of {len(members)} cells failed before: --retry-failed runs them")
    with stopping() as stop:
        runner = Runner(store, progress, stop, compiling(progress), resources)
        if crew is not None and works:
            failed = crew(sweep, runner, wanted).run(works, left)
        else:
            failed = work_through(Queue(works, store, progress, wanted), runner)
        failed += surfaces.run(asked, store, progress, stop)
    return 1 if failed or lost else 0


def work_through(queue: Queue, runner: Runner) -> int:
    """Runs group after group, the next program compiling while one runs.

    Returns:
      How many cells failed.

    Raises:
      Interrupted: a stop was asked for; what is finished is kept, the rest saved.
      StorageError: the results folder cannot be written.
    """
    failed = 0
    taken = queue.wait(runner.stop)
    coming = taken and Ahead(runner.compiled, taken.work)
    held: list[Taken] = []
    try:
        while taken is not None and coming is not None:
            held = [taken]
            program, error = coming.result(runner.stop)
            after = queue.take()
            coming = after and Ahead(runner.compiled, after.work)
            held += [after] if after else []
            if together.anyone(program is None):
                error = error or RuntimeError("another process could not compile it")
                failed += runner.fail(taken.work, taken.wanted, records.reason(error))
            else:
                failed += runner.run(taken.work, taken.wanted, program)
            taken.release()
            del program
            gc.collect()
            taken = after or queue.wait(runner.stop)
            coming = coming or (taken and Ahead(runner.compiled, taken.work))
    finally:
        for one in held:
            one.release()
    return failed


def _states(group: Group, states: dict[str, State]) -> set[State]:
    return {states[cell.run_id] for cell in group.cells}


def _identity(sweep: Sweep, resources: Resources) -> str:
    """Equal in processes that would run the same."""
    stated = sweep.model_dump(mode="json", by_alias=True)
    made_of = [provenance.versions(), provenance.revision()]
    where = [jax.default_backend(), jax.local_device_count()]
    return json.dumps([stated, repr(resources), made_of, where], sort_keys=True)


def _open(
    store: Store, sweep: Sweep, members: Sequence[Cell], states: dict[str, State], shard: Shard
) -> None:
    """Writes what a start of a sweep changes in its folder."""
    start = {"processes": jax.process_count()} if together.several() else {}
    start |= {"shard": str(shard)} if shard != WHOLE else {}
    store.write_manifest(sweep, len(members), **start)
    for cell in members:
        if states[cell.run_id] == "done":
            records.refresh(cell, store)
