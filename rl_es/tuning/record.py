"""`trials.json`: which trials a guided search ran, in order, since no sweep file says it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_es.files import json_files
from rl_es.files.json_files import Stated

NAME = "trials.json"
WHAT = "list of trials"


class Ran(Stated):
    """A trial that was run: the labels of environment, agent entry and runs, and its settings."""

    env: str
    agent: str
    label: str
    settings: dict[str, Any]


class _Content(Stated):
    trials: list[Ran]


def write(folder: Path, trials: Sequence[Ran]) -> None:
    """Writes the trials so far."""
    content = {"search": "tpe", "trials": [trial.model_dump() for trial in trials]}
    json_files.write(folder / NAME, content)


def read(folder: Path) -> list[Ran] | None:
    """The trials of a folder, in order; None where it has no guided search.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    return json_files.read_as(path, _Content, WHAT)[0].trials
