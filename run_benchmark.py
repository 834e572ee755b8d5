"""The command line of a clone: `python run_benchmark.py --help`, the same as `rl_es --help`."""

from rl_es import agents, envs  # noqa: F401  (importing them tells the registry where to look)
from rl_es.cli import main
from rl_es.cli.main import leave

if __name__ == "__main__":
    leave(main())
