"""The door to the suite: `python run_benchmark.py --help`."""

import agents  # noqa: F401  (importing these tells the registry where to look)
import envs  # noqa: F401
from rl_es.cli import leave, main

if __name__ == "__main__":
    leave(main())
