"""The films of a results folder: early, middle and final of the best label of each environment.

`replays/replays.json` says which there are, and what is missing and why; its fields are described
in results/README.md. What is there and unchanged is not made again.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_es import tables
from rl_es.errors import UserError
from rl_es.files import write_text
from rl_es.replay import choosing
from rl_es.replay.command import SIZE, slug
from rl_es.training.saved import Saved

SCHEMA_VERSION = 1  # raised when films would look otherwise: those of another one are made anew
EPISODE_SEED = 0
FILE = "replays.json"


@dataclass
class Catalogue:
    """What `replays.json` says.

    Attributes:
      replays: a dictionary a film.
      missing: a dictionary an environment that has none.
    """

    replays: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)

    def files(self) -> set[str]:
        """Names of the files of its films."""
        return {film[kind] for film in self.replays for kind in ("video", "poster")}


def read(folder: Path) -> Catalogue:
    """The catalogue of a results folder; an empty one where there is none of this version."""
    try:
        found = json.loads((folder / "replays" / FILE).read_text())
        if found["schema_version"] != SCHEMA_VERSION:
            return Catalogue()
        return Catalogue(found["replays"], found["missing"])
    except (OSError, ValueError, KeyError, TypeError):
        return Catalogue()


def write(folder: Path, say: Callable[[str], None]) -> Path | None:
    """Makes the films that are not there, and removes those whose policies are gone.

    Args:
      folder: the results folder.
      say: told what is made, and what cannot be.

    Returns:
      `replays/replays.json`, or None where no policies were saved.

    Raises:
      UserError: the folder's cells or manifests cannot be read.
    """
    if not any(folder.glob("policies/*/*.json")):
        return None
    before, after = read(folder), Catalogue()
    policies, runs = choosing.by_stage(folder), tables.load(folder)[1]
    maker = _Maker(folder, say)
    for env in sorted({one.manifest["env"] for one in policies}):
        means = choosing.final_returns(runs, env)
        label = str(means.index[0]) if len(means) else None
        try:
            if label is None:
                raise UserError("no run is finished")
            stages = choosing.shown(policies, env, label)
            if not stages:
                raise UserError(f"no policy of {label} is saved")
            after.replays += _kept(folder, before, stages) or maker.make(stages)
        except UserError as error:
            reason = str(error)
        except Exception as error:  # whatever drawing does, the others are made
            reason = f"{type(error).__name__}: {error}"
        else:
            continue
        after.missing.append({"env": env, "label": label, "reason": reason})
        say(f"no replay of {env}: {reason}")
    _write(folder, after)
    for name in before.files() - after.files():
        if Path(name).name == name:
            (folder / "replays" / name).unlink(missing_ok=True)
    return folder / "replays" / FILE


def _write(folder: Path, catalogue: Catalogue) -> None:
    content = {
        "schema_version": SCHEMA_VERSION,
        "replays": catalogue.replays,
        "missing": catalogue.missing,
    }
    write_text(folder / "replays" / FILE, json.dumps(content, indent=2) + "\n")


def source(policy: Saved) -> str:
    """A hash of a policy's manifest and weights."""
    both = policy.path.read_bytes() + policy.path.with_suffix(".msgpack").read_bytes()
    return hashlib.sha256(both).hexdigest()[:16]


def _kept(folder: Path, before: Catalogue, stages: dict[str, Saved]) -> list[dict[str, Any]]:
    """The films of these policies, if all of them are there: the longest sets the pace."""
    wanted = {
        (one.manifest["run_id"], stage, source(one), EPISODE_SEED, *SIZE)
        for stage, one in stages.items()
    }
    keys = ("run_id", "stage", "source", "episode_seed", "width", "height")
    found = [film for film in before.replays if tuple(film[key] for key in keys) in wanted]
    files = Catalogue(found).files()
    there = all((folder / "replays" / name).is_file() for name in files)
    return found if there and len(found) == len(wanted) else []


class _Maker:
    """Makes films; what is compiled for one environment and network serves all its policies."""

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self._folder, self._say = folder, say
        self._loader: Any = None

    def make(self, stages: dict[str, Saved]) -> list[dict[str, Any]]:
        """The entries of the films of one environment, which are written before."""
        from rl_es.replay.encoding import check_encoder

        check_encoder()
        from rl_es.replay.films import films
        from rl_es.training.platform import prepare
        from rl_es.training.policies import Loader

        if self._loader is None:
            prepare()
            self._loader = Loader()
        first = next(iter(stages.values())).manifest
        began = time.monotonic()
        with ExitStack() as kept:
            shown = films(self._loader, stages, SIZE, EPISODE_SEED, kept)
            made = [self._film(film) for film in shown]
        seconds = time.monotonic() - began
        self._say(f"filmed {first['env']} ({first['label']}) in {seconds:.1f} s")
        return made

    def _film(self, film: Any) -> dict[str, Any]:
        from rl_es.replay.encoding import write_mp4, write_png

        manifest, (width, height) = film.policy.manifest, film.painter.size
        identity = {key: manifest[key] for key in ("env", "agent", "label", "seed", "run_id")}
        name = "-".join(
            [slug(manifest["env"]), slug(manifest["label"]), manifest["run_id"], film.stage]
        )
        folder, pace = self._folder / "replays", film.pace
        frames = list(film.frames())
        write_mp4(folder / f"{name}.mp4", frames, film.painter.size, pace.frames_per_second)
        write_png(folder / f"{name}.png", frames[len(frames) // 2])
        return {
            **identity,
            "stage": film.stage,
            "episode_seed": EPISODE_SEED,
            "return": film.total,
            "steps": film.steps,
            "terminated": film.episode.terminated,
            "frames_per_second": pace.frames_per_second,
            "speed": pace.speed,
            "width": width,
            "height": height,
            "video": f"{name}.mp4",
            "poster": f"{name}.png",
            "source": source(film.policy),
        }
