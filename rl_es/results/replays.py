"""`replays/replays.json`: which films a results folder has, and what is missing and why.

Its fields are described in results/README.md. Who makes films writes it, a report reads it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rl_es.errors import UserError
from rl_es.results import text_files
from rl_es.results.files import is_beside
from rl_es.results.text_files import FileModel, read_json_as

SCHEMA_VERSION = 1  # raised when films would look otherwise: those of another one are made anew
FOLDER, FILE = "replays", "replays.json"
FILES = {"video": ".mp4", "poster": ".png"}
SOURCE = ("run_id", "stage", "source", "episode_seed", "width", "height")  # what decides a film


class _Film(FileModel):
    env: str
    label: str
    seed: int
    run_id: str
    stage: Literal["early", "middle", "final"]
    env_steps: int | None = None
    episode_seed: int
    returned: float | None = Field(alias="return")
    steps: int
    speed: Annotated[float, Field(gt=0)] | None
    width: int
    height: int
    video: str | None
    poster: str | None
    source: str


class _Missing(FileModel):
    env: str
    label: str | None
    reason: str


class _ReplaysFile(FileModel):
    schema_version: Literal[1]
    replays: list[_Film]
    missing: list[_Missing]


@dataclass
class ReplayIndex:
    """What the file says.

    Attributes:
      replays: a dictionary per film.
      missing: a dictionary per environment that has none.
    """

    replays: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)

    def files(self) -> set[str]:
        """Names of the files of its films."""
        return {film[kind] for film in self.replays for kind in FILES}

    def sources(self) -> set[tuple[Any, ...]]:
        """What its films were made from."""
        return {tuple(film[name] for name in SOURCE) for film in self.replays}

    def of(self, sources: set[tuple[Any, ...]]) -> "ReplayIndex":
        """Its films that were made from these."""
        found = [film for film in self.replays if tuple(film[n] for n in SOURCE) in sources]
        return ReplayIndex(found)


def read_replays(folder: Path) -> ReplayIndex:
    """The catalogue of a results folder; an empty one where there is none.

    What it names as files may lie anywhere: `usable` leaves such films out.

    Raises:
      UserError: it is damaged, or of another version.
    """
    path = folder / FOLDER / FILE
    if not path.exists():
        return ReplayIndex()
    _, content = read_json_as(path, _ReplaysFile, "list of replays")
    return ReplayIndex(content["replays"], content["missing"])


def usable_replays(folder: Path) -> ReplayIndex:
    """The films of a catalogue whose files lie beside it; none where it cannot be read."""
    try:
        found = read_replays(folder)
    except UserError:
        return ReplayIndex()
    return ReplayIndex([film for film in found.replays if _lies_beside(film)], found.missing)


def _lies_beside(film: dict[str, Any]) -> bool:
    return all(is_beside(film[kind], suffix) for kind, suffix in FILES.items())


def write_replays(folder: Path, catalogue: ReplayIndex) -> Path:
    """Writes it; returns the file."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "replays": catalogue.replays,
        "missing": catalogue.missing,
    }
    path = folder / FOLDER / FILE
    text_files.write_json(path, content)
    return path
