"""Processes that run one sweep in step, joined by `jax.distributed`.

All of them run the same compiled calls in the same order. The first process reads and writes the
files, and takes the decisions that depend on files or on time; its values are broadcast. In a
single process every function here is a no-op that costs nothing.

All processes must call these functions in the same order, `is_multihost` and `is_first` excepted. A
`UserError` that one process raises after it has joined must be one that all raise.

The executor of a sweep uses this module through its `Store` alone (`rl_es.sweep.store`).
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

from rl_es.errors import EndedError, Interrupted, UserError
from rl_es.training.multihost_options import MultihostOptions

JOIN_SECONDS = 300.0  # in which all processes have to join
HEARTBEAT_SECONDS = 100  # of silence after which a process counts as dead
_LARGEST_PIECE = 2**24  # bytes of one broadcast
_SMALLEST_PIECE = 2**10  # shorter ones are padded: each length compiles a program


def is_multihost() -> bool:
    """Returns whether other processes have joined."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Returns whether this process reads and writes files, and shows progress."""
    return not is_multihost() or jax.process_index() == 0


# Joining and leaving.


@contextmanager
def join_processes(options: MultihostOptions) -> Iterator[None]:
    """Joins the other processes, and leaves together with them.

    After an error that not all processes share, this one cannot wait for the others: it stays
    joined, and has to be ended at once (`rl_es.cli.main.leave`), which ends the others too.

    Args:
      options: address and number of the processes, or the cluster that has started them.

    Raises:
      UserError: the others did not join in time, or the address or the cluster does not work.
      EndedError: another process has ended.
    """
    if options.alone:
        yield
        return
    _join(options)
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


def _join(options: MultihostOptions) -> None:
    """Joins in a thread, since jax ends the process after it has waited in vain."""
    # Its service would handle SIGTERM, by which a cluster requests a stop.
    jax.config.update("jax_enable_preemption_service", False)
    if getattr(jax.config, "jax_cpu_collectives_implementation", None) is None:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    detection = None if options.cluster else "deactivate"
    errors: list[Exception] = []

    def join() -> None:
        try:
            jax.distributed.initialize(
                options.coordinator,
                options.processes,
                options.process,
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
            f"{_describe(options)}: waited {JOIN_SECONDS:g} seconds for the other processes; start "
            "all of them, with the same address"
        )
    if errors:
        reason = str(errors[0]).splitlines()[0]
        if options.cluster:
            reason = f"found no cluster that jax knows, or none that works ({reason})"
        raise UserError(f"{_describe(options)}: {reason}")


def _connect() -> None:
    """Exchanges a first value, silently: Gloo's C++ prints a line to file descriptor 1."""
    sys.stdout.flush()
    stdout = os.dup(1)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
    try:
        any_process(False)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _describe(options: MultihostOptions) -> str:
    """Returns the flags that this process was started with, for messages."""
    if options.cluster:
        return "--cluster"
    return f"--coordinator {options.coordinator}, process {options.process} of {options.processes}"


# Exchanging values.


def gather(numbers: Sequence[float]) -> np.ndarray:
    """Returns the [n] numbers of each process, [processes, n] float64, bit for bit."""
    local = np.asarray(numbers, np.float64)
    if not is_multihost():
        return local[None]
    # As bytes, since jax would round them to float32.
    values = np.asarray(multihost_utils.process_allgather(local.view(np.uint8)))
    return values.view(np.float64)


def agree_on(number: float) -> float:
    """Returns the first process's number."""
    return number if not is_multihost() else float(gather([number])[0, 0])


def any_process(flag: bool) -> bool:
    """Returns the logical OR over all processes."""
    return flag if not is_multihost() else bool(gather([flag]).any())


def check_same(content: str, subject: str) -> None:
    """Compares a text over all processes.

    Args:
      content: the text.
      subject: what it describes, for the message.

    Raises:
      UserError: it differs.
    """
    if is_multihost() and any_process(call_on_first(lambda: content) != content):
        raise UserError(f"the processes were started with different {subject}")


def call_on_first(call: Callable[[], Any]) -> Any:
    """Calls a function in the first process, and returns its result in all of them.

    Args:
      call: returns a JSON value.

    Raises:
      UserError: the call raised an error; in all processes.
    """
    if not is_multihost():
        return call()
    return json.loads(read_on_first(lambda: json.dumps(call()).encode()))


def read_on_first(call: Callable[[], bytes]) -> bytes:
    """Does the same as `call_on_first` for bytes, such as a file's."""
    if not is_multihost():
        return call()
    content, is_error = b"", False
    if jax.process_index() == 0:
        try:
            content = call()
        except Exception as error:
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            content, is_error = f"{kind}{error}".encode(), True
    length, is_error = gather([len(content), is_error])[0]
    content = _broadcast(content, int(length))
    if is_error:
        raise UserError(content.decode())
    return content


def _broadcast(content: bytes, length: int) -> bytes:
    """Returns the first process's bytes; pieces are padded to few different lengths."""
    parts = []
    for start in range(0, length, _LARGEST_PIECE):
        size = min(_LARGEST_PIECE, length - start)
        piece = np.zeros(max(_SMALLEST_PIECE, 1 << (size - 1).bit_length()), np.uint8)
        local = np.frombuffer(content[start : start + size], np.uint8)  # empty but in the first
        piece[: len(local)] = local
        parts.append(np.asarray(multihost_utils.broadcast_one_to_all(piece))[:size].tobytes())
    return b"".join(parts)
