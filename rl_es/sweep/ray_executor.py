"""A sweep on a Ray cluster: each group is a task, which may run on any node.

A task works in a folder of its own node. What it writes there is sent to this process, the driver,
which alone writes the results folder; its reports are shown here. Where a task, its worker or its
node is lost, the group is run again from the last checkpoint that had come, as it is when the
driver was ended and the same command is started again.

A group of a sweep as a task of a Ray cluster, and what it sends to the driver meanwhile.
"""

import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rl_es import registry
from rl_es.errors import UserError
from rl_es.results import files as results_files
from rl_es.results.files import FOLDER, Claim, write_bytes
from rl_es.sweep import protocol
from rl_es.sweep.cells import Cell, Group
from rl_es.sweep.execution import Crew
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.protocol import GroupWorker, WorkerSetup
from rl_es.sweep.queue import PlacedGroup
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import State, Store, cell_reason
from rl_es.training import multihost

SEND_SECONDS = 1.0  # between two looks of a task at what it has written

Put = Callable[[list[Any]], bool]


class RayMailbox:
    """An actor beside the driver: what tasks send, until it is taken."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._stop = False

    def put(self, messages: list[dict[str, Any]]) -> bool:
        """Keeps messages; returns whether the task is to stop."""
        self._messages += messages
        return self._stop

    def take(self) -> list[dict[str, Any]]:
        """All that have come since the last call, in order."""
        taken, self._messages = self._messages, []
        return taken

    def stop(self) -> None:
        """Tells the tasks so when they put something next."""
        self._stop = True


def run_ray_group(
    content: Mapping[str, Any], key: str, wanted: list[str], files: Mapping[str, bytes], post: Any
) -> int:
    """A task: runs a group in a folder of this node; returns how many of its cells failed."""
    import ray

    with tempfile.TemporaryDirectory(prefix="rl_es_") as name:
        folder, stop = Path(name), threading.Event()
        for path, held in files.items():
            write_bytes(folder / path, held)
        courier = RayProgress(folder, lambda messages: ray.get(post.put.remote(messages)), stop)
        member = GroupWorker(WorkerSetup.of({**content, "out": name}), courier, stop)
        try:
            with courier.going():
                return member.run(key, wanted) or 0
        except multihost.Interrupted:
            return 0


class RayProgress(protocol.MessageProgress):
    """A `Progress` that sends what it is told, and each file that is written meanwhile."""

    def __init__(self, folder: Path, put: Put, stop: threading.Event):
        """Sends what is in the folder from now on; `put` returns whether to set `stop`."""
        self._folder, self._put, self._stop = folder, put, stop
        self._lock = threading.Lock()
        self._told: list[Mapping[str, Any]] = []
        self._sent = self._there()

    def send(self, content: Mapping[str, Any]) -> None:
        """Keeps a message until files are looked at next."""
        with self._lock:
            self._told.append(content)

    @contextmanager
    def going(self) -> Iterator[None]:
        """Sends from time to time, and the rest at the end."""
        ended = threading.Event()

        def go() -> None:
            while not ended.wait(SEND_SECONDS):
                self.deliver()

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.deliver()

    def deliver(self) -> None:
        """Sends files in the order in which they were written, then what was told before."""
        with self._lock:
            told, self._told = self._told, []
        there = self._there()
        new = sorted(
            (written, name) for name, written in there.items() if self._sent.get(name) != written
        )
        files = [{"file": n, "content": (self._folder / n).read_bytes()} for _, n in new]
        if self._put([*files, *told]):
            self._stop.set()
        self._sent = there

    def _there(self) -> dict[str, int]:
        """When each file was written, in nanoseconds, by name."""
        found = (path for path in self._folder.rglob("[!.]*") if path.is_file())
        names = ((str(path.relative_to(self._folder)), path) for path in found)
        return {n: path.stat().st_mtime_ns for n, path in names if not n.startswith(FOLDER)}


TRIES = 5  # of a group whose task is lost
LOOK_SECONDS = 0.2  # between two looks at what has come
KNOCK_SECONDS = 10.0  # that the address of a cluster has to answer
STOP_SECONDS = 60.0  # that tasks have to save and end


@dataclass(frozen=True)
class RayResources:
    """Where tasks run, and what each takes.

    Attributes:
      address: of a cluster that is there; None: one is started on this machine.
      cpus: of a task; fractions share one.
      gpus: of a task; fractions share one.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0


def require_ray() -> Any:
    """Ray.

    Raises:
      UserError: it is not installed.
    """
    registry.require("ray", "ray", "--executor ray")
    import ray

    return ray


def ray_executor(cluster: RayResources) -> Crew:
    """The tasks of a cluster, as a sweep's execution takes them."""
    return partial(RayExecutor, cluster=cluster)


class RayExecutor:
    """The groups of a sweep as tasks of a cluster."""

    def __init__(self, sweep: Sweep, runner: GroupRunner, state: State, cluster: RayResources):
        """Joins the cluster, for cells in this state.

        Raises:
          UserError: Ray is not installed, there is no such cluster, or it lacks what tasks take.
        """
        self._ray, self._runner = require_ray(), runner
        self._setup = WorkerSetup.here(sweep, "", runner.resources, state)
        _connect(self._ray, cluster)
        self._task = self._ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=0)(
            run_ray_group
        )
        self._post = _post(self._ray)
        self._known: dict[str, Cell | Group] = {}
        self._tasks: dict[Any, PlacedGroup] = {}
        self._claims: dict[str, Claim] = {}
        self._ends: Counter[str] = Counter()
        self._failed = 0

    def run(self, works: Sequence[PlacedGroup], wanted: Set[str]) -> int:
        """Has the cluster run groups, and leaves when all have ended.

        Args:
          works: in order.
          wanted: run_id of the cells that are run.

        Returns:
          How many cells failed.

        Raises:
          Interrupted: a stop was asked for; what is finished is kept, the rest saved.
          StorageError: the results folder cannot be written.
        """
        self._known = protocol.name_message(work.group for work in works)
        left = list(works)
        try:
            while left or self._tasks:
                if self._runner.stop.is_set():
                    raise multihost.Interrupted
                left = [work for work in left if not self._submit(work, wanted)]
                left += self._look(wanted)
        finally:
            self._end()
        return self._failed

    def _submit(self, work: PlacedGroup, wanted: Set[str]) -> bool:
        """Makes a group a task; False where another process has it."""
        store, key = self._runner.store, work.group.key
        claim = results_files.claim(store.folder, key)
        if claim is None:
            return False
        own = [c for c in work.group.cells if c.run_id in wanted and store.state(c) != "done"]
        files = {name: content for cell in own for name, content in _files(store, cell)}
        ids = sorted(cell.run_id for cell in own)
        task = self._task.remote(self._setup.content(), key, ids, files, self._post)
        self._tasks[task], self._claims[key] = work, claim
        return True

    def _look(self, wanted: Set[str]) -> list[PlacedGroup]:
        """Takes what has come, and sees to tasks that have ended; returns groups of lost ones."""
        tasks, lost = list(self._tasks), []
        if not tasks:  # others have all that is left
            time.sleep(LOOK_SECONDS)
            return []
        ended, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=LOOK_SECONDS)
        self._take()
        for task in ended:
            work = self._tasks.pop(task)
            try:
                self._failed += self._ray.get(task)
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause
                if isinstance(cause, UserError):
                    raise cause from None
                self._failed += self._runner.give_up(work, wanted, cell_reason(cause))
            except self._ray.exceptions.RayError as error:
                lost += self._lost(work, wanted, type(error).__name__)
            self._claims.pop(work.group.key).release()
        return lost

    def _lost(self, work: PlacedGroup, wanted: Set[str], how: str) -> list[PlacedGroup]:
        """The group of a task that did not end, to be run again; none that was lost too often."""
        self._ends[work.group.key] += 1
        if self._ends[work.group.key] < TRIES:
            self._runner.progress.note(f"{work.group.label}: its task was lost ({how}); once more")
            return [work]
        reason = f"its task was lost {TRIES} times ({how})"
        self._failed += self._runner.give_up(work, wanted, reason)
        return []

    def _take(self) -> None:
        """Writes the files and passes on the reports that have come."""
        for message in self._ray.get(self._post.take.remote()):
            if "call" in message:
                protocol.dispatch_message(self._runner.progress, message, self._known)
            else:
                write_bytes(self._runner.store.folder / message["file"], message["content"])

    def _end(self) -> None:
        """Asks the tasks that still run to save and end, takes what they send, and leaves."""
        try:
            self._ray.get(self._post.stop.remote())
            end = time.monotonic() + STOP_SECONDS
            while self._tasks and time.monotonic() < end:
                ended, _ = self._ray.wait(list(self._tasks), timeout=LOOK_SECONDS)
                self._take()
                self._tasks = {t: work for t, work in self._tasks.items() if t not in ended}
        finally:
            for claim in self._claims.values():
                claim.release()
            self._ray.shutdown()


def _connect(ray: Any, cluster: RayResources) -> None:
    here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    about = here if cluster.address is None else {}
    try:
        if cluster.address not in (None, "auto", "local"):
            _knock(cluster.address)  # Ray itself would try for minutes
        ray.init(cluster.address or "local", log_to_driver=False, logging_level="error", **about)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        where = "here" if cluster.address is None else f"at '{cluster.address}'"
        raise UserError(f"--address: no Ray cluster {where} ({reason})") from None
    for name, each in (("CPU", cluster.cpus), ("GPU", cluster.gpus)):
        most = max((node["Resources"].get(name, 0.0) for node in ray.nodes()), default=0.0)
        if each > most:
            ray.shutdown()
            raise UserError(
                f"--ray-{name.lower()}s: a task takes {each:g} of a node's, and none has more than "
                f"{most:g}"
            )


def _knock(address: str) -> None:
    """Raises an OSError or ValueError where nobody listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def _files(store: Store, cell: Cell) -> Iterator[tuple[str, bytes]]:
    """What a results folder has of a cell, by name in it."""
    policies = sorted(store.policies(cell).glob("[!.]*"))
    for path in (store.cell(cell), store.checkpoint(cell), *policies):
        if path.exists():
            yield str(path.relative_to(store.folder)), path.read_bytes()


def _post(ray: Any) -> Any:
    """A `RayMailbox` on this node, since it must not be lost with another."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(RayMailbox).remote()
