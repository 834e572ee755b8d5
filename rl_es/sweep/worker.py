"""A process that runs groups of a sweep for another one: `python -m rl_es.sweep.worker`.

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
import threading
from typing import Any, BinaryIO

from rl_es.errors import UserError
from rl_es.sweep.protocol import Sender, Setup

BUSY_SECONDS = 1.0  # after which a group that another process has is given back

Orders = queue.SimpleQueue[dict[str, Any]]


def main() -> None:
    """Runs groups until there are no more."""
    told = os.fdopen(os.dup(0), "rb")
    sender = Sender(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C: the parent says stop
    setup = Setup.of(json.loads(told.readline()))
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


def _work(setup: Setup, orders: Orders, sender: Sender, stop: threading.Event) -> None:
    from rl_es.sweep.member import Member

    member = Member(setup, sender, stop)
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
    main()
