"""`replays/replays.json`: the films and texts of a results folder, and why others are missing.

results/README.md describes its fields. `rl_es.replay` writes it, and reports read it.
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
TEXT_SOURCE = ("run_id", "stage", "source", "episode_seed", "tokens", "temperature", "episodes")


class _Replay(FileModel):
    env: str
    label: str
    seed: int
    run_id: str
    stage: Literal["early", "middle", "final"]
    env_steps: int | None = None
    episode_seed: int
    source: str


class _Film(_Replay):
    return_: float | None = Field(alias="return")
    steps: int
    speed: Annotated[float, Field(gt=0)] | None
    width: int
    height: int
    video: str | None
    poster: str | None


class _Text(_Replay):
    return_mean: float | None
    tokens: int | None = None
    temperature: float | None = None
    episodes: int | None = None
    text: str


class _Missing(FileModel):
    env: str
    label: str | None
    reason: str


class _ReplaysFile(FileModel):
    schema_version: Literal[1]
    replays: list[_Film]
    texts: list[_Text] = Field(default_factory=list)
    missing: list[_Missing]


@dataclass
class ReplayIndex:
    """The content of `replays.json`.

    Attributes:
      replays: One mapping per film.
      texts: One mapping per text that a policy wrote.
      missing: One mapping per environment without either, with the reason.
    """

    replays: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)

    def files(self) -> set[str]:
        """Returns the names of the films' files."""
        return {film[kind] for film in self.replays for kind in FILES}


def source_of(replay: dict[str, Any]) -> tuple[Any, ...]:
    """Returns what decides a film, the values of `SOURCE`, or a text, those of `TEXT_SOURCE`."""
    return tuple(replay.get(name) for name in (TEXT_SOURCE if "text" in replay else SOURCE))


def read_replays(folder: Path) -> ReplayIndex:
    """Reads the index of a results folder; returns an empty one where there is none.

    The names of files are unchecked: `usable_replays` leaves out those that lead elsewhere.

    Raises:
      UserError: it is damaged, or of another version.
    """
    path = folder / FOLDER / FILE
    if not path.exists():
        return ReplayIndex()
    _, content = read_json_as(path, _ReplaysFile, "list of replays")
    return ReplayIndex(content["replays"], content.get("texts", []), content["missing"])


def usable_replays(folder: Path) -> ReplayIndex:
    """Returns the films whose files lie beside the index; none where it cannot be read."""
    try:
        index = read_replays(folder)
    except UserError:
        return ReplayIndex()
    films = [
        film
        for film in index.replays
        if all(is_beside(film[kind], suffix) for kind, suffix in FILES.items())
    ]
    return ReplayIndex(films, index.texts, index.missing)


def write_replays(folder: Path, index: ReplayIndex) -> Path:
    """Writes the index of a results folder, and returns its path."""
    path = folder / FOLDER / FILE
    text_files.write_json(path, {"schema_version": SCHEMA_VERSION, **vars(index)})
    return path
