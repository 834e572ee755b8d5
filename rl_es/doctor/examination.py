"""All checks in order, as a table or as lines, and what there is to do."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rl_es.doctor import machine, packages, training
from rl_es.doctor.finding import FAIL, OK, WARN, Check, Finding, examined

COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}
WELL = "all well"


def checks(out: Path) -> dict[str, Check]:
    """The checks by name; `out` is where results would go."""
    asked = packages.asked()
    return {
        "python": packages.python,
        "packages": partial(packages.core, asked),
        "tried versions": packages.tried,
        "extras": partial(packages.extras, asked),
        "devices": machine.devices,
        "cores and memory": machine.cores_and_memory,
        "cache": machine.cache,
        "results folder": partial(machine.results, out),
        "training": training.training,
    }


def run(wanted: Mapping[str, Check], console: Console | None = None) -> int:
    """Runs checks and prints what they find; returns 1 where something fails, else 0."""
    console = console or Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    found: list[Finding] = []
    for name, check in wanted.items():
        with console.status(f"looking at {name}"):
            own = list(examined(name, check))
        found += own
        if not console.is_terminal:
            for line in _lines(own):
                console.print(line)
    if console.is_terminal:
        console.print(_table(found))
    console.print(Text(conclusion(found), style="bold"))
    return 1 if any(one.state == FAIL for one in found) else 0


def conclusion(found: Iterable[Finding]) -> str:
    """The last line: that all is well, or what to do, what fails first."""
    amiss = sorted((one for one in found if one.state != OK), key=lambda one: one.state)
    remedies = dict.fromkeys(f"{one.what}: {one.remedy}" for one in amiss)
    return f"to do: {'; '.join(remedies)}" if amiss else WELL


def _lines(found: Iterable[Finding]) -> Iterator[str]:
    for one in found:
        remedy = f" ({one.remedy})" if one.remedy else ""
        yield f"{one.state:<4}  {one.what}: {one.detail}{remedy}"


def _table(found: Iterable[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("what", "", "found", "what to do"):
        table.add_column(head, overflow="fold")
    for one in found:
        state = Text(one.state, style=COLOURS[one.state])
        table.add_row(Text(one.what), state, Text(one.detail), Text(one.remedy))
    return table
