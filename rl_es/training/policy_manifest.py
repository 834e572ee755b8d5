"""Which policies a results folder holds, by their manifests. Nothing here loads jax."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rl_es.errors import UserError, did_you_mean
from rl_es.results import text_files
from rl_es.results.files import folder_of_results
from rl_es.results.text_files import FileModel, Key, read_json_as
from rl_es.rollout.config import PolicyConfig, WrapperConfig

STAGES = ("early", "middle", "final")
IDENTITY = ("env", "agent", "label", "seed", "run_id")
WHAT = "policy manifest"


class EnvironmentRecord(FileModel):
    """An environment, as it was trained on."""

    name: str
    options: dict[str, Any]
    wrappers: WrapperConfig


class PolicyManifestFile(FileModel):
    """What is needed to build a policy again, and `IDENTITY`."""

    env: str
    agent: str
    label: str
    seed: Annotated[int, Field(ge=0)]
    run_id: Key
    environment: EnvironmentRecord
    policy: PolicyConfig
    env_steps: int | None = None


@dataclass(frozen=True)
class PolicyManifest:
    """A policy's manifest and where it is.

    Attributes:
      path: `policies/<run_id>/<stage>.json`, the weights beside it.
      stated: what it says.
      manifest: its whole content.
    """

    path: Path
    stated: PolicyManifestFile
    manifest: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What it was trained on, by what, and with which seed."""
        return "{env} / {label} / seed {seed}".format(**self.manifest)

    @property
    def environment(self) -> str:
        """Its environment's name in the registry."""
        return self.stated.environment.name


def read_policy_manifest(path: Path) -> PolicyManifest:
    """Reads a manifest.

    Raises:
      UserError: there is none, or it is damaged.
    """
    return PolicyManifest(path, *read_json_as(path, PolicyManifestFile, WHAT))


def unreadable(path: Path, error: Exception) -> UserError:
    """What is said of a manifest that nothing can be made of."""
    return text_files.unreadable(path, WHAT, error)


def list_policies(folder: Path, stage: str) -> list[PolicyManifest]:
    """Every policy of a stage, by environment, label and seed.

    Raises:
      UserError: there is no such stage, or a damaged manifest.
    """
    if stage not in STAGES:
        raise UserError(f"unknown stage '{stage}'{did_you_mean(stage, STAGES)}")
    found = [read_policy_manifest(path) for path in sorted(folder.glob(f"policies/*/{stage}.json"))]
    return sorted(found, key=lambda one: [one.manifest[name] for name in ("env", "label", "seed")])


def select_policies(
    folder: Path, stage: str, env: str | None = None, label: str | None = None
) -> list[PolicyManifest]:
    """The policies of a stage, of one environment or of all, of one label or of all.

    Raises:
      UserError: there is none; says what there is.
    """
    found = list_policies(folder_of_results(folder), stage)
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
