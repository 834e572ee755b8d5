"""Reads the manifests of the policies that a results folder holds. Loads no jax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rl_es.errors import UserError, did_you_mean
from rl_es.results.files import folder_of_results
from rl_es.results.text_files import FileModel, Key, read_json_as
from rl_es.rollout.config import PolicyConfig, WrapperConfig

STAGES = ("early", "middle", "final")
IDENTITY = ("env", "agent", "label", "seed", "run_id")
MANIFEST_KIND = "policy manifest"


class EnvironmentRecord(FileModel):
    """The environment of training."""

    name: str
    options: dict[str, Any]
    wrappers: WrapperConfig
    data: str | None = None  # digest of data that the options do not determine


class PolicyManifestFile(FileModel):
    """The keys of a manifest that are read: what builds the policy again, and `IDENTITY`."""

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
    """A policy's manifest and its path.

    Attributes:
      path: `policies/<run_id>/<stage>.json`, with the weights beside it.
      content: the keys that are read, validated.
      manifest: all keys.
    """

    path: Path
    content: PolicyManifestFile
    manifest: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Environment, label and seed, for people."""
        return "{env} / {label} / seed {seed}".format(**self.manifest)

    @property
    def environment(self) -> str:
        """The environment's name in the registry."""
        return self.content.environment.name


def read_policy_manifest(path: Path) -> PolicyManifest:
    """Reads a manifest.

    Raises:
      UserError: there is none, or it is damaged.
    """
    return PolicyManifest(path, *read_json_as(path, PolicyManifestFile, MANIFEST_KIND))


def list_policies(folder: Path, stage: str) -> list[PolicyManifest]:
    """Lists the policies of a stage in a folder, sorted by environment, label and seed.

    Raises:
      UserError: there is no such stage, or a manifest is damaged.
    """
    if stage not in STAGES:
        raise UserError(f"unknown stage '{stage}'{did_you_mean(stage, STAGES)}")
    paths = sorted(folder.glob(f"policies/*/{stage}.json"))
    return sorted(
        map(read_policy_manifest, paths),
        key=lambda policy: [policy.manifest[name] for name in ("env", "label", "seed")],
    )


def select_policies(
    folder: Path, stage: str, env: str | None = None, label: str | None = None
) -> list[PolicyManifest]:
    """Lists the policies of a stage, of one environment or of all, of one label or of all.

    Raises:
      UserError: there is none; the message names those there are.
    """
    policies = list_policies(folder_of_results(folder), stage)
    if not policies:
        raise UserError(f"{folder}: no {stage} policies here (no policies/*/{stage}.json)")
    for key, value in (("env", env), ("label", label)):
        if value is not None:
            policies = filter_policies(policies, key, value, f"{folder}: no {stage} policy")
    return policies


def filter_policies(
    policies: Sequence[PolicyManifest], key: str, value: str, message: str
) -> list[PolicyManifest]:
    """Returns the policies whose manifest has this value.

    Args:
      policies: to filter.
      key: `env`, `label` or `agent`.
      value: of the key.
      message: beginning of the error message.

    Raises:
      UserError: there is none; the message names the nearest value.
    """
    matching = [policy for policy in policies if policy.manifest[key] == value]
    if not matching:
        kind = "environment" if key == "env" else key
        hint = did_you_mean(value, {policy.manifest[key] for policy in policies})
        raise UserError(f"{message} of {kind} '{value}'{hint}")
    return matching
