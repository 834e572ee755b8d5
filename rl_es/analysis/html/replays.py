"""The films of trained policies for the page: those of one run stand side by side."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_es import filmed
from rl_es.analysis import cells
from rl_es.analysis.digits import number
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.html import media
from rl_es.files.naming import beside
from rl_es.filmed import FILES

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
    """The films of a folder, and which are missing, with the reason."""

    folder: Path
    replays: tuple[dict[str, Any], ...] = ()
    missing: tuple[dict[str, Any], ...] = ()

    @property
    def files(self) -> list[Path]:
        """The films and their posters."""
        paths = [self._file(replay, kind) for replay in self.replays for kind in FILES]
        return [path for path in paths if path is not None]

    def strips(self, held: Collection[Path]) -> list[Strip]:
        """The films by environment, label and seed; the files in `held` are in the page."""
        runs: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for replay in self.replays:
            key = (str(replay["env"]), str(replay["label"]), int(replay["seed"]))
            runs.setdefault(key, []).append(replay)
        order = sorted(runs, key=lambda key: (natural(key[0]), natural(key[1]), key[2]))
        strips = [Strip(*key, tuple(self._films(runs[key], held))) for key in order]
        return [strip for strip in strips if strip.films]

    def _films(self, replays: list[dict[str, Any]], held: Collection[Path]) -> Iterator[Film]:
        for replay in sorted(replays, key=lambda replay: STAGES.index(replay["stage"])):
            video, poster = (self._file(replay, kind) for kind in FILES)
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
        """A file of a film; None if it does not exist, or is not in this folder."""
        return beside(self.folder, replay[kind], FILES[kind])


def read(folder: Path) -> Replays:
    """The replays of a results folder; none where it has no list of them.

    Raises:
      UserError: the list is damaged, or of another version.
    """
    found = filmed.read(folder)
    return Replays(folder / filmed.FOLDER, tuple(found.replays), tuple(found.missing))


def _said(replay: dict[str, Any]) -> str:
    """'after 532k steps of training: return 500.0 in 500 steps, 2 x real time'."""
    trained = replay.get("env_steps")
    after = f"after {cells.steps(trained).text} steps of training: " if trained else ""
    said = f"{after}return {number(replay['return'])} in {replay['steps']:,} steps"
    speed = replay.get("speed") or 1  # no speed is known where steps have no duration
    return said if speed == 1 else f"{said}, {speed:.2g} \N{MULTIPLICATION SIGN} real time"
