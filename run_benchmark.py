"""The command line of a clone: `python run_benchmark.py --help`, the same as `rl_es --help`."""

from rl_es.__main__ import run

if __name__ == "__main__":
    run()
