"""The films of trained policies, as the page shows them: those of one run side by side."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_es.analysis import cells
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.html import media
from rl_es.analysis.markdown import number
from rl_es.errors import UserError

SCHEMA_VERSION = 1
STAGES = ("early", "middle", "final")


@dataclass(frozen=True)
class Film:
    """One episode of one policy."""

    stage: str
    said: str
    video: str
    poster: str
    width: int  # pixels
    height: int


@dataclass(frozen=True)
class Strip:
    """The films of a run, in the order of training."""

    env: str
    label: str
    seed: int
    films: tuple[Film, ...]


@dataclass(frozen=True)
class Replays:
    """What there is in a folder, and what is missing for which reason."""

    folder: Path
    replays: tuple[dict[str, Any], ...] = ()
    missing: tuple[dict[str, Any], ...] = ()

    @property
    def files(self) -> list[Path]:
        """The films and their posters."""
        names = [self._file(replay, kind) for replay in self.replays for kind in _FILES]
        return [path for path in names if path is not None]

    def strips(self, held: Collection[Path]) -> list[Strip]:
        """The films by environment, agent and seed; the page holds some of the files."""
        runs: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for replay in self.replays:
            key = (str(replay["env"]), str(replay["label"]), int(replay["seed"]))
            runs.setdefault(key, []).append(replay)
        order = sorted(runs, key=lambda key: (natural(key[0]), natural(key[1]), key[2]))
        strips = [Strip(*key, tuple(self._films(runs[key], held))) for key in order]
        return [strip for strip in strips if strip.films]

    def _films(self, replays: list[dict[str, Any]], held: Collection[Path]) -> Iterator[Film]:
        for replay in sorted(replays, key=lambda replay: STAGES.index(replay["stage"])):
            video, poster = (self._file(replay, kind) for kind in _FILES)
            if video is not None:
                yield Film(
                    replay["stage"],
                    _said(replay),
                    media.address(video, held),
                    media.address(poster, held) if poster is not None else "",
                    int(replay["width"]),
                    int(replay["height"]),
                )

    def _file(self, replay: dict[str, Any], kind: str) -> Path | None:
        """A file of a film; None where it is not there, or not in this folder."""
        name = replay.get(kind)
        suffix = _FILES[kind]
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(suffix):
            return None
        path = self.folder / name
        return path if path.is_file() else None


_FILES = {"video": ".mp4", "poster": ".png"}


def read(folder: Path) -> Replays:
    """The replays of a results folder, from `replays/replays.json`; none where there is no such.

    Raises:
      UserError: it is damaged, or of another version.
    """
    path = folder / "replays" / "replays.json"
    if not path.exists():
        return Replays(path.parent)
    try:
        content = json.loads(path.read_text())
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {content['schema_version']}, not {SCHEMA_VERSION}")
        found = Replays(path.parent, tuple(content["replays"]), tuple(content["missing"]))
        found.strips(())
        [(entry["env"], entry["label"], entry["reason"]) for entry in found.missing]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a readable list of replays ({error})") from None
    return found


def _said(replay: dict[str, Any]) -> str:
    """'after 532k steps of training: return 500.0 in 500 steps, 2 x real time'."""
    trained = replay.get("env_steps")
    after = f"after {cells.steps(trained).text} steps of training: " if trained else ""
    said = f"{after}return {number(replay['return'])} in {replay['steps']:,} steps"
    speed = replay.get("speed") or 1  # none where steps have no duration
    return said if speed == 1 else f"{said}, {speed:.2g} \N{MULTIPLICATION SIGN} real time"
