"""Trained policies on disk: weights as msgpack, and a JSON manifest that says what they are.

In Python `rl_es.load_policy`, and `policy` of what `rl_es.load` gives, lead here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_es.errors import UserError, did_you_mean
from rl_es.files import json_files
from rl_es.interfaces import Snapshot
from rl_es.places import Problem
from rl_es.rollout.trajectory import Trajectory
from rl_es.training import saved
from rl_es.training.checkpoint import load as load_state
from rl_es.training.checkpoint import save as save_state
from rl_es.training.task import Task
from rl_es.training.workbench import Workbench


def save(folder: Path, stage: str, snapshot: Snapshot, manifest: Mapping[str, Any]) -> Path:
    """Writes `STAGE.msgpack`, then `STAGE.json`, into a run's folder; returns the manifest's path.

    Args:
      folder: `policies/<run_id>` of a results folder.
      stage: early, middle or final.
      snapshot: parameters and observation statistics of one run.
      manifest: what is needed to build the policy again, and where it comes from.
    """
    save_state(folder / f"{stage}.msgpack", snapshot, {})
    path = folder / f"{stage}.json"
    json_files.write(path, {**manifest, "stage": stage})
    return path


@dataclass(frozen=True)
class SavedPolicy:
    """A trained policy with its environment.

    Attributes:
      manifest: what was saved beside the weights.
      workbench: its environment and network.
      snapshot: parameters and observation statistics.
    """

    manifest: Mapping[str, Any]
    workbench: Workbench
    snapshot: Snapshot

    def __repr__(self) -> str:
        """What it was trained on, by what, and when it was saved."""
        told = "{env} / {label} / seed {seed}, {stage}".format(**self.manifest)
        return f"<SavedPolicy of {told}: {self.workbench.policy.parameters.size:,} parameters>"

    @property
    def task(self) -> Task:
        """Environment and policy."""
        return self.workbench.task

    def evaluate(self, episodes: int = 10, seed: int = 0) -> np.ndarray:
        """Returns [E] of fresh whole episodes."""
        return self.workbench.evaluate(self.snapshot, episodes, seed)

    def evaluate_natively(self, episodes: int = 10, seed: int = 0) -> np.ndarray:
        """Returns [E] of fresh whole episodes in the environment's own simulator.

        Raises:
          UserError: it cannot be had there.
        """
        return self.workbench.evaluate_natively(self.snapshot, episodes, seed)

    def rollout(self, seed: int = 0, states: bool = True) -> Trajectory:
        """One episode, step by step; with the environment's states, or without."""
        return self.workbench.rollout(self.snapshot, seed, states)


class Loader:
    """Loads policies; those of one environment and network share what is built for them."""

    def __init__(self) -> None:
        """Starts with nothing built."""
        self._workbenches: dict[str, Workbench] = {}

    def load(self, path: str | Path) -> SavedPolicy:
        """Loads a policy from its manifest (`policies/<run_id>/final.json`).

        Raises:
          UserError: no such manifest, or it or its weights are damaged.
        """
        path = Path(path)
        found = saved.read(path)
        manifest, made_of = found.manifest, found.stated.environment
        task = Task(made_of.name, made_of.options, made_of.wrappers, found.stated.policy)
        try:
            task.check()
        except Problem as problem:
            raise saved.unreadable(path, problem) from None
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        key = json.dumps([manifest["environment"], manifest["policy"]], sort_keys=True)
        if key not in self._workbenches:
            self._workbenches[key] = Workbench(task)
        workbench = self._workbenches[key]
        snapshot, _ = load_state(path.with_suffix(".msgpack"), workbench.shapes)
        return SavedPolicy(manifest, workbench, snapshot)


def load(path: str | Path) -> SavedPolicy:
    """Loads one policy, as a `Loader` does."""
    return Loader().load(path)


def find(
    folder: str | Path, env: str, label: str, seed: int = 0, stage: str = "final"
) -> SavedPolicy:
    """Loads a policy from a results folder by what it was trained on.

    Args:
      folder: the results folder.
      env: the environment's name or label.
      label: the agent's label.
      seed: the run's seed.
      stage: final, or early and middle where they were saved (the first seed).

    Raises:
      UserError: there is none such, or more than one; says what there is.
    """
    found: dict[str, list[Path]] = {}
    for one in saved.saved(Path(folder), stage):
        found.setdefault(one.title, []).append(one.path)
    wanted = f"{env} / {label} / seed {seed}"
    if wanted not in found:
        raise UserError(f"{folder}: no {stage} policy of '{wanted}'{did_you_mean(wanted, found)}")
    if len(found[wanted]) > 1:
        paths = ", ".join(map(str, found[wanted]))
        raise UserError(f"{folder}: several policies of '{wanted}'; load one of {paths}")
    return load(found[wanted][0])
