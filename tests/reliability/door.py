"""The command line, which ends itself by SIGKILL at a chosen moment: `door.py POINT NUMBER ...`.

The moment is the so-manieth time that a function is called, before or after it has done its work,
or with the point `none` never.
"""

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import agents  # noqa: F401
import envs  # noqa: F401
from rl_es.cli import leave, main

# Where it may end: the module, the function in it, and what that is a moment of.
POINTS = {
    "compile": ("rl_es.sweep.work", "compile_group"),
    "rollout": ("rl_es.sweep.batch", "_advance"),
    "evaluation": ("rl_es.sweep.batch", "_evaluate"),
    "checkpoint": ("rl_es.training.checkpoint", "save"),
    "curve": ("rl_es.tables", "write_cell"),
    "policy": ("rl_es.training.policies", "save"),
    "flush": ("rl_es.files.whole", "_flush"),
    "tables": ("rl_es.tables", "write_tables"),
    "sums": ("rl_es.files.sums", "write"),
    "figures": ("rl_es.analysis.drawing.files", "write"),
}


def arm(point: str, number: int) -> None:
    """Wraps a point so that its `number`-th call ends the process: odd before, even after it."""
    module = __import__(POINTS[point][0], fromlist=["_"])
    function, calls = getattr(module, POINTS[point][1]), itertools.count(1)

    def ending(*args: Any, **named: Any) -> Any:
        now = next(calls) == -(-number // 2)
        if now and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        found = function(*args, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(module, POINTS[point][1], ending)


if __name__ == "__main__":
    if sys.argv[1] != "none":
        arm(sys.argv[1], int(sys.argv[2]))
    leave(main(sys.argv[3:]))
