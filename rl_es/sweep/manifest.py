"""`manifest.json`: what a results folder holds, and where and when each start of it ran."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rl_es.errors import UserError
from rl_es.files import write_text
from rl_es.sweep import provenance

KINDS = ("sweep", "benchmark", "gradients")


def write(
    folder: Path, kind: str, stated: Mapping[str, Any], start: Mapping[str, Any], **more: Any
) -> None:
    """Writes the manifest, or adds this start to the one that is there.

    Args:
      folder: the results folder.
      kind: one of `KINDS`: the key that the content stands under.
      stated: the content of the file that is run; it has a `name`.
      start: what to note of this start, besides its time, versions, revision and machine.
      more: further content, as JSON.

    Raises:
      UserError: the folder holds other results.
    """
    path = folder / "manifest.json"
    starts: list[dict[str, Any]] = []
    if path.exists():
        try:
            before = json.loads(path.read_text())
            starts = [*before["starts"]]
            held = next(kind for kind in KINDS if kind in before)
            name = before[held]["name"]
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise UserError(f"{path}: not a readable manifest ({error})") from None
        if (held, name) != (kind, stated["name"]):
            raise UserError(
                f"{folder}: holds the results of {held} '{name}', not "
                f"{'' if held == kind else f'{kind} '}'{stated['name']}'; "
                "choose another folder with --out"
            )
    starts.append(
        {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": provenance.versions(),
            "git_revision": provenance.revision(),
            "device": provenance.device(),
            "machine": provenance.machine(),
            "processor": provenance.processor(),
            **start,
        }
    )
    content = {kind: dict(stated), "starts": starts, **more}
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
