"""Several processes that run one sweep together, joined by `jax.distributed`.

All run the same compiled calls in the same order. The first process reads and writes the files and
decides what hangs on them or on time; the others are told. With one process nothing here costs
anything. Everything but `several` and `is_first` must be called by all processes, in the same
order; a UserError that one of them raises while it runs is one that all raise.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from rl_es.errors import EndedError, UserError
from rl_es.training.multihost_options import MultihostOptions

JOIN_SECONDS = 300.0  # how long the others are waited for
HEARTBEAT_SECONDS = 100  # a process that was silent for so long is taken for dead
_PIECE = 2**24  # bytes that are sent at once
_LEAST = 2**10  # what is shorter is padded: a length is a compiled program


class Interrupted(KeyboardInterrupt):
    """At least one process was asked to stop, and all do."""


def is_multihost() -> bool:
    """Whether there are other processes."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process reads and writes files and talks."""
    return not is_multihost() or jax.process_index() == 0


# Joining and leaving.


@contextmanager
def join_processes(meeting: MultihostOptions) -> Iterator[None]:
    """Joins the other processes, and leaves together with them.

    On an error that not all share this process cannot wait for the others: it stays joined, and is
    to be ended at once (`rl_es.cli.leave`), which ends them too.

    Raises:
      UserError: the others did not come, or there is no such place to meet.
      EndedError: another process has ended.
    """
    if meeting.alone:
        yield
        return
    _join(meeting)
    try:
        _connect()
        yield
    except (UserError, Interrupted):
        jax.distributed.shutdown()
        raise
    except Exception as error:
        if is_multihost() and "Gloo" in str(error):
            raise EndedError(
                "another process has ended, and this one with it; its own output says why. Run the "
                "same command again to go on from the last checkpoint"
            ) from error
        raise
    jax.distributed.shutdown()


def _join(meeting: MultihostOptions) -> None:
    """Waits in a thread, since jax ends the process where it has waited in vain."""
    # Its service would take SIGTERM, by which a cluster asks to stop.
    jax.config.update("jax_enable_preemption_service", False)
    if getattr(jax.config, "jax_cpu_collectives_implementation", None) is None:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    detection = None if meeting.cluster else "deactivate"
    errors: list[Exception] = []

    def join() -> None:
        try:
            jax.distributed.initialize(
                meeting.coordinator,
                meeting.processes,
                meeting.process,
                cluster_detection_method=detection,
                initialization_timeout=round(2 * JOIN_SECONDS) + 60,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    end = time.monotonic() + JOIN_SECONDS
    while thread.is_alive() and time.monotonic() < end:
        thread.join(0.1)
    if thread.is_alive():
        raise UserError(
            f"{_place(meeting)}: waited {JOIN_SECONDS:g} seconds for the other processes; start "
            "all of them, with the same address"
        )
    if errors:
        reason = str(errors[0]).splitlines()[0]
        if meeting.cluster:
            reason = f"found no cluster that jax knows, or none that works ({reason})"
        raise UserError(f"{_place(meeting)}: {reason}")


def _connect() -> None:
    """A first exchange. Gloo writes a line about it, by C++ straight to file descriptor 1."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        any_process(False)
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _place(meeting: MultihostOptions) -> str:
    if meeting.cluster:
        return "--cluster"
    return f"--coordinator {meeting.coordinator}, process {meeting.process} of {meeting.processes}"


# Agreeing.


def gather(numbers: Sequence[float]) -> np.ndarray:
    """The [n] numbers of each process, [processes, n] float64, bit for bit."""
    own = np.asarray(numbers, np.float64)
    if not is_multihost():
        return own[None]
    # As bytes, since jax would round them to float32.
    every = np.asarray(multihost_utils.process_allgather(own.view(np.uint8)))
    return every.view(np.float64)


def agree_on(number: float) -> float:
    """The first process's number."""
    return number if not is_multihost() else float(gather([number])[0, 0])


def any_process(flag: bool) -> bool:
    """Whether it is true in any process."""
    return flag if not is_multihost() else bool(gather([flag]).any())


def check_same(content: str, what: str) -> None:
    """Compares what each process was started with.

    Raises:
      UserError: it differs.
    """
    if is_multihost() and any_process(call_on_first(lambda: content) != content):
        raise UserError(f"the processes were started with different {what}")


def call_on_first(call: Callable[[], Any]) -> Any:
    """What the call gives in the first process, a JSON value; the others do not call it.

    Raises:
      UserError: the call raised; in all processes.
    """
    if not is_multihost():
        return call()
    return json.loads(read_on_first(lambda: json.dumps(call()).encode()))


def read_on_first(call: Callable[[], bytes]) -> bytes:
    """`first` of bytes, such as a file's."""
    if not is_multihost():
        return call()
    content, failed = b"", False
    if jax.process_index() == 0:
        try:
            content = call()
        except Exception as error:
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            content, failed = f"{kind}{error}".encode(), True
    length, failed = gather([len(content), failed])[0]
    told = _broadcast(content, int(length))
    if failed:
        raise UserError(told.decode())
    return told


def _broadcast(content: bytes, length: int) -> bytes:
    """The first process's bytes, in pieces whose lengths are few."""
    parts = []
    for start in range(0, length, _PIECE):
        size = min(_PIECE, length - start)
        piece = np.zeros(max(_LEAST, 1 << (size - 1).bit_length()), np.uint8)
        own = np.frombuffer(content[start : start + size], np.uint8)
        piece[: len(own)] = own
        parts.append(np.asarray(multihost_utils.broadcast_one_to_all(piece))[:size].tobytes())
    return b"".join(parts)
