"""Several processes of this machine that share a sweep: this one hands out its groups.

Each worker keeps to its own cores, or devices, and writes what it runs itself; what it reports is
shown here. One that ends before its time, as when the system kills it for its memory, is replaced,
and its group is run once more, from its last checkpoint.

A process that runs groups of a sweep for another one: `python -m rl_es.sweep.workers`.

Messages come on standard input and go to what was standard output (`rl_es.sweep.protocol`).
Whatever else is written there goes to standard error. When its input ends the process that started
it has ended, and it ends at once: the system lets go of its claims, and somebody else goes on from
its last checkpoint.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import jax

from rl_es.errors import EndedError, UserError
from rl_es.sweep import protocol
from rl_es.sweep.execution import Crew
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.protocol import MessageProgress, WorkerSetup
from rl_es.sweep.queue import PlacedGroup
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import State
from rl_es.training import multihost
from rl_es.training.resources import Resources, device_memory

TRIES = 2  # of a group whose worker ends
LOOK_SECONDS = 0.2  # between two looks at whether a stop was asked for

Inbox = queue.SimpleQueue[tuple["Worker", dict[str, Any] | None]]  # None: it has ended


class Worker:
    """A process that runs groups.

    Attributes:
      process: the process.
      work: what it runs now.
    """

    def __init__(self, setup: WorkerSetup, environment: Mapping[str, str], inbox: Inbox):
        self.work: PlacedGroup | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rl_es.sweep.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.tell(setup.content())
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    def _listen(self, inbox: Inbox) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                inbox.put((self, json.loads(line)))
        inbox.put((self, None))

    def tell(self, content: Mapping[str, Any]) -> None:
        """Sends a message; one that has ended hears nothing."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            protocol.send_message(self.process.stdin, content)

    def wait(self) -> int:
        """Waits for its end; returns its exit code."""
        assert self.process.stdin is not None
        code = self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # of what it was told and did not read
            self.process.stdin.close()
        return code

    def ending(self) -> str:
        """How it ended, for people."""
        code = self.wait()
        if code >= 0:
            return f"its process ended with exit code {code}"
        killed = ", perhaps for its memory" if code == -signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{killed}"


def worker_pool(number: int) -> Crew:
    """So many workers, as a sweep's execution takes them."""
    return partial(WorkerPool, number=number)


class WorkerPool:
    """The workers of a sweep, and what is left for them."""

    def __init__(self, sweep: Sweep, runner: GroupRunner, state: State, number: int):
        """Starts them, for cells in this state; they wait for groups."""
        self._runner = runner
        self._inbox: Inbox = queue.SimpleQueue()
        folder = runner.store.folder
        self._places = [
            (WorkerSetup.here(sweep, folder, resources, state, cores), environment)
            for resources, cores, environment in core_shares(runner.resources, number)
        ]
        self._workers = [Worker(*place, self._inbox) for place in self._places]
        self._left: deque[PlacedGroup] = deque()
        self._wanted: dict[str, Set[str]] = {}
        self._ends: Counter[str] = Counter()
        self._failed = 0

    def run(self, works: Sequence[PlacedGroup], wanted: Set[str]) -> int:
        """Has them run groups, and leaves when all have ended.

        Args:
          works: in order.
          wanted: run_id of the cells that are run.

        Returns:
          How many cells failed.

        Raises:
          Interrupted: a stop was asked for; what is finished is kept, the rest saved.
          UserError: of a worker, such as a results folder that cannot be written.
        """
        self._left = deque(works)
        self._wanted = {
            work.group.key: {c.run_id for c in work.group.cells if c.run_id in wanted}
            for work in works
        }
        known = protocol.name_message(work.group for work in works)
        try:
            for worker in self._workers:
                self._next(worker)
            while any(worker.work is not None for worker in self._workers):
                if self._runner.stop.is_set():
                    raise multihost.Interrupted
                with contextlib.suppress(queue.Empty):
                    worker, told = self._inbox.get(timeout=LOOK_SECONDS)
                    if told is None:
                        self._lost(worker)
                    elif "call" in told:
                        protocol.dispatch_message(self._runner.progress, told, known)
                    else:
                        self._answered(worker, told)
        finally:
            self.end()
        return self._failed

    def end(self) -> None:
        """Asks them to stop, and waits until each has saved what it runs and ended."""
        for worker in self._workers:
            worker.tell({"stop": True})
        for worker in self._workers:
            worker.wait()

    def _next(self, worker: Worker) -> None:
        """Gives a worker the next group, if there is one."""
        worker.work = self._left.popleft() if self._left else None
        if worker.work is not None:
            key = worker.work.group.key
            worker.tell({"run": key, "wanted": sorted(self._wanted[key])})

    def _answered(self, worker: Worker, told: Mapping[str, Any]) -> None:
        if "error" in told:
            raise (EndedError if told["code"] == EndedError.code else UserError)(told["error"])
        assert worker.work is not None
        if "busy" in told:
            self._left.append(worker.work)
        else:
            self._failed += told["failed"]
        self._next(worker)

    def _lost(self, worker: Worker) -> None:
        """Replaces a worker that has ended, and sees to its group."""
        work, place, how = worker.work, self._workers.index(worker), worker.ending()
        self._workers[place] = Worker(*self._places[place], self._inbox)
        if work is not None:
            key = work.group.key
            self._ends[key] += 1
            if self._ends[key] < TRIES:
                self._runner.progress.note(f"{work.group.label}: {how}; it is run once more")
                self._left.appendleft(work)
            else:
                self._failed += self._runner.give_up(work, self._wanted[key], how)
        self._next(self._workers[place])


Share = tuple[Resources, tuple[int, ...], dict[str, str]]


def core_shares(resources: Resources, number: int) -> Iterator[Share]:
    """What each of so many workers may use: resources, cores, and environment variables.

    On CPU each has its own cores and its part of the memory; elsewhere its own devices, or where
    there are fewer devices than workers its part of one's memory.

    Raises:
      UserError: there are not so many cores.
    """
    if jax.default_backend() == "cpu":
        cores = sorted(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
        if number > len(cores):
            raise UserError(f"--workers: must be at most {len(cores)}, the cores; is {number}")
        memory = resources.memory or device_memory(number)
        for i in range(number):
            first, last = (len(cores) * n // number for n in (i, i + 1))
            yield replace(resources, memory=memory), tuple(cores[first:last]), {}
        return
    devices = jax.local_device_count()
    for i in range(number):
        own = range(i, devices, number) if number <= devices else [i % devices]
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = [seen[n] if len(seen) == devices and seen[0] else str(n) for n in own]
        sharing = -(-number // devices)
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(names)}
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.8 / sharing:.3f}"
        yield resources, (), environment


BUSY_SECONDS = 1.0  # after which a group that another process has is given back

Orders = queue.SimpleQueue[dict[str, Any]]


def worker_main() -> None:
    """Runs groups until there are no more."""
    told = os.fdopen(os.dup(0), "rb")
    sender = MessageProgress(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C: the parent says stop
    setup = WorkerSetup.of(json.loads(told.readline()))
    stop, orders = threading.Event(), Orders()
    threading.Thread(target=_listen, args=(told, orders, stop), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # it was stopped
        try:
            _work(setup, orders, sender, stop)
        except UserError as error:
            sender.send({"error": str(error), "code": error.code})
    os._exit(0)


def _listen(told: BinaryIO, orders: Orders, stop: threading.Event) -> None:
    for line in told:
        order = json.loads(line)
        if "stop" in order:
            stop.set()
        orders.put(order)
    os._exit(1)


def _work(
    setup: WorkerSetup, orders: Orders, sender: MessageProgress, stop: threading.Event
) -> None:
    from rl_es.sweep.protocol import GroupWorker

    member = GroupWorker(setup, sender, stop)
    while not stop.is_set():
        order = orders.get()
        if "run" not in order:
            return
        failed = member.run(order["run"], order["wanted"])
        if failed is None:
            stop.wait(BUSY_SECONDS)
            sender.send({"busy": order["run"]})
        else:
            sender.send({"done": order["run"], "failed": failed})


if __name__ == "__main__":
    worker_main()
