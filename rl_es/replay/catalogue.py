"""`replays/replays.json`: which films a results folder has, and what is missing and why.

Its fields are described in results/README.md.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_es.files import write_text

SCHEMA_VERSION = 1  # raised when films would look otherwise: those of another one are made anew
FILE = "replays.json"
FILES = ("video", "poster")
SOURCE = ("run_id", "stage", "source", "episode_seed", "width", "height")  # what decides a film


@dataclass
class Catalogue:
    """What the file says.

    Attributes:
      replays: a dictionary a film.
      missing: a dictionary an environment that has none.
    """

    replays: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)

    def files(self) -> set[str]:
        """Names of the files of its films."""
        return {film[kind] for film in self.replays for kind in FILES}

    def sources(self) -> set[tuple[Any, ...]]:
        """What its films were made from."""
        return {tuple(film[name] for name in SOURCE) for film in self.replays}

    def of(self, sources: set[tuple[Any, ...]]) -> "Catalogue":
        """Its films that were made from these."""
        found = [film for film in self.replays if tuple(film[n] for n in SOURCE) in sources]
        return Catalogue(found)


def read(folder: Path) -> Catalogue:
    """The catalogue of a results folder; an empty one where there is none of this version."""
    try:
        found = json.loads((folder / "replays" / FILE).read_text())
        if found["schema_version"] != SCHEMA_VERSION:
            return Catalogue()
        whole = all({"env", *FILES, *SOURCE} <= set(film) for film in found["replays"])
        return Catalogue(found["replays"], found["missing"]) if whole else Catalogue()
    except (OSError, ValueError, KeyError, TypeError):
        return Catalogue()


def write(folder: Path, catalogue: Catalogue) -> Path:
    """Writes it; returns the file."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "replays": catalogue.replays,
        "missing": catalogue.missing,
    }
    path = folder / "replays" / FILE
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return path
