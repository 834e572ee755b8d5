"""Runs a sweep: what is missing of its groups, then its surfaces.

By itself this process runs the groups one after the other, while the next program compiles in a
thread. An `Executor` may run them instead: worker processes (`rl_es.sweep.worker_pool`), or tasks
of a Ray cluster (`rl_es.sweep.ray_executor`). Several processes may run one folder: each takes the
groups that no other has claimed (`rl_es.sweep.queue`). Processes that are joined by
`jax.distributed` all run this module, in step (`rl_es.sweep.store`).
"""

import dataclasses
import gc
import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax

from rl_es.results import manifest
from rl_es.sweep import surfaces
from rl_es.sweep.cells import ALL_GROUPS, Shard, expand_cells, group_cells
from rl_es.sweep.groups import BackgroundCompile, GroupRunner
from rl_es.sweep.parallelism import choose_parallelism
from rl_es.sweep.progress import Progress, SweepStart
from rl_es.sweep.queue import (
    ClaimedGroup,
    GroupQueue,
    PlacedGroup,
    make_group_compiler,
    make_placed_group,
)
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import CellState, Store
from rl_es.training.compilation import prepare_jax
from rl_es.training.resources import DEFAULT_RESOURCES, Resources, describe_excess_devices


class Executor(Protocol):
    """Runs the groups of a sweep on behalf of this process."""

    def run(self, works: Sequence[PlacedGroup], versions: Mapping[str, int]) -> int:
        """Runs cells.

        Args:
          works: the groups, in order.
          versions: `Store.version` at the start of each cell that is to be run, by run_id.

        Returns:
          How many cells failed.

        Raises:
          Interrupted: a stop was requested; finished runs are kept, the others saved.
          UserError: the groups cannot be run there, or the results folder cannot be written.
        """
        ...


ExecutorFactory = Callable[[Sweep, GroupRunner], Executor]


def run_sweep(
    sweep: Sweep,
    out: Path,
    progress: Progress,
    resources: Resources = DEFAULT_RESOURCES,
    retry_failed: bool = False,
    shard: Shard = ALL_GROUPS,
    make_executor: ExecutorFactory | None = None,
    command: Sequence[str] = (),
    make_workers: Callable[[int], ExecutorFactory] | None = None,
) -> int:
    """Runs what is missing of a sweep.

    Args:
      sweep: validated.
      out: the results folder.
      progress: receives the reports.
      resources: devices, lanes and memory that may be used.
      retry_failed: run the cells that failed before, and no others.
      shard: the part of its groups that is run.
      make_executor: makes what runs the groups; by default this process runs them.
      command: the words of the command line that runs it, for the manifest; empty where there is
        none.
      make_workers: makes what runs the groups in so many workers, and lets `choose_parallelism`
        choose how a CPU's cores are used; None: they are used as the other arguments say.

    Returns:
      0, or 1 where a cell or a surface failed, now or before.

    Raises:
      UserError: parts of the sweep do not fit together; nothing was run.
      StorageError: the results folder cannot be written; finished runs are kept.
      KeyboardInterrupt: it was stopped; finished runs are kept, the others saved.
    """
    prepare_jax(resources.devices)
    store = Store(out, progress.note)
    store.check_same(_identity(sweep, resources))
    requests = surfaces.requested_surfaces(sweep) if shard.is_first else ()
    all_cells = expand_cells(sweep)
    groups = shard.select(group_cells(all_cells))
    cells = [cell for group in groups for cell in group.cells]
    states = store.states(cells)
    state_to_run: CellState = "failed" if retry_failed else "missing"
    versions = {c.run_id: store.version(c) for c in cells if states[c.run_id] == state_to_run}
    left = [group for group in groups if any(c.run_id in versions for c in group.cells)]
    works = [make_placed_group(group, resources) for group in left]
    shard_name = "" if shard == ALL_GROUPS else str(shard)
    start = {"cells": len(cells), "shard": shard_name, "command": [*command]}
    store.write_manifest(sweep, all_cells, **start)
    store.refresh(*(cell for cell in cells if states[cell.run_id] == "done"))
    failed_before = 0 if retry_failed else sum(state == "failed" for state in states.values())
    if excess := describe_excess_devices(resources):
        progress.note(excess, False)
    fractions = store.fractions(cell for cell in cells if cell.run_id in versions)
    done = len(cells) - len(versions) - failed_before
    progress.begin(SweepStart(left, done, len(cells), fractions))
    if make_workers is not None:
        shares_left = {run_id: 1 - fraction for run_id, fraction in fractions.items()}
        choice = choose_parallelism(works, shares_left, resources)
        if choice is not None:
            progress.note(choice.reason, False)
            if choice.devices > 1:
                resources = dataclasses.replace(resources, devices=choice.devices)
                works = [make_placed_group(group, resources) for group in left]
            if choice.workers > 1:
                make_executor = make_workers(choice.workers)
    if failed_before:
        progress.note(
            f"{failed_before} of {len(cells)} cells failed before: --retry-failed runs them"
        )
    with stop_on_signal() as stop:
        runner = GroupRunner(store, progress, stop, make_group_compiler(progress), resources)
        if make_executor is not None and works:
            failures = make_executor(sweep, runner).run(works, versions)
        else:
            by_key = {work.group.key: work for work in works}
            queue = runner.queue(left, versions, lambda group: by_key[group.key])
            failures = run_groups(queue, runner)
        failures += surfaces.evaluate_surfaces(requests, store, progress, stop)
    return 1 if failures or failed_before else 0


def _identity(sweep: Sweep, resources: Resources) -> str:
    """Returns a text that is equal in processes that would run the same."""
    content = sweep.model_dump(mode="json", by_alias=True)
    code = [manifest.package_versions(), manifest.git_revision()]
    devices = [jax.default_backend(), jax.local_device_count()]
    return json.dumps([content, repr(resources), code, devices], sort_keys=True)


def run_groups(queue: GroupQueue, runner: GroupRunner) -> int:
    """Runs group after group, and compiles the next program while one runs.

    Returns:
      How many cells failed.

    Raises:
      Interrupted: a stop was requested; finished runs are kept, the others saved.
      StorageError: the results folder cannot be written.
    """
    failures = 0
    current = queue.wait(runner.stop)
    compiling = current and BackgroundCompile(runner, current)
    claims: list[ClaimedGroup] = []
    try:
        while current is not None and compiling is not None:
            claims = [current]
            program, error = compiling.result()
            following = queue.take()
            compiling = following and BackgroundCompile(runner, following)
            claims += [following] if following else []
            failures += runner.run_compiled(current, program, error)
            current.release()
            del program
            gc.collect()
            current = following or queue.wait(runner.stop)
            compiling = compiling or (current and BackgroundCompile(runner, current))
    finally:
        for claim in claims:
            claim.release()
    return failures


@contextmanager
def stop_on_signal(end_at_second: bool = True) -> Iterator[threading.Event]:
    """Yields an event that the first SIGINT or SIGTERM sets.

    Args:
      end_at_second: let a second signal take effect at once, in the context and after it. Otherwise
        all further signals are ignored until the process ends, so that what it saves is complete.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler if end_at_second else signal.SIG_IGN)

    def request_stop(number: int, frame: Any) -> None:
        stop.set()
        restore()

    for number in handlers:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        restore()
