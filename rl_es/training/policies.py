"""Trained policies on disk: weights as msgpack, and a JSON manifest that says what they are.

import envs
from rl_es.training.policies import find
print(find("results/quickstart", env="CartPole-v1", label="eggroll").evaluate(episodes=10))
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rl_es import registry
from rl_es.errors import UserError, did_you_mean
from rl_es.files import write_text
from rl_es.interfaces import Snapshot
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.evaluation import evaluator
from rl_es.rollout.normalisation import empty
from rl_es.rollout.trajectory import Trajectory, trajectory
from rl_es.training.checkpoint import load as load_state
from rl_es.training.checkpoint import save as save_state
from rl_es.training.task import Task

_REPLAY = 0x7265706C  # folded into the key of a replay
STAGES = ("early", "middle", "final")


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
    text = json.dumps({**manifest, "stage": stage}, indent=2, sort_keys=True)
    write_text(path, text + "\n")
    return path


@dataclass(frozen=True)
class SavedPolicy:
    """A trained policy with its environment.

    Attributes:
      manifest: what was saved beside the weights.
      task: environment and policy.
      snapshot: parameters and observation statistics.
    """

    manifest: Mapping[str, Any]
    task: Task
    snapshot: Snapshot

    def evaluate(self, episodes: int = 10, seed: int = 0) -> np.ndarray:
        """Returns [episodes] of fresh whole episodes."""
        env = self.task.evaluation_environment()
        run = jax.jit(evaluator(env, self.task.make_policy(env), episodes))
        return np.asarray(run(replay_key(seed), self.snapshot))

    def rollout(self, seed: int = 0) -> Trajectory:
        """One episode, step by step."""
        env = self.task.evaluation_environment()
        return trajectory(env, self.task.make_policy(env), replay_key(seed), self.snapshot)


def replay_key(seed: int) -> jax.Array:
    """A key that neither training nor its evaluations use, whatever their seed."""
    return jax.random.fold_in(jax.random.key(seed), np.uint32(_REPLAY))


def load(path: str | Path) -> SavedPolicy:
    """Loads a policy from its manifest (`policies/<run_id>/final.json`).

    Raises:
      UserError: no such manifest, or it or its weights are damaged.
    """
    path = Path(path)
    try:
        manifest = json.loads(path.read_text())
        task = Task(
            name=manifest["environment"]["name"],
            options=manifest["environment"]["options"],
            wrappers=WrapperConfig(**manifest["environment"]["wrappers"]),
            policy=PolicyConfig(**manifest["policy"]),
        )
        registry.environment_suite(task.name).Options(**task.options)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from None
    env = task.environment()
    params = task.make_policy(env).parameters.shapes
    shape = env.spec.observation_shape
    normalised = task.policy.normalise_observations
    statistics = jax.eval_shape(lambda: empty(shape)) if normalised else None
    snapshot, _ = load_state(path.with_suffix(".msgpack"), Snapshot(params, statistics))
    return SavedPolicy(manifest, task, snapshot)


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
    if stage not in STAGES:
        raise UserError(f"unknown stage '{stage}'{did_you_mean(stage, STAGES)}")
    found: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).glob(f"policies/*/{stage}.json")):
        found.setdefault(_title(path), []).append(path)
    wanted = f"{env} / {label} / seed {seed}"
    if wanted not in found:
        raise UserError(f"{folder}: no {stage} policy of '{wanted}'{did_you_mean(wanted, found)}")
    if len(found[wanted]) > 1:
        paths = ", ".join(map(str, found[wanted]))
        raise UserError(f"{folder}: several policies of '{wanted}'; load one of {paths}")
    return load(found[wanted][0])


def _title(path: Path) -> str:
    try:
        manifest = json.loads(path.read_text())
        return f"{manifest['env']} / {manifest['label']} / seed {manifest['seed']}"
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a readable policy manifest ({error})")
