"""The command line: run, plan, speed, report, figures, compare, replay, tune and others.

Nothing heavy is imported before a command needs it: a wrong sweep file is refused, and help is
shown, without loading jax.
"""

from rl_es.cli.main import leave, main

__all__ = ["leave", "main"]
