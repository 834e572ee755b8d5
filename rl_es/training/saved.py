"""Which policies a results folder holds, by their manifests. Nothing here loads jax."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_es.errors import UserError, did_you_mean

STAGES = ("early", "middle", "final")
IDENTITY = ("env", "agent", "label", "seed", "run_id")


@dataclass(frozen=True)
class Saved:
    """A policy's manifest and where it is.

    Attributes:
      path: `policies/<run_id>/<stage>.json`, the weights beside it.
      manifest: its content; it has `IDENTITY` and the name of its environment.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What it was trained on, by what, and with which seed."""
        return "{env} / {label} / seed {seed}".format(**self.manifest)

    @property
    def environment(self) -> str:
        """Its environment's name in the registry."""
        return self.manifest["environment"]["name"]


def read(path: Path) -> Saved:
    """Reads a manifest.

    Raises:
      UserError: there is none, or it is damaged.
    """
    try:
        manifest = json.loads(path.read_text())
        found = Saved(path, manifest)
        missing = [name for name in IDENTITY if name not in manifest]
        if missing or not isinstance(found.environment, str):
            raise ValueError(f"it lacks {', '.join(missing) or 'an environment'}")
        return found
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> UserError:
    """What is said of a manifest that nothing can be made of."""
    return UserError(f"{path}: not a readable policy manifest ({error})")


def saved(folder: Path, stage: str) -> list[Saved]:
    """Every policy of a stage, by environment, label and seed.

    Raises:
      UserError: there is no such stage, or a damaged manifest.
    """
    if stage not in STAGES:
        raise UserError(f"unknown stage '{stage}'{did_you_mean(stage, STAGES)}")
    found = [read(path) for path in sorted(folder.glob(f"policies/*/{stage}.json"))]
    return sorted(found, key=lambda one: [one.manifest[name] for name in ("env", "label", "seed")])


def chosen(
    folder: Path, stage: str, env: str | None = None, label: str | None = None
) -> list[Saved]:
    """The policies of a stage, of one environment or of all, of one label or of all.

    Raises:
      UserError: there is none; says what there is.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = saved(folder, stage)
    if not found:
        raise UserError(f"{folder}: no {stage} policies here (no policies/*/{stage}.json)")
    for key, what, wanted in (("env", "environment", env), ("label", "label", label)):
        if wanted is not None:
            there = {one.manifest[key] for one in found}
            found = [one for one in found if one.manifest[key] == wanted]
            if not found:
                hint = did_you_mean(wanted, there)
                raise UserError(f"{folder}: no {stage} policy of {what} '{wanted}'{hint}")
    return found
