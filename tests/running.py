"""Sweeps from YAML text, runs of them without output, and comparisons of what they wrote."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es.results import tables
from rl_es.sweep import execution
from rl_es.sweep.cells import ALL_GROUPS, Shard
from rl_es.sweep.execution import ExecutorFactory
from rl_es.sweep.loading import override, validate_sweep
from rl_es.sweep.schema import Sweep
from rl_es.sweep.yaml_reader import parse_yaml
from rl_es.training.resources import Resources

ROUNDING = {"rtol": 1e-4, "atol": 1e-5}


class Said:
    """A `Progress` that keeps what it is told, and passes reports on to the given functions."""

    def __init__(self, **calls: Callable[..., None]):
        """`calls` are functions by the name of the report that they are called with."""
        self.said: list[tuple[Any, ...]] = []
        self._calls = calls

    @property
    def notes(self) -> list[str]:
        """The texts of the notes."""
        return [words[0] for event, *words in self.said if event == "note"]

    @property
    def counts(self) -> Counter[str]:
        """How many reports there were of each kind."""
        return Counter(event for event, *_ in self.said)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def told(*report: Any) -> None:
            self.said.append((name, *report))
            if name in self._calls:
                self._calls[name](*report)

        return told


def sweep_of(text: str, *assignments: str) -> Sweep:
    """The sweep of a YAML text, with `PATH=VALUE` overrides."""
    document = parse_yaml(text, "sweep.yaml")
    override(document, assignments)
    return validate_sweep(document)


def ran(
    folder: Path,
    sweep: Sweep,
    said: Said | None = None,
    code: int = 0,
    retry_failed: bool = False,
    shard: Shard = ALL_GROUPS,
    make_executor: ExecutorFactory | None = None,
    **resources: Any,
) -> Path:
    """Runs a sweep, with one lane unless `resources` say otherwise; returns its folder.

    `code` is what the run has to return, the rest is as `execution.run` has it.
    """
    asked = Resources(**{"lanes": 1, **resources})
    told = said or Said()
    ended = execution.run_sweep(sweep, folder, told, asked, retry_failed, shard, make_executor)
    assert ended == code
    return folder


def single_device() -> dict[str, str]:
    """Returns the environment variables of a process that sees one device and compiles as here."""
    flags = os.environ["XLA_FLAGS"].split()
    return {**os.environ, "XLA_FLAGS": " ".join(f for f in flags if "device_count" not in f)}


def same(one: Path, *others: Path, but: Collection[str] = (), **allowed: float) -> None:
    """The tables of one folder are those of others together, apart from times and `but`.

    They are equal bit for bit, unless tolerances (`rtol`, `atol`) are allowed.
    """
    apart = {*tables.TIMING, *but}
    for both in zip(tables.load_tables(one), tables.load_tables(*others), strict=True):
        left, right = (table[[name for name in table if name not in apart]] for table in both)
        pd.testing.assert_frame_equal(left, right, check_exact=not allowed, **allowed)


def alike(one: Path, *others: Path, but: Collection[str] = ()) -> None:
    """The same to rounding: XLA may have summed in another order."""
    same(one, *others, but=but, **ROUNDING)


def difference(one: Path, other: Path, **allowed: float) -> Iterator[str]:
    """What `same` finds to differ, on one line; nothing where they are the same."""
    try:
        same(one, other, **allowed)
    except AssertionError as error:
        yield " ".join(str(error).split())[:200]


def times(folder: Path) -> dict[str, int]:
    """When each cell was last written, by file name."""
    return {path.name: path.stat().st_mtime_ns for path in tables.cell_paths(folder)}
