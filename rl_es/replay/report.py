"""The replays of a results folder: early, middle and final of the best label of each environment.

A replay is a film, or a text where policies write. Those that are there, and whose policies are
unchanged, are not made again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_es import registry
from rl_es.errors import UserError
from rl_es.replay import command, text_samples
from rl_es.replay.command import SIZE, Stages
from rl_es.results import replays, tables
from rl_es.results.files import slug
from rl_es.results.replays import ReplayIndex
from rl_es.training.policy_manifest import IDENTITY, PolicyManifest

if TYPE_CHECKING:
    from rl_es.replay.films import Film
    from rl_es.training.policies import PolicyLoader

EPISODE_SEEDS = range(4)  # of which the films of a run have the first that shows learning


def write(folder: Path, say: Callable[[str], None]) -> Path | None:
    """Makes missing films and texts, and removes those whose policies are gone.

    Args:
      folder: the results folder.
      say: receives messages on those that were made, and on those that could not be.

    Returns:
      `replays/replays.json`, or None where no policies were saved.

    Raises:
      UserError: the folder's cells or manifests cannot be read.
    """
    if not any(folder.glob("policies/*/*.json")):
        return None
    policies, runs = command.all_policies(folder), tables.load_tables(folder)[1]
    before, after, loader = replays.usable_replays(folder), ReplayIndex(), cache(_make_loader)
    rest, rest_texts = before.replays, before.texts
    for env in sorted({policy.manifest["env"] for policy in policies}):
        rest = [film for film in rest if film["env"] != env]
        rest_texts = [text for text in rest_texts if text["env"] != env]
        means = command.final_returns(runs, env)
        label = str(means.index[0]) if len(means) else None
        stages = command.best_covered_run(policies, env, label)
        try:
            is_text = _are_of_text(stages)
            if reusable := _reusable_replays(folder, before, stages, is_text):
                (after.texts if is_text else after.replays).extend(reusable)
                continue
            if label is None:
                raise UserError("no run is finished")
            if not stages:
                raise UserError(f"no policy of {label} is saved")
            began = time.monotonic()
            if is_text:
                after.texts += _make_texts(stages, loader)
            else:
                after.replays += _make_replays(folder, stages, loader)
            verb = "sampled text of" if is_text else "filmed"
            say(f"{verb} {env} ({label}) in {time.monotonic() - began:.1f} s")
        except Exception as error:  # whatever goes wrong in drawing, the other films are made
            user = isinstance(error, UserError)
            reason = str(error) if user else f"{type(error).__name__}: {error}"
            after.missing.append({"env": env, "label": label, "reason": reason})
            say(f"no replay of {env}: {reason}")
        # The replays of this environment stay even if the next one is interrupted.
        index = ReplayIndex(after.replays + rest, after.texts + rest_texts, after.missing)
        replays.write_replays(folder, index)
    for name in before.files() - after.files():
        (folder / replays.FOLDER / name).unlink(missing_ok=True)
    return replays.write_replays(folder, after)


def hash_policy(policy: PolicyManifest) -> str:
    """Returns a hash of a policy's manifest and weights."""
    content = policy.path.read_bytes() + policy.path.with_suffix(".msgpack").read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _are_of_text(stages: Stages) -> bool:
    """Returns whether the replays of these policies are texts."""
    return any(registry.replays_as_text(policy.environment) for policy in stages.values())


def _reusable_replays(
    folder: Path, index: ReplayIndex, stages: Stages, is_text: bool
) -> list[dict[str, Any]]:
    """Returns the replays of these policies if all are there, else none: films share their pace."""
    hashes = {stage: hash_policy(policy) for stage, policy in stages.items()}
    if is_text:
        sources = {
            replays.source_of(
                {
                    "text": "",
                    "run_id": policy.manifest["run_id"],
                    "stage": stage,
                    "source": hashes[stage],
                    "episode_seed": EPISODE_SEEDS[0],
                    **text_samples.sample_form(policy.environment),
                }
            )
            for stage, policy in stages.items()
        }
        texts = [text for text in index.texts if replays.source_of(text) in sources]
        return texts if set(map(replays.source_of, texts)) == sources else []
    for seed in EPISODE_SEEDS:
        sources = {
            (policy.manifest["run_id"], stage, hashes[stage], seed, *SIZE)
            for stage, policy in stages.items()
        }
        films = ReplayIndex([film for film in index.replays if replays.source_of(film) in sources])
        are_complete = set(map(replays.source_of, films.replays)) == sources
        are_files = all((folder / replays.FOLDER / name).is_file() for name in films.files())
        if are_complete and are_files:
            return films.replays
    return []


def _make_loader() -> PolicyLoader:
    """Returns a loader; what it compiles for one environment and network serves all policies."""
    from rl_es.training.compilation import prepare_jax
    from rl_es.training.policies import PolicyLoader

    prepare_jax()
    return PolicyLoader()


def _make_replays(
    folder: Path, stages: Stages, loader: Callable[[], PolicyLoader]
) -> list[dict[str, Any]]:
    """Writes the films of one run, and returns their entries; refuses what cannot be drawn."""
    from rl_es.replay.films import check_encoder, make_films

    check_encoder()
    with ExitStack() as stack:
        films = make_films(loader(), stages, SIZE, EPISODE_SEEDS, stack)
        return [_write_replay(folder, film) for film in films]


def _make_texts(stages: Stages, loader: Callable[[], PolicyLoader]) -> list[dict[str, Any]]:
    """Samples a text of each policy of one run, and returns their entries."""
    samples = text_samples.sample_texts(loader(), stages, EPISODE_SEEDS[0])
    return [sample.entry(hash_policy(sample.policy)) for sample in samples]


def _write_replay(folder: Path, film: Film) -> dict[str, Any]:
    """Writes the files of one film, and returns its entry."""
    from rl_es.replay.films import write_mp4, write_png

    manifest, (width, height), pace = film.policy.manifest, film.painter.size, film.pace
    identity = {name: manifest[name] for name in IDENTITY}
    name = f"{slug(manifest['env'])}-{slug(manifest['label'])}-{manifest['run_id']}-{film.stage}"
    place, frames = folder / replays.FOLDER, list(film.frames())
    write_mp4(place / f"{name}.mp4", frames, (width, height), pace.frames_per_second)
    write_png(place / f"{name}.png", frames[len(frames) // 2])
    return {
        **identity,
        "stage": film.stage,
        "env_steps": manifest.get("env_steps"),
        "episode_seed": film.episode_seed,
        "return": tables.finite(film.total),
        "steps": film.steps,
        "terminated": film.episode.terminated,
        "frames_per_second": pace.frames_per_second,
        "speed": pace.speed,
        "width": width,
        "height": height,
        "video": f"{name}.mp4",
        "poster": f"{name}.png",
        "source": hash_policy(film.policy),
    }
