"""Tasks of a Ray cluster that run the groups of a sweep: `run --executor ray`.

Each group is a task, which may run on any node, in a temporary folder of that node. The files that
a task writes and its reports are sent to an actor beside this process, the driver, which alone
writes the results folder. A group whose task, worker or node is lost runs again from the last
checkpoint that has arrived; so it does when the driver has ended and the same command is started
again.
"""

import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rl_es import registry
from rl_es.errors import Interrupted, UserError
from rl_es.results import files as results_files
from rl_es.results.files import FOLDER, Claim, write_bytes
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.execution import ExecutorFactory
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.progress import CellReport, Progress
from rl_es.sweep.queue import PlacedGroup
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import Store, cell_reason
from rl_es.sweep.workers import WorkerSetup, leave_memory_to_others

SEND_SECONDS = 1.0  # between two times that a task sends what is new
TRIES = 5  # of a group whose task is lost
LOOK_SECONDS = 0.2  # between two times that the driver looks at what has arrived
CONNECT_SECONDS = 10.0  # in which the address of a cluster has to answer
STOP_SECONDS = 60.0  # in which tasks have to save and end

Message = Mapping[str, Any]  # a file with its content, or a call of a `Progress`
Send = Callable[[list[Any]], bool]  # returns whether the task is to stop


# The tasks.


def run_ray_group(
    setup: WorkerSetup, key: str, run_ids: list[str], files: Mapping[str, bytes], mailbox: Any
) -> int:
    """Runs a group in a folder of this node: the task.

    Args:
      setup: the sweep; its folder is replaced.
      key: key of the group.
      run_ids: cells that are to be run.
      files: what the results folder has of these cells, by name in it.
      mailbox: a `RayMailbox`, as an actor.

    Returns:
      How many cells failed.
    """
    import ray

    with tempfile.TemporaryDirectory(prefix="rl_es_") as name:
        folder, stop = Path(name), threading.Event()
        for path, content in files.items():
            write_bytes(folder / path, content)
        progress = RayProgress(folder, lambda messages: ray.get(mailbox.put.remote(messages)), stop)
        groups, runner = replace(setup, out=name).prepare(progress, stop)
        group = groups[key]
        cells = (cell for cell in group.cells if cell.run_id in run_ids)
        versions = {cell.run_id: runner.store.version(cell) for cell in cells}
        try:
            with progress.sending():
                claimed_group = runner.queue([group], versions).take()
                return 0 if claimed_group is None else runner.compile_and_run(claimed_group)
        except Interrupted:
            return 0


class RayProgress(Progress):
    """Sends its reports, and each file that is written meanwhile."""

    def __init__(self, folder: Path, send: Send, stop: threading.Event):
        """Sends what changes in a folder from now on.

        Args:
          folder: the folder.
          send: sends messages; returns whether a stop is requested.
          stop: is set then.
        """
        self._folder, self._send, self._stop = folder, send, stop
        self._lock = threading.Lock()
        self._calls: list[Message] = []
        self._sent_times = self._write_times()

    def compiling(self, group: Group, seconds: float | None) -> None:
        """Sends the report."""
        self._call("compiling", group.key, seconds)

    def running(self, report: CellReport) -> None:
        """Sends the report."""
        cell, *values = report
        self._call("running", cell.run_id, *values)

    def finish(self, cell: Cell, status: str, final_return: float, seconds: float) -> None:
        """Sends the report."""
        self._call("finish", cell.run_id, status, final_return, seconds)

    def fail(self, cell: Cell, reason: str) -> None:
        """Sends the report."""
        self._call("fail", cell.run_id, reason)

    def note(self, text: str, always: bool = True) -> None:
        """Sends the report."""
        self._call("note", None, text, always)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Sends every `SEND_SECONDS`, and the rest at the end."""
        end = threading.Event()

        def send_repeatedly() -> None:
            while not end.wait(SEND_SECONDS):
                self.send()

        thread = threading.Thread(target=send_repeatedly, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
            self.send()

    def send(self) -> None:
        """Sends new files in the order in which they were written, then earlier reports."""
        with self._lock:
            calls, self._calls = self._calls, []
        write_times = self._write_times()
        new = sorted(
            (time, name) for name, time in write_times.items() if self._sent_times.get(name) != time
        )
        files = [{"file": n, "content": (self._folder / n).read_bytes()} for _, n in new]
        if self._send([*files, *calls]):
            self._stop.set()
        self._sent_times = write_times

    def _call(self, name: str, subject: str | None, *values: Any) -> None:
        """Keeps a report; `subject` is the run_id of a cell, or the key of a group."""
        with self._lock:
            self._calls.append({"call": name, "subject": subject, "values": values})

    def _write_times(self) -> dict[str, int]:
        """Returns when each file was written, in nanoseconds, by name."""
        paths = (path for path in self._folder.rglob("[!.]*") if path.is_file())
        names = ((str(path.relative_to(self._folder)), path) for path in paths)
        return {n: path.stat().st_mtime_ns for n, path in names if not n.startswith(FOLDER)}


class RayMailbox:
    """Keeps messages of the tasks for the driver; an actor on its node."""

    def __init__(self) -> None:
        """Starts empty."""
        self._messages: list[Message] = []
        self._stop = False

    def put(self, messages: list[Message]) -> bool:
        """Adds messages; returns whether the task is to stop."""
        self._messages += messages
        return self._stop

    def take(self) -> list[Message]:
        """Removes and returns all messages, in order."""
        messages, self._messages = self._messages, []
        return messages

    def stop(self) -> None:
        """Tells the tasks to stop, as they send something next."""
        self._stop = True


# The driver.


@dataclass(frozen=True)
class RayResources:
    """A cluster, and what a task takes of it.

    Attributes:
      address: Address of a running cluster; None: one is started on this machine.
      cpus: CPUs of a task; fractions share one.
      gpus: GPUs of a task; fractions share one.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0


def require_ray() -> Any:
    """Returns the module `ray`.

    Raises:
      UserError: it is not installed.
    """
    registry.require("ray", "ray", "--executor ray")
    import ray

    return ray


def ray_executor(cluster: RayResources) -> ExecutorFactory:
    """Returns a factory for an executor on a cluster; has to be called before jax starts."""
    leave_memory_to_others()  # a Ray that is started here hands this on to its tasks
    return partial(RayExecutor, cluster=cluster)


class RayExecutor:
    """An executor of tasks on a Ray cluster."""

    def __init__(self, sweep: Sweep, runner: GroupRunner, cluster: RayResources):
        """Joins the cluster.

        Raises:
          UserError: Ray is not installed, there is no such cluster, or it lacks what tasks take.
        """
        self._ray, self._runner = require_ray(), runner
        self._setup = WorkerSetup.of_sweep(sweep, runner.resources)
        _connect(self._ray, cluster)
        self._task = self._ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=0)(
            run_ray_group
        )
        self._mailbox = _start_mailbox(self._ray)
        self._subjects: dict[str, Cell | Group] = {}  # by run_id and by key
        self._tasks: dict[Any, PlacedGroup] = {}
        self._claims: dict[str, Claim] = {}
        self._losses: Counter[str] = Counter()  # of tasks, by key of the group
        self._failures = 0

    def run(self, works: Sequence[PlacedGroup], versions: Mapping[str, int]) -> int:
        """Runs cells; see `Executor.run`."""
        for group in (work.group for work in works):
            self._subjects |= {group.key: group, **{cell.run_id: cell for cell in group.cells}}
        waiting = list(works)
        try:
            while waiting or self._tasks:
                if self._runner.stop.is_set():
                    raise Interrupted
                waiting = [work for work in waiting if not self._submit(work, versions)]
                waiting += self._collect(versions)
        finally:
            self._end()
        return self._failures

    def _submit(self, work: PlacedGroup, versions: Mapping[str, int]) -> bool:
        """Makes a group a task; returns False where another process has it."""
        store, key = self._runner.store, work.group.key
        claim = results_files.claim(store.folder, key)
        if claim is None:
            return False
        cells = [
            cell
            for cell in work.group.cells
            if cell.run_id in versions and store.is_left(cell, versions[cell.run_id])
        ]
        files = {name: content for cell in cells for name, content in _cell_files(store, cell)}
        run_ids = sorted(cell.run_id for cell in cells)
        task = self._task.remote(self._setup, key, run_ids, files, self._mailbox)
        self._tasks[task], self._claims[key] = work, claim
        return True

    def _collect(self, versions: Mapping[str, int]) -> list[PlacedGroup]:
        """Receives messages, and sees to tasks that have ended; returns groups to run again."""
        tasks, lost_groups = list(self._tasks), []
        if not tasks:  # other processes have all groups that are left
            time.sleep(LOOK_SECONDS)
            return []
        ended_tasks, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=LOOK_SECONDS)
        self._receive()
        for task in ended_tasks:
            work = self._tasks.pop(task)
            try:
                self._failures += self._ray.get(task)
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause
                if isinstance(cause, UserError):
                    raise cause from None
                self._failures += self._runner.give_up(work, versions, cell_reason(cause))
            except self._ray.exceptions.RayError as error:
                if self._is_retried(work, versions, type(error).__name__):
                    lost_groups.append(work)
            self._claims.pop(work.group.key).release()
        return lost_groups

    def _is_retried(self, work: PlacedGroup, versions: Mapping[str, int], cause: str) -> bool:
        """Counts a task that was lost; fails its group where there were too many."""
        self._losses[work.group.key] += 1
        if self._losses[work.group.key] < TRIES:
            message = f"{work.group.label}: its task was lost ({cause}); once more"
            self._runner.progress.note(message)
            return True
        reason = f"its task was lost {TRIES} times ({cause})"
        self._failures += self._runner.give_up(work, versions, reason)
        return False

    def _receive(self) -> None:
        """Writes the files and passes on the reports that have arrived."""
        for message in self._ray.get(self._mailbox.take.remote()):
            if "call" in message:
                subject, arguments = message["subject"], list[Any](message["values"])
                if subject is not None:
                    arguments.insert(0, self._subjects[subject])
                if message["call"] == "running":
                    arguments = [CellReport(*arguments)]
                getattr(self._runner.progress, message["call"])(*arguments)
            else:
                write_bytes(self._runner.store.folder / message["file"], message["content"])

    def _end(self) -> None:
        """Asks running tasks to save and end, receives what they send, and leaves the cluster."""
        try:
            self._ray.get(self._mailbox.stop.remote())
            end = time.monotonic() + STOP_SECONDS
            while self._tasks and time.monotonic() < end:
                ended_tasks, _ = self._ray.wait(list(self._tasks), timeout=LOOK_SECONDS)
                self._receive()
                self._tasks = {t: work for t, work in self._tasks.items() if t not in ended_tasks}
        finally:
            for claim in self._claims.values():
                claim.release()
            self._ray.shutdown()


def _connect(ray: Any, cluster: RayResources) -> None:
    local = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    options = local if cluster.address is None else {}
    try:
        if cluster.address not in (None, "auto", "local"):
            _check_address(cluster.address)  # Ray itself would try for minutes
        ray.init(cluster.address or "local", log_to_driver=False, logging_level="error", **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        location = "here" if cluster.address is None else f"at '{cluster.address}'"
        raise UserError(f"--address: no Ray cluster {location} ({reason})") from None
    for name, amount in (("CPU", cluster.cpus), ("GPU", cluster.gpus)):
        most = max((node["Resources"].get(name, 0.0) for node in ray.nodes()), default=0.0)
        if amount > most:
            ray.shutdown()
            raise UserError(
                f"--ray-{name.lower()}s: a task takes {amount:g} of a node's, and none has more "
                f"than {most:g}"
            )


def _check_address(address: str) -> None:
    """Raises an OSError or a ValueError where nothing listens at an address."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _cell_files(store: Store, cell: Cell) -> Iterator[tuple[str, bytes]]:
    """Yields the (name, content) of what a results folder has of a cell."""
    policies = sorted(store.policies_folder(cell).glob("[!.]*"))
    for path in (store.cell_path(cell), store.checkpoint_path(cell), *policies):
        if path.exists():
            yield str(path.relative_to(store.folder)), path.read_bytes()


def _start_mailbox(ray: Any) -> Any:
    """Returns a `RayMailbox` as an actor on this node, since it must not be lost with another."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=node)(RayMailbox).remote()
