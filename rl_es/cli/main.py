"""`main`: runs a command line, and turns errors into messages and exit codes."""

import contextlib
import importlib
import io
import logging
import os
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from rl_es.cli import result_commands, run_commands, setup_commands
from rl_es.cli.parsing import Commands, parse
from rl_es.errors import (
    UserError,
    brief,
    did_you_mean,
    explain_exception,
    printable,
    short_reason,
    source_line,
)
from rl_es.terminal import program_name, start_command

GROUPS: dict[str, Commands] = {
    "Run sweeps": {
        "run": run_commands.RunCommand,
        "plan": run_commands.PlanCommand,
        "sweeps": setup_commands.SweepsCommand,
        "tune": run_commands.TuneCommand,
        "tuned": run_commands.TunedCommand,
    },
    "Read results": {
        "report": result_commands.ReportCommand,
        "figures": result_commands.FiguresCommand,
        "table": result_commands.TableCommand,
        "compare": result_commands.CompareCommand,
        "merge": result_commands.MergeCommand,
        "references": result_commands.ReferencesCommand,
        "tensorboard": result_commands.TensorboardCommand,
    },
    "Use trained policies": {
        "evaluate": result_commands.EvaluateCommand,
        "replay": result_commands.ReplayCommand,
        "import": result_commands.ImportCommand,
    },
    "Measure": {
        "speed": run_commands.SpeedCommand,
        "gradients": run_commands.GradientsCommand,
    },
    "Set up and extend": {
        "list": setup_commands.ListCommand,
        "doctor": setup_commands.DoctorCommand,
        "new": setup_commands.NewCommand,
        "check": setup_commands.CheckCommand,
        "schema": setup_commands.SchemaCommand,
    },
}
VERBS: Commands = {verb: command for group in GROUPS.values() for verb, command in group.items()}
# What follows the program's name, in the help of each command.
EXAMPLES = {
    "run": "run quickstart --set seeds=2 --out results/look",
    "plan": "plan paper/cartpole paper/ant --steps-per-second 2e6",
    "sweeps": "sweeps --copy paper/cartpole",
    "tune": "tune ablation/tuning --startup 10",
    "tuned": "tuned results/tune/tuning comparison.yaml --write",
    "report": "report results/quickstart",
    "figures": "figures results/quickstart --kind profiles --size column --format pdf",
    "table": "table results/quickstart --format latex --out table.tex",
    "compare": "compare results/before results/after --margin 0.05 --fail-if worse",
    "merge": "merge results/first results/second --out results/both",
    "references": "references results/quickstart --label open_es --out scores.csv",
    "tensorboard": "tensorboard results/quickstart",
    "evaluate": "evaluate results/quickstart --episodes 100",
    "replay": "replay results/quickstart --env CartPole-v1 --format html",
    "import": "import rwkv7 model.pth --env text/files --settings '{folder: texts, logits: nats, "
    "vocabulary: rwkv_vocab_v20230424.txt}'",
    "speed": "speed speed/cartpole --set rounds=3",
    "gradients": "gradients pes/variance",
    "list": "list eggroll --long",
    "doctor": "doctor --out results",
    "new": "new env my_env",
    "check": "check ./my_env.py:MyEnv",
    "schema": "schema --format markdown",
}
DESCRIPTION = "A benchmark suite for evolution strategies in reinforcement learning."
COMPLETIONS = ("--tyro-print-completion", "--tyro-write-completion")  # options of tyro
SHELLS = (["bash"], ["zsh"], ["fish"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line, and returns the exit code.

    0: success; 1: cells or another process failed; 2: invalid input, or a file that cannot be read
    or written, with a message of one line on standard error; 130: interrupted.
    """
    _open_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    # A duplicate, because a thread may redirect descriptor 2 while it compiles.
    messages = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    for stream in (sys.stdout, sys.stderr):  # file names need not be valid text
        with contextlib.suppress(OSError):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
    # In a home that cannot be written, matplotlib takes a temporary folder, and says so at length.
    logging.getLogger("matplotlib").addFilter(_is_not_about_folders)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_each_once(messages)
            try:
                return _command(arguments)()
            finally:
                _flush_output()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=messages)
        return error.code
    except KeyboardInterrupt:
        print(
            "interrupted; what is finished is kept: run the same command again to go on, or "
            "`report` the folder for tables of what is there",
            file=messages,
        )
        return 130
    except BrokenPipeError:  # the reader of the output has ended, as in `list | head`
        return 1
    except OSError as error:
        prefix = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {printable(f'{prefix}{short_reason(error)}')}", file=messages)
        return UserError.code
    except MemoryError as error:
        print(f"error: not enough memory ({printable(short_reason(error))})", file=messages)
        return 1
    except Exception as error:
        line = source_line(error)
        if not line or os.environ.get("RL_ES_TRACEBACK"):
            traceback.print_exc(file=messages)
        else:  # a mistake in code of the user's
            text = printable(explain_exception(error, line))
            print(f"error: {text}; RL_ES_TRACEBACK=1 shows every call", file=messages)
        return 1


def _open_streams() -> None:
    """Opens the null device for each standard stream that is closed, as by `list >&-`.

    The next file that is opened would take the stream's descriptor, and then XLA's messages.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115  (open as long as the process)
            os.set_inheritable(stream.fileno(), True)  # workers need it as well
            setattr(sys, name, stream)


def _is_not_about_folders(record: logging.LogRecord) -> bool:
    message = str(record.msg)
    return "MPLCONFIGDIR" not in message and not message.startswith("mkdir -p failed")


def _show_each_once(stream: TextIO) -> Callable[..., None]:
    """Returns a `warnings.showwarning` that prints a text once, wherever it comes from."""
    shown: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = printable(str(message))
        if text not in shown:
            shown.add(text)
            print(f"warning: {text}", file=stream)

    return show


def _flush_output() -> None:
    """Writes what standard output has buffered, or drops it where that fails.

    Otherwise it would fail once more, with a traceback, when the interpreter ends.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _command(arguments: Sequence[str]) -> Callable[[], int]:
    """Returns the command of a valid command line; prints help, and ends the process, for help."""
    verb = arguments[0]
    if any("\0" in argument for argument in arguments):
        raise UserError("an argument holds a zero byte")
    if verb in COMPLETIONS and arguments[1:2] not in SHELLS:
        raise UserError(f"{verb}: must be followed by bash, zsh or fish")
    if verb in ("-h", "--help"):
        return lambda: _print(help_text())
    if verb == "--version":
        return lambda: _print(f"rl_es {importlib.import_module('rl_es').__version__}")
    if verb not in (*VERBS, *COMPLETIONS):
        kind = "option" if verb.startswith("-") else "command"
        near = did_you_mean(verb, [*VERBS, "--help", "--version"])
        raise UserError(f"unknown {kind} '{brief(verb)}'{near}")
    try:
        return parse(arguments, VERBS)
    except SystemExit:  # of --help: tyro has printed the options
        if verb in EXAMPLES:
            print(f"\nexample: {start_command()} {EXAMPLES[verb]}")
        raise


def help_text() -> str:
    """Returns the help of the program: its commands in groups, one line each."""
    program, command = program_name(), start_command()
    width = max(map(len, VERBS)) + 4
    lines = [f"usage: {program} [--help] [--version] COMMAND ...", "", DESCRIPTION]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        for verb, kind in commands.items():
            summary = (kind.__doc__ or "").split("\n\n")[0]
            row = f"  {verb:<{width - 2}}{' '.join(summary.split())}"
            lines += textwrap.wrap(row, 100, subsequent_indent=" " * width)
    lines += ["", f"{command} COMMAND --help prints the options of a command, and an example."]
    return "\n".join([*lines, f"example: {command} {EXAMPLES['run']}"])


def _print(text: str) -> int:
    """Prints a text, and returns the exit code of success."""
    print(text)
    return 0


def leave(code: int) -> NoReturn:
    """Ends the process, without waiting for threads or other processes.

    XLA crashes where the interpreter ends while a thread compiles, and jax waits for the other
    processes of a run (`rl_es.training.multihost`), which may be gone.
    """
    jax = sys.modules.get("jax")
    if threading.active_count() > 1 or (jax is not None and jax.distributed.is_initialized()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
