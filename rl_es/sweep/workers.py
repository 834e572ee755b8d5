"""A process that runs groups of a sweep on behalf of another one, and what it needs to do so.

A worker (`python -m rl_es.sweep.workers`) claims groups in the results folder and runs them one
after the other, as every `run` on that folder does. It ends when no group is free. What it is to
run is one line of JSON on its standard input, a `WorkerSetup`. Nothing else is sent to it: SIGINT
asks it to save and end, however often it is sent, and the end of its input ends it at once, since
then its parent is gone. SIGINT is blocked until the worker handles it: an interrupted worker has
either run nothing or saves what it runs. `rl_es.sweep.worker_pool` starts workers.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from rl_es import registry
from rl_es.errors import UserError
from rl_es.sweep.cells import Cell, Group, expand_cells, group_cells
from rl_es.sweep.execution import stop_on_signal
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.progress import Progress, cell_name
from rl_es.sweep.queue import make_group_compiler
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import Store
from rl_es.training.compilation import prepare_jax
from rl_es.training.resources import Resources

ERROR = "error: "  # begins the line that says what ended a worker
# The variable by which jax takes most of a GPU's memory when it starts (`true`), or what it needs.
PREALLOCATION = "XLA_PYTHON_CLIENT_PREALLOCATE"


def leave_memory_to_others() -> str:
    """Lets jax in this process take no more of a GPU's memory than it needs.

    A process that has others run the groups needs little. It has to be called before jax starts.

    Returns:
      The choice of the user for the other processes, `true` by default.
    """
    choice = os.environ.get(PREALLOCATION, "true")
    os.environ[PREALLOCATION] = "false"
    return choice


@dataclass(frozen=True)
class WorkerSetup:
    """What a process needs to run groups of a sweep for another one; JSON values.

    Attributes:
      sweep: The sweep.
      out: The results folder.
      resources: Resources that the process may use.
      cores: Cores that it keeps to; empty: all.
      agents: Packages in which the registry looks for agents.
      suites: Packages in which it looks for environments.
      versions: `Store.version` at the start of each cell that is to be run, by run_id.
    """

    sweep: Mapping[str, Any]
    out: str
    resources: Resources
    cores: Sequence[int]
    agents: Sequence[str]
    suites: Sequence[str]
    versions: Mapping[str, int]

    @classmethod
    def of_sweep(
        cls,
        sweep: Sweep,
        resources: Resources,
        out: Path | str = "",
        cores: Sequence[int] = (),
        versions: Mapping[str, int] | None = None,
    ) -> "WorkerSetup":
        """Returns the setup of a sweep, with the agents and environments of this process."""
        content = sweep.model_dump(mode="json", by_alias=True, exclude_unset=True)
        packages = (registry.agents.packages, registry.suites.packages)
        return cls(content, str(out), resources, cores, *packages, versions or {})

    def to_json(self) -> str:
        """Returns the setup as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "WorkerSetup":
        """Returns the setup that `to_json` wrote."""
        content = json.loads(text)
        return cls(**{**content, "resources": Resources(**content["resources"])})

    def prepare(
        self, progress: Progress, stop: threading.Event
    ) -> tuple[dict[str, Group], GroupRunner]:
        """Prepares this process, before jax counts the cores.

        Args:
          progress: receives the reports.
          stop: is checked between calls of a program.

        Returns:
          The groups of the sweep by key, and their runner.
        """
        if self.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cores)
        for package in self.agents:
            registry.agents.add_package(package)
        for package in self.suites:
            registry.suites.add_package(package)
        prepare_jax(self.resources.devices)
        cells = expand_cells(Sweep.model_validate(self.sweep))
        store = Store(Path(self.out), progress.note)
        compiler = make_group_compiler(progress)
        runner = GroupRunner(store, progress, stop, compiler, self.resources)
        return {group.key: group for group in group_cells(cells)}, runner


class NoteProgress(Progress):
    """Passes notes on. Everything else is in the cells that this process writes."""

    def __init__(self, folder: Path, note: Callable[[str], None]):
        """`folder` is the results folder; `note` receives each note on one line."""
        self._store, self._note = Store(folder), note

    def fail(self, cell: Cell, reason: str) -> None:
        """Notes why a cell failed whose record does not say it."""
        if self._store.read(cell)[1].get("status") != "failed":
            self.note(f"{cell_name(cell)}: failed: {reason}")

    def note(self, text: str, always: bool = True) -> None:
        """Passes the text on if it is essential."""
        if always:
            self._note(" ".join(text.split()))


def main() -> NoReturn:
    """Runs what the standard input says until no group is free, and ends the process.

    What else is printed to standard output goes to standard error.
    """
    stream = os.fdopen(os.dup(1), "w", errors="backslashreplace")
    os.dup2(2, 1)
    code = 0
    try:
        with stop_on_signal(end_at_second=False) as stop:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            setup = WorkerSetup.from_json(sys.stdin.readline())
            threading.Thread(target=_end_with_parent, daemon=True).start()
            progress = NoteProgress(Path(setup.out), partial(print, file=stream, flush=True))
            groups, runner = setup.prepare(progress, stop)
            left = [g for g in groups.values() if any(c.run_id in setup.versions for c in g.cells)]
            queue = runner.queue(left, setup.versions)
            while not stop.is_set() and (claimed_group := queue.take()) is not None:
                runner.compile_and_run(claimed_group)
    except UserError as error:
        print(f"{ERROR}{error}", file=stream, flush=True)
        code = error.code
    except KeyboardInterrupt:
        code = 130
    sys.stderr.flush()
    os._exit(code)  # a thread may be left that compiles, at which XLA crashes


def _end_with_parent() -> None:
    """Ends this process at once when its input ends."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
