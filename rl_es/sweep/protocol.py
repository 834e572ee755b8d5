"""What a sweep's process and its workers tell each other: one JSON object a line.

To a worker, first a `WorkerSetup`, then groups to run, as `{"run": key, "wanted": [run_id, ...]}`;
the end of its input, or `{"stop": true}`, asks it to stop. From it, what it reports to a
`Progress`, as `{"call": name, "about": run_id or group, "with": [...]}`, and after
each group `{"done": key, "failed": n}`, or `{"busy": key}` where another process runs it.

What runs groups of a sweep for another process: a worker of its machine, or a task elsewhere.
"""

import json
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from rl_es import registry
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.progress import Progress
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import State
from rl_es.training.resources import Resources


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker is started with.

    Attributes:
      sweep: the sweep, as JSON.
      out: the results folder.
      resources: that each worker may use.
      state: which cells are run: missing or failed ones.
      cores: that the worker keeps to; empty: all.
      agents: packages that the registry looks for agents in.
      suites: packages that it looks for environments in.
    """

    sweep: Mapping[str, Any]
    out: str
    resources: Resources
    state: State
    cores: tuple[int, ...]
    agents: tuple[str, ...]
    suites: tuple[str, ...]

    @classmethod
    def here(
        cls,
        sweep: Sweep,
        out: Path | str,
        resources: Resources,
        state: State,
        cores: tuple[int, ...] = (),
    ) -> "WorkerSetup":
        """One with the agents and environments that this process knows."""
        stated = sweep.model_dump(mode="json", by_alias=True, exclude_unset=True)
        packages = (tuple(folder.packages) for folder in (registry.agents, registry.suites))
        return cls(stated, str(out), resources, state, cores, *packages)

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "WorkerSetup":
        """The inverse of `content`."""
        return cls(**{**content, "resources": Resources(**content["resources"])})


def send_message(stream: IO[bytes], content: Mapping[str, Any]) -> None:
    """Writes one message."""
    stream.write(json.dumps(content).encode() + b"\n")
    stream.flush()


class MessageProgress:
    """A `Progress` that sends what it is told. Calls may come from any thread."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self._lock = stream, threading.Lock()

    def send(self, content: Mapping[str, Any]) -> None:
        """Sends any message."""
        with self._lock:
            send_message(self._stream, content)

    def _call(self, name: str, about: str | None, *values: Any) -> None:
        self.send({"call": name, "about": about, "with": values})

    def begin(self, groups: Sequence[Group], done: int, total: int) -> None:
        """Not a worker's to tell."""

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Sends it."""
        self._call("compiling", group.key, seconds)

    def running(
        self,
        cell: Cell,
        fraction: float,
        return_mean: float,
        env_steps: int,
        steps_per_second: float,
    ) -> None:
        """Sends it."""
        self._call("running", cell.run_id, fraction, return_mean, env_steps, steps_per_second)

    def finished(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Sends it."""
        self._call("finished", cell.run_id, status, final_return, seconds)

    def failed(self, cell: Cell, reason: str) -> None:
        """Sends it."""
        self._call("failed", cell.run_id, reason)

    def note(self, text: str, always: bool = True) -> None:
        """Sends it."""
        self._call("note", None, text, always)

    def end(self) -> None:
        """Not a worker's to tell."""


def name_message(groups: Iterable[Group]) -> dict[str, Cell | Group]:
    """Groups by key, and their cells by run_id: what reports are about."""
    found: dict[str, Cell | Group] = {}
    for group in groups:
        found |= {group.key: group, **{cell.run_id: cell for cell in group.cells}}
    return found


def dispatch_message(
    progress: Progress, told: Mapping[str, Any], known: Mapping[str, Cell | Group]
) -> None:
    """Passes on a call that a `MessageProgress` sent, of what is known (see `named`)."""
    about = () if told["about"] is None else (known[told["about"]],)
    getattr(progress, told["call"])(*about, *told["with"])


class GroupWorker:
    """Runs groups, one after the other, by what it was told at the start."""

    def __init__(self, setup: WorkerSetup, progress: Progress, stop: threading.Event):
        """Prepares this process, before jax is used in it.

        Args:
          setup: what is run, and where.
          progress: told of everything.
          stop: looked at between calls of a program.
        """
        if setup.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, setup.cores)  # before jax counts them
        for package in setup.agents:
            registry.agents.add_package(package)
        for package in setup.suites:
            registry.suites.add_package(package)
        from rl_es.sweep.cells import expand_cells, group_cells
        from rl_es.sweep.groups import GroupRunner
        from rl_es.sweep.queue import compile_in_background
        from rl_es.sweep.schema import Sweep
        from rl_es.sweep.store import Store
        from rl_es.training.compilation import prepare_jax

        prepare_jax(setup.resources.devices)
        self._setup, self._progress = setup, progress
        self._groups = {
            g.key: g for g in group_cells(expand_cells(Sweep.model_validate(setup.sweep)))
        }
        store = Store(Path(setup.out), note=progress.note)
        self._runner = GroupRunner(
            store, progress, stop, compile_in_background(progress), setup.resources
        )

    def run(self, key: str, wanted: Collection[str]) -> int | None:
        """Runs a group; returns how many cells failed, or None where another process has it.

        Args:
          key: of the group.
          wanted: run_id of the cells that are run, where they have not ended since.

        Raises:
          Interrupted: it was stopped; what is finished is kept, the rest saved.
          UserError: the group cannot be run here, or the folder cannot be written.
        """
        from rl_es.sweep.queue import GroupQueue, place_groups

        work = place_groups(self._groups[key], self._setup.resources)
        left = GroupQueue([work], self._runner.store, self._progress, self._setup.state, wanted)
        taken = left.take()
        if taken is None:
            return None if left.more else 0
        return self._runner.whole(taken)
