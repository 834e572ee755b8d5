"""What commands print: text as it is, and tables without lines.

What checks find, printed as a table or as lines, with what to do about it.
"""

import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rl_es.errors import short_reason, source_line

DEFAULT_WIDTH = 200  # columns where the output is no terminal, and has no width of its own
SCRIPT = "run_benchmark.py"  # the command line of a clone


def program_name() -> str:
    """Returns the name of the program that was started: `run_benchmark.py` or `rl_es`."""
    return SCRIPT if Path(sys.argv[0]).name == SCRIPT else "rl_es"


def start_command() -> str:
    """Returns what a user types before a verb to start the same program."""
    return f"python {SCRIPT}" if program_name() == SCRIPT else "rl_es"


def plain_console(soft_wrap: bool = False) -> Console:
    """A console that prints text as it is: without markup, colours of words or emoji.

    `soft_wrap` leaves long lines to the terminal.
    """
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=soft_wrap)
    if not console.is_terminal:
        console.width = DEFAULT_WIDTH
    return console


def plain_table(
    heads: Sequence[str], right: Container[int] = (), title: str | None = None
) -> Table:
    """An empty table of these columns.

    Args:
      heads: of the columns.
      right: positions of the columns that are aligned to the right, such as numbers.
      title: above it.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in right else "left", overflow="fold")
    return table


State = Literal["ok", "warn", "fail"]
OK: State = "ok"
WARN: State = "warn"
FAIL: State = "fail"
COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}
ALL_WELL = "all well"


@dataclass(frozen=True)
class CheckResult:
    """What a check finds out about one thing.

    Attributes:
      what: the thing.
      state: ok; warn, where runs work but something should be known; fail, where they will not.
      detail: what was found.
      remedy: what to do about it; where the state is ok, what could be done.
    """

    what: str
    state: State
    detail: str
    remedy: str = ""


Check = Callable[[], Iterable[CheckResult]]


class CheckFailure(Exception):
    """What is wrong with the one thing that a check of `check_of` looks at, and what to do."""

    def __init__(self, detail: str, remedy: str, state: State = FAIL):
        super().__init__(detail)
        self.detail, self.remedy = detail, remedy
        self.state: State = state


def make_check(what: str, look: Callable[[], str]) -> Check:
    """Returns the check of one thing.

    `look` describes it where it is ok, and raises a `CheckFailure` otherwise.
    """

    def check() -> list[CheckResult]:
        try:
            return [CheckResult(what, OK, look())]
        except CheckFailure as fault:
            return [CheckResult(what, fault.state, fault.detail, fault.remedy)]

    return check


def run_check(what: str, check: Check) -> Iterator[CheckResult]:
    """What a check finds; an exception that it raises is a finding, too."""
    try:
        yield from check()
    except Exception as error:
        detail = f"{type(error).__name__}: {short_reason(error)}{source_line(error)}"
        yield CheckResult(what, FAIL, detail, "mend what raises this first")


def run_checks(wanted: Mapping[str, Check], console: Console | None = None) -> int:
    """Runs checks and prints what they find; returns 1 if anything fails, else 0."""
    console = console or plain_console(soft_wrap=True)
    found: list[CheckResult] = []
    for name, check in wanted.items():
        with console.status(f"looking at {name}"):
            own = list(run_check(name, check))
        found += own
        if not console.is_terminal:
            for line in _lines(own):
                console.print(line)
    if console.is_terminal:
        console.print(_table(found))
    console.print(Text(conclude(found), style="bold"))
    return 1 if any(one.state == FAIL for one in found) else 0


def conclude(found: Iterable[CheckResult]) -> str:
    """The last line: that all is well, or what to do, beginning with what fails."""
    amiss = sorted((one for one in found if one.state != OK), key=lambda one: one.state)
    remedies: dict[str, dict[str, None]] = {}  # of each remedy what needs it, once and in order
    for one in amiss:
        remedies.setdefault(one.remedy, {})[one.what] = None
    told = [f"{', '.join(needing)}: {remedy}" for remedy, needing in remedies.items()]
    return f"to do: {'; '.join(told)}" if amiss else ALL_WELL


def _lines(found: Iterable[CheckResult]) -> Iterator[str]:
    for one in found:
        remedy = f" ({one.remedy})" if one.remedy else ""
        yield f"{one.state:<4}  {one.what}: {one.detail}{remedy}"


def _table(found: Iterable[CheckResult]) -> Table:
    table = plain_table(("what", "", "found", "what to do"))
    for one in found:
        state = Text(one.state, style=COLOURS[one.state])
        table.add_row(Text(one.what), state, Text(one.detail), Text(one.remedy))
    return table
