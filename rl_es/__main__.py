"""The command `rl_es`, which is also started by `python -m rl_es`."""

from rl_es.cli import leave, main


def run() -> None:
    """Runs the command line of this process, and ends the process with its exit code."""
    leave(main())


if __name__ == "__main__":
    run()
