"""Runs a script so that no program compiles: every run of a sweep fails, recorded under its id.

python uncompiled.py run_benchmark.py run SWEEP --shard 0/1
"""

import runpy
import sys
from pathlib import Path
from typing import Any, NoReturn

from jax._src import pjit


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("compilation is off")


if __name__ == "__main__":
    pjit.jit_lower = _refuse  # what `jax.jit(function).lower` is
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
