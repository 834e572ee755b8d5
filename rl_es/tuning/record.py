"""`trials.json`: which trials a guided search ran, in order, since no sweep file says it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rl_es import json_files
from rl_es.json_files import Stated

NAME = "trials.json"
WHAT = "list of trials"


@dataclass(frozen=True)
class Ran:
    """A trial that was run: the labels of environment, agent entry and runs, and its settings."""

    env: str
    agent: str
    label: str
    settings: Mapping[str, Any]


class _Ran(Stated):
    env: str
    agent: str
    label: str
    settings: dict[str, Any]


class _Content(Stated):
    trials: list[_Ran]


def write(folder: Path, trials: Sequence[Ran]) -> None:
    """Writes the trials so far."""
    content = {"search": "tpe", "trials": [asdict(trial) for trial in trials]}
    json_files.write(folder / NAME, content)


def read(folder: Path) -> list[Ran] | None:
    """The trials of a folder, in order; None where it is of no guided search.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    found, _ = json_files.read_as(path, _Content, WHAT)
    return [Ran(one.env, one.agent, one.label, one.settings) for one in found.trials]
