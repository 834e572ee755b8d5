"""The films of a results folder: early, middle and final of the best label of each environment.

Films that are there, and whose policies are unchanged, are not made again.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rl_es.errors import UserError
from rl_es.replay import command
from rl_es.replay.command import SIZE
from rl_es.results import replays, tables
from rl_es.results.files import slug
from rl_es.results.replays import ReplayIndex
from rl_es.training.policy_manifest import IDENTITY, PolicyManifest

EPISODE_SEED = 0


def write(folder: Path, say: Callable[[str], None]) -> Path | None:
    """Makes missing films, and removes those whose policies are gone.

    Args:
      folder: the results folder.
      say: is called with what was made, and what could not be.

    Returns:
      `replays/replays.json`, or None where no policies were saved.

    Raises:
      UserError: the folder's cells or manifests cannot be read.
    """
    if not any(folder.glob("policies/*/*.json")):
        return None
    policies, runs = command.all_runs(folder), tables.load_tables(folder)[1]
    before, after, maker = replays.usable_replays(folder), ReplayIndex(), _Maker(folder, say)
    rest = before.replays
    for env in sorted({policy.manifest["env"] for policy in policies}):
        rest = [film for film in rest if film["env"] != env]
        means = command.final_returns(runs, env)
        label = str(means.index[0]) if len(means) else None
        stages = command.shown_runs(policies, env, label) if label else {}
        reusable = _reusable_replays(folder, before, stages)
        try:
            after.replays += reusable or maker.make(label, stages)
        except Exception as error:  # whatever goes wrong in drawing, the other films are made
            user = isinstance(error, UserError)
            reason = str(error) if user else f"{type(error).__name__}: {error}"
            after.missing.append({"env": env, "label": label, "reason": reason})
            say(f"no replay of {env}: {reason}")
        if not reusable:  # so that what was made is known even if the next one is interrupted
            replays.write_replays(folder, ReplayIndex(after.replays + rest, after.missing))
    for name in before.files() - after.files():
        (folder / replays.FOLDER / name).unlink(missing_ok=True)
    return replays.write_replays(folder, after)


def source(policy: PolicyManifest) -> str:
    """A hash of a policy's manifest and weights."""
    content = policy.path.read_bytes() + policy.path.with_suffix(".msgpack").read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _reusable_replays(
    folder: Path, before: ReplayIndex, stages: dict[str, PolicyManifest]
) -> list[dict[str, Any]]:
    """The films of these policies, if all are there; else none, as they share their pace."""
    sources = {
        (policy.manifest["run_id"], stage, source(policy), EPISODE_SEED, *SIZE)
        for stage, policy in stages.items()
    }
    replays_before = before.of(sources)
    files_exist = all((folder / replays.FOLDER / name).is_file() for name in replays_before.files())
    return replays_before.replays if files_exist and replays_before.sources() == sources else []


class _Maker:
    """Makes films; what is compiled for one environment and network serves all its policies."""

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self._folder, self._say = folder, say
        self._loader: Any = None

    def make(self, label: str | None, stages: dict[str, PolicyManifest]) -> list[dict[str, Any]]:
        """Writes the films of one environment, and returns their entries.

        Raises:
          UserError: there is nothing to film, or it cannot be drawn or written here.
        """
        if label is None:
            raise UserError("no run is finished")
        if not stages:
            raise UserError(f"no policy of {label} is saved")
        from rl_es.replay.films import check_encoder

        check_encoder()
        from rl_es.replay.films import make_films
        from rl_es.training.compilation import prepare_jax
        from rl_es.training.policies import PolicyLoader

        if self._loader is None:
            prepare_jax()
            self._loader = PolicyLoader()
        first = next(iter(stages.values())).manifest
        began = time.monotonic()
        with ExitStack() as stack:
            films = make_films(self._loader, stages, SIZE, EPISODE_SEED, stack)
            replays_made = [self._film(film) for film in films]
        seconds = time.monotonic() - began
        self._say(f"filmed {first['env']} ({first['label']}) in {seconds:.1f} s")
        return replays_made

    def _film(self, film: Any) -> dict[str, Any]:
        from rl_es.replay.films import write_mp4, write_png

        manifest, (width, height) = film.policy.manifest, film.painter.size
        identity = {name: manifest[name] for name in IDENTITY}
        name = "-".join(
            [slug(manifest["env"]), slug(manifest["label"]), manifest["run_id"], film.stage]
        )
        folder, pace = self._folder / replays.FOLDER, film.pace
        frames = list(film.frames())
        write_mp4(folder / f"{name}.mp4", frames, film.painter.size, pace.frames_per_second)
        write_png(folder / f"{name}.png", frames[len(frames) // 2])
        return {
            **identity,
            "stage": film.stage,
            "env_steps": manifest.get("env_steps"),
            "episode_seed": EPISODE_SEED,
            "return": tables.finite(film.total),
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
