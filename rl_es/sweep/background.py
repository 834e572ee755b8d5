"""Work in a thread beside the runs, and how a person or a cluster asks them to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rl_es.training import together


class Ahead:
    """Work done in a thread that does not hold up the end of the process."""

    def __init__(self, work: Callable[..., Any], *args: Any):
        self._done: tuple[Any, Exception | None] | None = None

        def call() -> None:
            try:
                self._done = (work(*args), None)
            except Exception as error:
                self._done = (None, error)

        self._thread = threading.Thread(target=call, daemon=True)
        self._thread.start()

    def result(self, stop: threading.Event) -> tuple[Any, Exception | None]:
        """What the work gave, or the exception it raised.

        Raises:
          Interrupted: `stop` was set before the work was done, here or in another process.
        """
        while self._thread.is_alive() and not stop.is_set():
            self._thread.join(0.1)
        if together.anyone(self._thread.is_alive()):
            raise together.Interrupted
        assert self._done is not None
        return self._done


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one takes effect at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for kind, handler in before.items():
            signal.signal(kind, handler)

    def ask(signum: int, frame: Any) -> None:
        stop.set()
        restore()

    for kind in before:
        signal.signal(kind, ask)
    try:
        yield stop
    finally:
        restore()
