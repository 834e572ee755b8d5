"""`manifest.json`: what a results folder holds, and where and when each start of it ran."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rl_es import versions
from rl_es.errors import DamagedError, UserError
from rl_es.files import json_files
from rl_es.files.json_files import Stated
from rl_es.files.whole import Note, read_whole
from rl_es.manifests import Start
from rl_es.sweep import claims, provenance

NAME = "manifest.json"
KINDS = ("sweep", "benchmark", "gradients")


class _Named(Stated):
    name: str


class _Content(Stated):
    sweep: _Named | None = None
    benchmark: _Named | None = None
    gradients: _Named | None = None
    starts: list[Start]


def read(path: Path) -> tuple[str, str, list[dict[str, Any]]]:
    """The kind, the name and the starts of a manifest.

    Raises:
      DamagedError: it is damaged.
    """
    found, content = json_files.read_as(path, _Content, "manifest")
    held = next((kind for kind in KINDS if getattr(found, kind) is not None), None)
    if held is None:
        raise DamagedError(f"{path}: not a readable manifest (it has none of {', '.join(KINDS)})")
    return held, content[held]["name"], content["starts"]


def write(
    folder: Path,
    kind: str,
    stated: Mapping[str, Any],
    start: Mapping[str, Any],
    note: Note,
    **more: Any,
) -> None:
    """Writes the manifest, or adds this start to the one that is there; a damaged one is set aside.

    Args:
      folder: the results folder.
      kind: one of `KINDS`: the key that the content stands under.
      stated: the content of the file that is run; it has a `name`.
      start: what to note of this start, besides its time, versions, revision and machine.
      note: told of a manifest that is set aside, and of versions that are not those of the last
        start.
      more: further content, as JSON.

    Raises:
      UserError: the folder holds other results.
    """
    this = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": provenance.versions(),
        "git_revision": provenance.revision(),
        "device": provenance.device(),
        "machine": provenance.machine(),
        "processor": provenance.processor(),
        **start,
    }
    path = folder / NAME
    with claims.held(folder, "manifest"):
        own = (kind, stated["name"])
        held, name, starts = read_whole(folder, path, read, note) or (*own, [])
        if (held, name) != own:
            raise UserError(
                f"{folder}: holds the results of {held} '{name}', not "
                f"{'' if held == kind else f'{kind} '}'{stated['name']}'; "
                "choose another folder with --out"
            )
        if starts and (told := versions.changed(starts[-1], this)):
            note(told)
        json_files.write(path, {kind: dict(stated), "starts": [*starts, this], **more})
