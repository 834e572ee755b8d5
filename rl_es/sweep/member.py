"""What runs groups of a sweep for another process: a worker of its machine, or a task elsewhere."""

import os
import threading
from collections.abc import Collection
from pathlib import Path

from rl_es import registry
from rl_es.sweep.progress import Progress
from rl_es.sweep.protocol import Setup


class Member:
    """Runs groups, one after the other, by what it was told at the start."""

    def __init__(self, setup: Setup, progress: Progress, stop: threading.Event):
        """Prepares this process, before jax is used in it.

        Args:
          setup: what is run, and where.
          progress: told of everything.
          stop: looked at between calls of a program.
        """
        if setup.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, setup.cores)  # before jax counts them
        for package in setup.agents:
            registry.agents.look_in(package)
        for package in setup.suites:
            registry.suites.look_in(package)
        from rl_es.sweep.cells import cells, groups
        from rl_es.sweep.groups import Runner
        from rl_es.sweep.schema import Sweep
        from rl_es.sweep.store import Store
        from rl_es.sweep.work import compiling
        from rl_es.training.platform import prepare

        prepare(setup.resources.devices)
        self._setup, self._progress = setup, progress
        self._groups = {g.key: g for g in groups(cells(Sweep.model_validate(setup.sweep)))}
        store = Store(Path(setup.out), note=progress.note)
        self._runner = Runner(store, progress, stop, compiling(progress), setup.resources)

    def run(self, key: str, wanted: Collection[str]) -> int | None:
        """Runs a group; returns how many cells failed, or None where another process has it.

        Args:
          key: of the group.
          wanted: run_id of the cells that are run, where they have not ended since.

        Raises:
          Interrupted: it was stopped; what is finished is kept, the rest saved.
          UserError: the group cannot be run here, or the folder cannot be written.
        """
        from rl_es.sweep.queue import Queue
        from rl_es.sweep.work import work_of

        work = work_of(self._groups[key], self._setup.resources)
        left = Queue([work], self._runner.store, self._progress, self._setup.state, wanted)
        taken = left.take()
        if taken is None:
            return None if left.more else 0
        return self._runner.whole(taken)
