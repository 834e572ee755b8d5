"""Worker processes of this machine that share the groups of a sweep: `run --workers N`.

A worker (`python -m rl_es.sweep.workers`) claims groups in the results folder and runs them one
after the other, as every `run` on that folder does, on its own cores or devices. It ends when no
group is free. What it is to run is one line of JSON on its standard input, a `WorkerSetup`. Nothing
else is sent to it: SIGINT asks it to save and end, however often it is sent, and the end of its
input ends it at once, since then its parent is gone. SIGINT is blocked until the worker handles it:
an interrupted worker has either run nothing or saves what it runs.

The parent reads the progress from the cells that the workers write (`FolderWatcher`). What a worker
prints, a line each, is a note for people; its exit code is that of a command line, and an `error: `
line says what ended it. A worker that ends before its time, as when the system kills it for its
memory, is replaced, and its group goes on from its last checkpoint; a group whose workers have
ended `TRIES` times fails.
"""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

import jax

from rl_es import registry
from rl_es.errors import EndedError, Interrupted, UserError
from rl_es.results import files, tables
from rl_es.sweep.cells import Cell, Group, expand_cells, group_cells
from rl_es.sweep.execution import ExecutorFactory, stop_on_signal
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.progress import CellReport, Progress, cell_name
from rl_es.sweep.queue import PlacedGroup, make_group_compiler
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import RunProgress, Store
from rl_es.training.compilation import prepare_jax
from rl_es.training.resources import Resources, device_memory

TRIES = 2  # of a group whose workers end
WATCH_SECONDS = 0.2  # between two looks at the folder, and at whether a stop was requested
ERROR = "error: "  # begins the line that says what ended a worker


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


Share = tuple[Resources, tuple[int, ...], dict[str, str]]


def core_shares(resources: Resources, number: int) -> Iterator[Share]:
    """Yields the resources, the cores and the environment variables of each of `number` workers.

    On CPU each has its own cores and its part of the memory; elsewhere its own devices, or where
    there are fewer devices than workers its part of one device's memory.

    Raises:
      UserError: there are fewer cores.
    """
    if jax.default_backend() == "cpu":
        cores = sorted(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
        if number > len(cores):
            raise UserError(f"--workers: must be at most {len(cores)}, the cores; is {number}")
        memory = resources.memory or device_memory(number)
        for i in range(number):
            start, end = (len(cores) * n // number for n in (i, i + 1))
            yield replace(resources, memory=memory), tuple(cores[start:end]), {}
        return
    devices = jax.local_device_count()
    for i in range(number):
        share = range(i, devices, number) if number <= devices else [i % devices]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = [visible[n] if len(visible) == devices and visible[0] else str(n) for n in share]
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(names)}
        workers_per_device = -(-number // devices)
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.8 / workers_per_device:.3f}"
        yield resources, (), environment


# The parent.


class Worker:
    """A worker process, as its parent sees it.

    Attributes:
      process: The process, in a process group of its own: a terminal's Ctrl-C is for the parent.
      error: What ended it, from its own words; None where it did not say.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        environment: Mapping[str, str],
        progress: Progress,
        ended_workers: "queue.SimpleQueue[Worker]",
    ):
        """Starts the process.

        Args:
          setup: what it is to run.
          environment: variables that are added to those of this process.
          progress: receives its notes.
          ended_workers: receives this worker once its process has ended.
        """
        self.error: str | None = None
        with _held_back(signal.SIGINT):  # until the worker handles it
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rl_es.sweep.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                errors="backslashreplace",
                process_group=0,
                env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        threading.Thread(
            target=self._listen, args=(setup, progress, ended_workers), daemon=True
        ).start()

    def _listen(
        self, setup: WorkerSetup, progress: Progress, ended_workers: "queue.SimpleQueue[Worker]"
    ) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(setup.to_json() + "\n")
            self.process.stdin.flush()
        with self.process.stdout as lines:
            for line in lines:
                if line.startswith(ERROR):
                    self.error = line.removeprefix(ERROR).rstrip("\n")
                else:
                    progress.note(line.rstrip("\n"))
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        ended_workers.put(self)

    def interrupt(self) -> None:
        """Asks it to save what it runs, and to end."""
        self.process.send_signal(signal.SIGINT)

    def check(self) -> bool:
        """Returns whether it has ended with all of its groups run.

        Raises:
          UserError: an error has ended it that would end any worker.
        """
        code = self.process.returncode
        if self.error is not None and code in (UserError.code, EndedError.code):
            raise (EndedError if code == EndedError.code else UserError)(self.error)
        return code == 0

    def ending(self) -> str:
        """Returns how its process ended, for people."""
        code = self.process.returncode
        if code >= 0:
            return f"its process ended with exit code {code}"
        cause = ", perhaps for its memory" if code == -signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{cause}"


@contextlib.contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Blocks a signal in this thread, and in processes that it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class FolderWatcher:
    """Reports the runs of other processes, by what they write into the results folder.

    Attributes:
      versions: `Store.version` of each cell before anything was run, by run_id.
      failures: Number of cells that were reported as failed.
    """

    def __init__(
        self,
        works: Sequence[PlacedGroup],
        versions: Mapping[str, int],
        store: Store,
        progress: Progress,
    ):
        """Watches cells.

        Args:
          works: their groups.
          versions: as the attribute.
          store: the results folder.
          progress: receives the reports.
        """
        self._works = {work.group.key: work for work in works}
        cells = (cell for work in works for cell in work.group.cells)
        self._cells = {cell.run_id: cell for cell in cells if cell.run_id in versions}
        self.versions, self._versions = versions, dict(versions)
        self._store, self._progress = store, progress
        self._last_progress: dict[str, RunProgress] = {}  # by run_id
        self._started_keys: set[str] = set()  # of groups whose start was reported
        self._compiled_keys: set[str] = set()
        self.failures = 0

    @property
    def cells(self) -> list[Cell]:
        """Cells that have not ended."""
        return list(self._cells.values())

    @property
    def works(self) -> list[PlacedGroup]:
        """Groups with cells that have not ended."""
        keys = {cell.group for cell in self._cells.values()}
        return [work for key, work in self._works.items() if key in keys]

    def start(self, group: Group) -> None:
        """Reports once that a group is compiled."""
        if group.key not in self._started_keys:
            self._started_keys.add(group.key)
            self._progress.compiling(group, None)

    def drop(self, group: Group) -> None:
        """Stops watching the cells of a group."""
        for cell in group.cells:
            self._cells.pop(cell.run_id, None)

    def poll(self) -> None:
        """Reports the cells that were written since the last call."""
        for cell in self.cells:
            version = self._store.version(cell)
            if version == self._versions[cell.run_id]:
                continue
            try:
                rows, record = tables.read_cell(self._store.cell_path(cell))
            except (UserError, OSError):  # its process sets it aside
                continue
            self._versions[cell.run_id] = version
            self._report(cell, rows, record)

    def _report(
        self, cell: Cell, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]
    ) -> None:
        status, run_progress = record["status"], RunProgress.from_record(record)
        if record["compile_seconds"] and cell.group not in self._compiled_keys:
            self._compiled_keys.add(cell.group)
            group = self._works[cell.group].group
            self.start(group)
            self._progress.compiling(group, record["compile_seconds"])
        if status == "running":
            before = self._last_progress.get(cell.run_id, RunProgress())
            self._last_progress[cell.run_id] = run_progress
            seconds = run_progress.wall_seconds - before.wall_seconds
            rate = (run_progress.env_steps - before.env_steps) / seconds if seconds > 0 else 0.0
            mean = _number(rows[-1]["return_mean"] if rows else None)
            fraction, env_steps = run_progress.fraction(cell), run_progress.env_steps
            self._progress.running(CellReport(cell, fraction, mean, env_steps, rate))
        elif status == "failed":
            self._cells.pop(cell.run_id)
            self.failures += 1
            self._progress.failed(cell, record["reason"] or "")
        elif status == "diverged" or run_progress.fraction(cell) >= 1.0:
            self._cells.pop(cell.run_id)
            final = _number(record["final_return"])
            self._progress.finished(cell, status, final, run_progress.wall_seconds)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def worker_pool(number: int) -> ExecutorFactory:
    """Returns a factory for a pool of `number` workers."""
    return partial(WorkerPool, number=number)


class WorkerPool:
    """An executor of worker processes."""

    def __init__(self, sweep: Sweep, runner: GroupRunner, number: int):
        """Divides the machine among the workers.

        Raises:
          UserError: there are fewer cores than workers.
        """
        self._sweep, self._runner = sweep, runner
        self._shares = list(core_shares(runner.resources, number))
        self._workers: list[Worker | None] = [None] * number  # None: no group was free
        self._ended_workers: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._holders: dict[str, int] = {}  # process id by key of the group that it runs
        self._losses: Counter[str] = Counter()  # of workers, by key of the group; '' before any

    def run(self, works: Sequence[PlacedGroup], versions: Mapping[str, int]) -> int:
        """Runs cells; see `Executor.run`."""
        watcher = FolderWatcher(works, versions, self._runner.store, self._runner.progress)
        failures = 0
        try:
            for index in range(len(self._shares)):
                self._start(index, watcher)
            while any(self._workers) or watcher.cells:
                if self._runner.stop.is_set():
                    raise Interrupted
                with contextlib.suppress(queue.Empty):
                    worker = self._ended_workers.get(timeout=WATCH_SECONDS)
                    if worker.check():
                        self._workers[self._workers.index(worker)] = None
                    else:
                        failures += self._replace(worker, watcher)
                self._watch_claims(watcher)
                watcher.poll()
                if not any(self._workers):
                    failures += self._run_left(watcher)
        finally:
            self._end()
        return failures + watcher.failures

    def _start(self, index: int, watcher: FolderWatcher) -> None:
        """Starts the worker that uses a share of the machine."""
        resources, cores, environment = self._shares[index]
        folder = self._runner.store.folder
        setup = WorkerSetup.of_sweep(self._sweep, resources, folder, cores, watcher.versions)
        self._workers[index] = Worker(
            setup, environment, self._runner.progress, self._ended_workers
        )

    def _end(self) -> None:
        """Asks the workers to stop, and waits until each has saved what it runs."""
        workers = [worker for worker in self._workers if worker is not None]
        for worker in workers:
            worker.interrupt()
        for worker in workers:
            worker.process.wait()

    def _watch_claims(self, watcher: FolderWatcher) -> None:
        """Records which worker runs which group."""
        pids = (worker.process.pid for worker in self._workers if worker is not None)
        names = {f"process {pid} on {socket.gethostname()}": pid for pid in pids}
        for work in watcher.works:
            pid = names.get(files.claim_holder(self._runner.store.folder, work.group.key))
            if pid is not None:
                self._holders[work.group.key] = pid
                watcher.start(work.group)

    def _replace(self, worker: Worker, watcher: FolderWatcher) -> int:
        """Replaces a worker that was lost; returns how many cells of its groups failed."""
        before = dict(self._holders)
        self._watch_claims(watcher)
        watcher.poll()
        pid, failures = worker.process.pid, 0
        lost_groups = [
            work
            for work in watcher.works
            if pid in (before.get(work.group.key), self._holders.get(work.group.key))
        ]
        for work in lost_groups:
            self._losses[work.group.key] += 1
            if self._losses[work.group.key] < TRIES:
                message = f"{work.group.label}: {worker.ending()}; it is run once more"
                self._runner.progress.note(message)
            else:
                failures += self._give_up(work, watcher, worker.ending())
        if not lost_groups:
            self._losses[""] += 1
            if self._losses[""] >= TRIES * len(self._shares):
                raise EndedError(f"--workers: a worker ran nothing: {worker.ending()}")
        index = self._workers.index(worker)
        self._workers[index] = None
        if watcher.cells:
            self._start(index, watcher)
        return failures

    def _run_left(self, watcher: FolderWatcher) -> int:
        """Starts a worker for groups that are free again; returns how many cells failed.

        A process that is none of the workers has claimed these groups, and has let go of them. Or
        runs could not go on after a smaller budget, whose record says that they have finished.
        """
        failures = 0
        for work in watcher.works:
            claim = files.claim(self._runner.store.folder, work.group.key)
            if claim is None:
                continue
            claim.release()
            self._losses[work.group.key] += 1
            if self._losses[work.group.key] < TRIES:
                if self._workers[0] is None:
                    self._start(0, watcher)
            else:
                reason = "no worker could run it to its end"
                failures += self._give_up(work, watcher, reason)
        return failures

    def _give_up(self, work: PlacedGroup, watcher: FolderWatcher, reason: str) -> int:
        """Fails what is left of a group; returns the number of cells."""
        claim = files.claim(self._runner.store.folder, work.group.key)
        if claim is None:  # another worker has begun to run it
            return 0
        try:
            failures = self._runner.give_up(work, watcher.versions, reason)
            watcher.drop(work.group)
            return failures
        finally:
            claim.release()


# The worker.


class WorkerProgress(Progress):
    """Prints notes. Everything else is in the cells that the worker writes."""

    def __init__(self, stream: TextIO, folder: Path):
        """Writes lines to `stream`; `folder` is the results folder."""
        self._stream, self._store = stream, Store(folder)

    def failed(self, cell: Cell, reason: str) -> None:
        """Prints why a cell failed whose record does not say it."""
        if self._store.read(cell)[1].get("status") != "failed":
            self.note(f"{cell_name(cell)}: failed: {reason}")

    def note(self, text: str, always: bool = True) -> None:
        """Prints the text on one line."""
        if always:
            print(" ".join(text.split()), file=self._stream, flush=True)


def main() -> NoReturn:
    """Runs what the standard input says, and ends the process.

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
            _run(setup, WorkerProgress(stream, Path(setup.out)), stop)
    except UserError as error:
        print(f"{ERROR}{error}", file=stream, flush=True)
        code = error.code
    except KeyboardInterrupt:
        code = 130
    sys.stderr.flush()
    os._exit(code)  # a thread may be left that compiles, at which XLA crashes


def _run(setup: WorkerSetup, progress: Progress, stop: threading.Event) -> None:
    """Runs groups until none is free."""
    groups, runner = setup.prepare(progress, stop)
    left = [g for g in groups.values() if any(c.run_id in setup.versions for c in g.cells)]
    group_queue = runner.queue(left, setup.versions)
    while not stop.is_set() and (claimed_group := group_queue.take()) is not None:
        runner.compile_and_run(claimed_group)


def _end_with_parent() -> None:
    """Ends this process at once when its input ends."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
