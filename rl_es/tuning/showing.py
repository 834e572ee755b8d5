"""What a tuning run picked, in the terminal."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from rl_es.terminal import plain_console, plain_table
from rl_es.tuning.feeding import Fed
from rl_es.tuning.picking import mean

HEADS = ("environment", "agent", "trials", "chosen", "return", "runner-up", "return", "before")
NUMBERS = (2, 4, 6)


def show(fed: Sequence[Fed], written: bool) -> None:
    """Prints the picks of every file, notes, and what is or would be written."""
    console = plain_console()
    for one in fed:
        console.print(Text(str(one.path), style="bold"))
        console.print(_table(one))
        for note in one.notes:
            console.print(Text(note))
        if written:
            console.print(Text("written" if one.after != one.before else "was so already"))
        else:
            for line in _changes(one):
                console.print(Text(line, style={"+": "green", "-": "red"}.get(line[:1], "dim")))
        console.print()
    console.print(
        Text(
            "return: mean final return over the tuning seeds; ties go to the higher mean of all "
            "evaluations. before: what the sweep had.",
            style="dim",
        )
    )
    if not written:
        console.print(Text("Nothing was written: --write does.", style="bold"))


def _table(fed: Fed) -> Table:
    table = plain_table(HEADS, NUMBERS)
    for (env, agent), pick in fed.picks.items():
        lost = f", {pick.lost} lost" if pick.lost else ""
        second = pick.second
        table.add_row(
            env,
            agent,
            f"{pick.trials}{lost}",
            _settings(pick.best.settings),
            f"{mean(pick.best):.5g}",
            _settings(second.settings) if second else "-",
            f"{mean(second):.5g}" if second else "-",
            _settings(fed.held[env, agent]),
        )
    return table


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in settings.items())


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _changes(fed: Fed) -> Iterator[str]:
    """The lines that change, without difflib's heads of files."""
    before, after = fed.before.splitlines(), fed.after.splitlines()
    yield from list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
