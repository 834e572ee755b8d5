"""Output of commands: plain text, tables without lines, and the results of checks.

`run_checks` prints the results of checks, as a table or as lines, and what to do.
"""

import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rl_es.errors import explain_exception

DEFAULT_WIDTH = 200  # columns where the output is no terminal, and has no width of its own
SCRIPT = "run_benchmark.py"  # the command line of a clone


def program_name() -> str:
    """Returns the name of the program that was started: `run_benchmark.py` or `rl_es`."""
    return SCRIPT if Path(sys.argv[0]).name == SCRIPT else "rl_es"


def start_command() -> str:
    """Returns what a user types before a verb to start the same program."""
    return f"python {SCRIPT}" if program_name() == SCRIPT else "rl_es"


def plain_console(soft_wrap: bool = False) -> Console:
    """Returns a console that prints text literally: without markup, highlighting or emoji.

    With `soft_wrap`, the terminal wraps long lines.
    """
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=soft_wrap)
    if not console.is_terminal:
        console.width = DEFAULT_WIDTH
    return console


def plain_table(
    heads: Sequence[str], right: Container[int] = (), title: str | None = None
) -> Table:
    """Returns an empty table.

    Args:
      heads: Heads of the columns.
      right: Positions of the columns that are aligned to the right, such as numbers.
      title: Title above the table.
    """
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for column, head in enumerate(heads):
        table.add_column(head, justify="right" if column in right else "left", overflow="fold")
    return table


State = Literal["ok", "warn", "fail"]
OK: State = "ok"
WARN: State = "warn"
FAIL: State = "fail"
COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}
ALL_WELL = "all well"


@dataclass(frozen=True)
class CheckResult:
    """The result of a check of one thing.

    Attributes:
      subject: The thing that was checked.
      state: `ok`; `warn` if runs work with a limitation; `fail` if they will not work.
      detail: What the check observed.
      remedy: What to do about it; if the state is `ok`, what could be done.
    """

    subject: str
    state: State
    detail: str
    remedy: str = ""


class CheckFailure(Exception):
    """The failure of a check of one thing: what is wrong, and what to do."""

    def __init__(self, detail: str, remedy: str, state: State = FAIL):
        super().__init__(detail)
        self.detail, self.remedy = detail, remedy
        self.state: State = state


def expect(condition: Any, detail: str, remedy: str, state: State = FAIL) -> None:
    """Raises the `CheckFailure` of these arguments where a condition does not hold."""
    if not condition:
        raise CheckFailure(detail, remedy, state)


# Of one thing: returns a description, or raises a `CheckFailure`. Of several: returns the results.
Check = Callable[[], str | Iterable[CheckResult]]


def run_check(name: str, check: Check) -> Iterator[CheckResult]:
    """Yields the results of a check; any other exception that it raises is a failure, too."""
    try:
        outcome = check()
        yield from [CheckResult(name, OK, outcome)] if isinstance(outcome, str) else outcome
    except CheckFailure as failure:
        yield CheckResult(name, failure.state, failure.detail, failure.remedy)
    except Exception as error:
        yield CheckResult(name, FAIL, explain_exception(error), "mend what raises this first")


def run_checks(checks: Mapping[str, Check], console: Console | None = None) -> int:
    """Runs checks and prints their results; returns 1 if one fails, else 0."""
    console = console or plain_console(soft_wrap=True)
    results: list[CheckResult] = []
    for name, check in checks.items():
        with console.status(f"looking at {name}"):
            new_results = list(run_check(name, check))
        results += new_results
        if not console.is_terminal:
            for result in new_results:
                remedy = f" ({result.remedy})" if result.remedy else ""
                console.print(f"{result.state:<4}  {result.subject}: {result.detail}{remedy}")
    if console.is_terminal:
        console.print(_table(results))
    console.print(Text(conclude(results), style="bold"))
    return 1 if any(result.state == FAIL for result in results) else 0


def conclude(results: Iterable[CheckResult]) -> str:
    """Returns the last line: that all is well, or what to do, beginning with failures."""
    problems = sorted((r for r in results if r.state != OK), key=lambda result: result.state)
    remedies: dict[str, dict[str, None]] = {}  # the things that need a remedy, once and in order
    for problem in problems:
        remedies.setdefault(problem.remedy, {})[problem.subject] = None
    items = [f"{', '.join(things)}: {remedy}" for remedy, things in remedies.items()]
    return f"to do: {'; '.join(items)}" if problems else ALL_WELL


def _table(results: Iterable[CheckResult]) -> Table:
    """Returns a table with one row a result."""
    table = plain_table(("what", "", "found", "what to do"))
    for result in results:
        state = Text(result.state, style=COLOURS[result.state])
        table.add_row(Text(result.subject), state, Text(result.detail), Text(result.remedy))
    return table
