"""Small films and texts beside a results folder, as `replay` leaves them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rl_es.replay.films import write_mp4
from rl_es.results import text_files

SIZE, RATE = (64, 48), 10  # pixels; frames a second
SECONDS = {"early": 1.0, "middle": 2.0, "final": 3.0}


def write(
    folder: Path,
    runs: Sequence[tuple[str, str]],
    missing: Sequence[Mapping[str, Any]] = (),
    texts: Sequence[Mapping[str, Any]] = (),
) -> list[Path]:
    """Writes the three films of each (environment, label), and `replays.json`; returns the MP4s."""
    replays = folder / "replays"
    replays.mkdir(exist_ok=True)
    entries, films = [], []
    for place, (env, label) in enumerate(runs):
        for stage, seconds in SECONDS.items():
            name = f"{place}-{stage}"
            films.append(replays / f"{name}.mp4")
            _film(films[-1], round(seconds * RATE))
            Image.new("RGB", SIZE, (0, 114, 178)).save(replays / f"{name}.png")
            entries.append(_entry(env, label, stage, name, round(seconds * RATE)))
    content = {
        "schema_version": 1,
        "replays": entries,
        "texts": list(texts),
        "missing": list(missing),
    }
    text_files.write_json(replays / "replays.json", content)
    return films


def text(env: str, label: str, stage: str, written: str, **changes: Any) -> dict[str, Any]:
    """The entry of a text."""
    run = {"env": env, "agent": label, "label": label, "seed": 0, "run_id": "0", "stage": stage}
    how = {"episode_seed": 0, "tokens": 300, "temperature": 1.0, "return_mean": -4.25}
    return {**run, **how, "text": written, "source": "written", **changes}


def _entry(env: str, label: str, stage: str, name: str, steps: int) -> dict[str, Any]:
    files = {"video": f"{name}.mp4", "poster": f"{name}.png", "source": "drawn"}
    identity = {
        "env": env,
        "agent": label,
        "label": label,
        "seed": 0,
        "run_id": "0",
        "stage": stage,
    }
    size = {"width": SIZE[0], "height": SIZE[1], "frames_per_second": RATE, "speed": 1.0}
    episode = {"episode_seed": 0, "return": 1.5 * steps, "steps": steps, "terminated": True}
    return {**identity, **episode, **size, **files}


def _film(path: Path, frames: int) -> None:
    pictures = np.full((frames, SIZE[1], SIZE[0], 3), 240, np.uint8)
    for place, picture in enumerate(pictures):
        picture[20:28, place : place + 8] = 0
    write_mp4(path, pictures, SIZE, RATE)
