"""The command line that ends itself by SIGKILL at a chosen moment: `killable.py POINT NUMBER ...`.

The moment is before or after a numbered call of a function; with the point `none` it never comes.
"""

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from rl_es.cli.main import leave, main

# Where it may end: module and function, by the name of the moment.
POINTS = {
    "compile": ("rl_es.sweep.queue", "compile_group"),
    "rollout": ("rl_es.sweep.runs", "_advance"),
    "evaluation": ("rl_es.sweep.runs", "_evaluate"),
    "checkpoint": ("rl_es.training.checkpoint", "save"),
    "curve": ("rl_es.results.tables", "write_cell"),
    "policy": ("rl_es.training.policies", "save_policy"),
    "flush": ("rl_es.results.files", "_flush"),
    "tables": ("rl_es.results.tables", "write_tables"),
    "sums": ("rl_es.results.checksums", "write_sums"),
    "figures": ("rl_es.analysis.report", "write_figures"),
}


def arm(point: str, number: int) -> None:
    """Wraps a point so that a call of it ends the process.

    Args:
      point: of `POINTS`.
      number: 2 n - 1 for before its n-th call, 2 n for after it.
    """
    module = __import__(POINTS[point][0], fromlist=["_"])
    function, calls = getattr(module, POINTS[point][1]), itertools.count(1)

    def ending(*args: Any, **keywords: Any) -> Any:
        is_last = next(calls) == -(-number // 2)
        if is_last and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **keywords)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(module, POINTS[point][1], ending)


if __name__ == "__main__":
    if sys.argv[1] != "none":
        arm(sys.argv[1], int(sys.argv[2]))
    leave(main(sys.argv[3:]))
