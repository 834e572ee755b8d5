"""Worker processes of this machine that share the groups of a sweep: `run --workers N`.

The parent starts the workers (`rl_es.sweep.workers`), each on its own cores or devices, and reads
the progress from the cells that they write (`FolderWatcher`). What a worker prints, a line each, is
a note for people; its exit code is that of a command line, and an `error: ` line says what ended
it. A worker that ends before its time, as when the system kills it for its memory, is replaced, and
its group goes on from its last checkpoint; a group whose workers have ended `TRIES` times fails.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax

from rl_es.errors import EndedError, Interrupted, UserError
from rl_es.results import files, tables
from rl_es.sweep.cells import Cell
from rl_es.sweep.execution import ExecutorFactory
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.progress import CellReport, Progress
from rl_es.sweep.queue import PlacedGroup
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import RunProgress
from rl_es.sweep.workers import (
    ERROR,
    PREALLOCATION,
    WorkerSetup,
    leave_memory_to_others,
)
from rl_es.training.resources import Resources, available_cores, device_memory

TRIES = 2  # of a group whose workers end
WATCH_SECONDS = 0.2  # between two looks at the folder, and at whether a stop was requested


class FolderWatcher:
    """Reports the runs of other processes, by what they write into the results folder.

    Attributes:
      versions: `Store.version` of each cell before anything was run, by run_id.
      losses: Number of processes that ended while they ran a group, by its key.
      failures: Number of cells that were reported as failed.
    """

    def __init__(
        self, works: Sequence[PlacedGroup], versions: Mapping[str, int], runner: GroupRunner
    ):
        """Watches the cells of groups in the folder of `runner`, which receives the reports."""
        self._works = {work.group.key: work for work in works}
        cells = (cell for work in works for cell in work.group.cells)
        self._cells = {cell.run_id: cell for cell in cells if cell.run_id in versions}
        self.versions, self._versions = versions, dict(versions)
        self._runner, self._progress = runner, runner.progress
        self._last_progress: dict[str, RunProgress] = {}  # by run_id
        self._started_keys: set[str] = set()  # of groups whose start was reported
        self._compiled_keys: set[str] = set()
        self.losses: Counter[str] = Counter()
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

    def start(self, key: str) -> None:
        """Reports once that a group is compiled."""
        if key not in self._started_keys:
            self._started_keys.add(key)
            self._progress.compiling(self._works[key].group, None)

    def give_up(self, work: PlacedGroup, reason: str) -> None:
        """Fails what is left of a group that this process has claimed."""
        self.failures += self._runner.give_up(work, self.versions, reason)
        for cell in work.group.cells:
            self._cells.pop(cell.run_id, None)

    def poll(self) -> None:
        """Reports the cells that were written since the last call."""
        store = self._runner.store
        for cell in self.cells:
            version = store.version(cell)
            if version == self._versions[cell.run_id]:
                continue
            try:
                rows, record = tables.read_cell(store.cell_path(cell))
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
            self.start(cell.group)
            self._progress.compiling(self._works[cell.group].group, record["compile_seconds"])
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
            self._progress.fail(cell, record["reason"] or "")
        elif status == "diverged" or run_progress.fraction(cell) >= 1.0:
            self._cells.pop(cell.run_id)
            final = _number(record["final_return"])
            self._progress.finish(cell, status, final, run_progress.wall_seconds)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


Share = tuple[Resources, tuple[int, ...], dict[str, str]]

# Variables by which jax limits the fraction of a GPU's memory that it takes; it refuses both.
FRACTION, OLD_FRACTION = "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"
ALL_WORKERS = "0.8"  # what the workers of a GPU take together


def core_shares(resources: Resources, number: int, preallocation: str = "true") -> Iterator[Share]:
    """Yields the resources, the cores and the environment variables of each of `number` workers.

    On CPU each has its own cores and its part of the memory; elsewhere its own devices, or where
    there are fewer devices than workers its part of one device's memory.

    Args:
      resources: those of all workers.
      number: number of workers.
      preallocation: whether jax takes that memory at once: `true` or `false`.

    Raises:
      UserError: there are fewer cores.
    """
    if jax.default_backend() == "cpu":
        cores = available_cores()
        if number > len(cores):
            raise UserError(f"--workers: must be at most {len(cores)}, the cores; is {number}")
        memory = resources.memory or device_memory(number * (resources.devices or 1))
        for i in range(number):
            start, end = (len(cores) * n // number for n in (i, i + 1))
            yield replace(resources, memory=memory), cores[start:end], {}
        return
    devices = jax.local_device_count()
    all_workers = os.environ.get(FRACTION) or os.environ.get(OLD_FRACTION) or ALL_WORKERS
    fraction = float(all_workers) / -(-number // devices)
    for i in range(number):
        share = range(i, devices, number) if number <= devices else [i % devices]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = [visible[n] if len(visible) == devices and visible[0] else str(n) for n in share]
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(names), PREALLOCATION: preallocation}
        environment |= {FRACTION: f"{fraction:.3f}", OLD_FRACTION: ""}
        yield resources, (), environment


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
        cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
        if not cache:  # this process has warned of it
            environment = {**environment, "RL_ES_CACHE": ""}
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


def worker_pool(number: int) -> ExecutorFactory:
    """Returns a factory for a pool of `number` workers; has to be called before jax starts."""
    return partial(WorkerPool, number=number, preallocation=leave_memory_to_others())


class WorkerPool:
    """An executor of worker processes."""

    def __init__(self, sweep: Sweep, runner: GroupRunner, number: int, preallocation: str = "true"):
        """Divides the machine among the workers.

        Raises:
          UserError: there are fewer cores than workers.
        """
        self._sweep, self._runner = sweep, runner
        self._shares = list(core_shares(runner.resources, number, preallocation))
        self._workers: list[Worker | None] = [None] * number  # None: no group was free
        self._ended_workers: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._holders: dict[str, int] = {}  # process id by key of the group that it runs

    def run(self, works: Sequence[PlacedGroup], versions: Mapping[str, int]) -> int:
        """Runs cells; see `Executor.run`."""
        watcher = FolderWatcher(works, versions, self._runner)
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
                        self._replace(worker, watcher)
                self._watch_claims(watcher)
                watcher.poll()
                if not any(self._workers):
                    self._run_left(watcher)
        finally:
            self._end()
        return watcher.failures

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
            key = work.group.key
            pid = names.get(files.claim_holder(self._runner.store.folder, key))
            if pid is not None:
                self._holders[key] = pid
                watcher.start(key)

    def _replace(self, worker: Worker, watcher: FolderWatcher) -> None:
        """Replaces a worker that was lost; its groups fail if they lost too many."""
        before = dict(self._holders)
        self._watch_claims(watcher)
        watcher.poll()
        pid = worker.process.pid
        lost_groups = [
            work
            for work in watcher.works
            if pid in (before.get(work.group.key), self._holders.get(work.group.key))
        ]
        for work in lost_groups:
            watcher.losses[work.group.key] += 1
            if watcher.losses[work.group.key] < TRIES:
                message = f"{work.group.label}: {worker.ending()}; it is run once more"
                self._runner.progress.note(message)
            else:
                self._give_up(work, watcher, worker.ending())
        if not lost_groups:
            watcher.losses[""] += 1
            if watcher.losses[""] >= TRIES * len(self._shares):
                raise EndedError(f"--workers: a worker ran nothing: {worker.ending()}")
        index = self._workers.index(worker)
        self._workers[index] = None
        if watcher.cells:
            self._start(index, watcher)

    def _run_left(self, watcher: FolderWatcher) -> None:
        """Starts a worker for groups that are free again.

        A process that is none of the workers has claimed these groups, and has let go of them. Or
        runs could not go on after a smaller budget, whose record says that they have finished.
        """
        for work in watcher.works:
            claim = files.claim(self._runner.store.folder, work.group.key)
            if claim is None:
                continue
            claim.release()
            watcher.losses[work.group.key] += 1
            if watcher.losses[work.group.key] >= TRIES:
                self._give_up(work, watcher, "no worker could run it to its end")
            elif self._workers[0] is None:
                self._start(0, watcher)

    def _give_up(self, work: PlacedGroup, watcher: FolderWatcher, reason: str) -> None:
        """Fails what is left of a group, unless another worker has begun to run it."""
        claim = files.claim(self._runner.store.folder, work.group.key)
        if claim is not None:
            try:
                watcher.give_up(work, reason)
            finally:
                claim.release()
