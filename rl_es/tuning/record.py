"""`trials.json`: which trials a guided search ran, in order, since no sweep file says it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rl_es.errors import UserError
from rl_es.files import write_text

NAME = "trials.json"


@dataclass(frozen=True)
class Ran:
    """A trial that was run: the labels of environment, agent entry and runs, and its settings."""

    env: str
    agent: str
    label: str
    settings: Mapping[str, Any]


def write(folder: Path, trials: Sequence[Ran]) -> None:
    """Writes the trials so far."""
    content = {"search": "tpe", "trials": [asdict(trial) for trial in trials]}
    write_text(folder / NAME, json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> list[Ran] | None:
    """The trials of a folder, in order; None where it is of no guided search.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return [Ran(**trial) for trial in json.loads(path.read_text())["trials"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a readable list of trials ({error})") from None
