"""From a command line to a command and its exit code."""

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn

import tyro

from rl_es.cli.joining import Merge, References
from rl_es.cli.listing import List
from rl_es.cli.policies import Evaluate, Replay
from rl_es.cli.reading import Compare, Figures, Report, Table
from rl_es.cli.running import Gradients, Plan, Run, Speed
from rl_es.cli.tuning import Tune, Tuned
from rl_es.errors import UserError, did_you_mean

VERBS = {
    "run": Run,
    "plan": Plan,
    "speed": Speed,
    "gradients": Gradients,
    "report": Report,
    "figures": Figures,
    "compare": Compare,
    "table": Table,
    "merge": Merge,
    "references": References,
    "evaluate": Evaluate,
    "replay": Replay,
    "tune": Tune,
    "tuned": Tuned,
    "list": List,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code.

    0: done; 1: some cells failed, or another process did; 2: bad input, one message on standard
    error; 130: interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verb = next(iter(arguments), "--help")
    # A descriptor of our own: one thread may hold back descriptor 2 while it compiles.
    messages = os.fdopen(os.dup(2), "w", buffering=1)
    try:
        if not verb.startswith("-") and verb not in VERBS:
            raise UserError(f"unknown command '{verb}'{did_you_mean(verb, VERBS)}")
        command = tyro.extras.subcommand_cli_from_dict(
            VERBS,
            prog="run_benchmark.py",
            description="A benchmark suite for evolution strategies in reinforcement learning.",
            args=arguments or ["--help"],
        )
        return command()
    except UserError as error:
        print(f"error: {error}", file=messages)
        return error.code
    except KeyboardInterrupt:
        print(
            "interrupted; what is finished is kept: run the same command again to go on, or "
            "`report` the folder for tables of what is there",
            file=messages,
        )
        return 130
    except BrokenPipeError:  # the reader of our output is gone, as in `list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        traceback.print_exc(file=messages)
        return 1


def leave(code: int) -> NoReturn:
    """Ends the process, at once where something would hold it up.

    A thread may be left that compiles, at which XLA crashes; or the process left others without
    their consent (`rl_es.training.together`), for which jax would wait.
    """
    jax = sys.modules.get("jax")
    if threading.active_count() > 1 or (jax is not None and jax.distributed.is_initialized()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
