"""A group of a sweep as a task of a Ray cluster, and what it sends to the driver meanwhile."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rl_es.files.whole import write_bytes
from rl_es.sweep import claims, protocol
from rl_es.sweep.member import Member
from rl_es.sweep.protocol import Setup
from rl_es.training import together

SEND_SECONDS = 1.0  # between two looks of a task at what it has written

Put = Callable[[list[Any]], bool]


class Post:
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


def run_group(
    content: Mapping[str, Any], key: str, wanted: list[str], files: Mapping[str, bytes], post: Any
) -> int:
    """A task: runs a group in a folder of this node; returns how many of its cells failed."""
    import ray

    with tempfile.TemporaryDirectory(prefix="rl_es_") as name:
        folder, stop = Path(name), threading.Event()
        for path, held in files.items():
            write_bytes(folder / path, held)
        courier = Courier(folder, lambda messages: ray.get(post.put.remote(messages)), stop)
        member = Member(Setup.of({**content, "out": name}), courier, stop)
        try:
            with courier.going():
                return member.run(key, wanted) or 0
        except together.Interrupted:
            return 0


class Courier(protocol.Sender):
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
        return {n: path.stat().st_mtime_ns for n, path in names if not n.startswith(claims.FOLDER)}
