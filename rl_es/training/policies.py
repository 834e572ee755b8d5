"""Trained policies on disk: weights as msgpack, and a JSON manifest that says what they are.

In Python `rl_es.load_policy`, and `policy` of what `rl_es.load` gives, lead here.

An environment and a network, built once for all the policies that were saved of them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rl_es import registry
from rl_es.errors import ConfigError, UserError, did_you_mean
from rl_es.interfaces import Native, Snapshot
from rl_es.results import text_files
from rl_es.rollout.evaluation import (
    Trajectory,
    make_evaluator,
    make_native_evaluator,
    make_recorder,
    read_trajectory,
)
from rl_es.rollout.normalisation import empty_statistics
from rl_es.training import policy_manifest
from rl_es.training.checkpoint import load as load_state
from rl_es.training.checkpoint import save as save_state
from rl_es.training.compilation import suppress_loader_messages
from rl_es.training.task import Task

_REPLAY = 0x7265706C  # folded into the key of a replay


def replay_key(seed: int) -> jax.Array:
    """A key that neither training nor its evaluations use, whatever their seed."""
    with suppress_loader_messages():  # a small program, too, may come from the cache
        return jax.random.fold_in(jax.random.key(seed), np.uint32(_REPLAY))


def native_seeds(seed: int, episodes: int) -> list[int]:
    """A seed per episode [E], for simulators on the host; more of them begin with the same ones."""
    return np.random.SeedSequence([seed, _REPLAY]).generate_state(episodes).tolist()


class PolicyEvaluator:
    """Evaluates any snapshot of one environment and network; what is compiled for one serves all.

    Attributes:
      task: environment and policy.
      env: the environment as it is evaluated on.
      policy: the network and its head.
    """

    def __init__(self, task: Task):
        """Builds both.

        Raises:
          UserError: they do not fit together.
        """
        self.task = task
        self.env = task.evaluation_environment()
        self.policy = task.make_policy(self.env)
        self._compiled: dict[int, Callable[..., Any]] = {}
        self._recorders: dict[bool, Callable[..., Any]] = {}

    @property
    def shapes(self) -> Snapshot:
        """What a snapshot is made of."""
        shape = self.env.spec.observation_shape
        normalised = self.task.policy.normalise_observations
        statistics = jax.eval_shape(lambda: empty_statistics(shape)) if normalised else None
        return Snapshot(self.policy.parameters.shapes, statistics)

    def evaluate(self, snapshot: Snapshot, episodes: int, seed: int) -> np.ndarray:
        """Returns [E] of fresh whole episodes."""
        key = replay_key(seed)
        if episodes not in self._compiled:
            run = make_evaluator(self.env, self.policy, episodes)
            self._compiled[episodes] = _compiled(run, key, snapshot)
        return np.asarray(self._compiled[episodes](key, snapshot))

    def evaluate_natively(self, snapshot: Snapshot, episodes: int, seed: int) -> np.ndarray:
        """Returns [E] of fresh whole episodes in the environment's own simulator.

        Raises:
          UserError: it cannot be had there.
        """
        return self._native_evaluator(replay_key(seed), native_seeds(seed, episodes), snapshot)

    def rollout(self, snapshot: Snapshot, seed: int, states: bool = True) -> Trajectory:
        """One episode, step by step; with the environment's states, or without."""
        key = replay_key(seed)
        if states not in self._recorders:
            run = make_recorder(self.env, self.policy, states)
            self._recorders[states] = _compiled(run, key, snapshot)
        return read_trajectory(self._recorders[states](key, snapshot))

    @cached_property
    def native(self) -> Native:
        """The environment's task in its own simulator.

        Raises:
          UserError: it cannot be had there.
        """
        name, names = self.task.name, registry.native_names()
        if name not in names:
            there = ", ".join(names) or "none"
            raise UserError(f"{name} has no native physics; environments that have: {there}")
        return registry.environment_suite(name).native(name)

    @cached_property
    def _native_evaluator(self) -> Callable[..., np.ndarray]:
        return make_native_evaluator(self.native, self.policy, self.task.wrappers)


def _compiled(run: Callable[..., Any], key: jax.Array, snapshot: Snapshot) -> Callable[..., Any]:
    """The function compiled for all keys, and for all snapshots that are like this one."""
    lowered = jax.jit(run).lower(key, snapshot)
    with suppress_loader_messages():
        return lowered.compile()


def save_policy(folder: Path, stage: str, snapshot: Snapshot, manifest: Mapping[str, Any]) -> Path:
    """Writes `STAGE.msgpack`, then `STAGE.json`, into a run's folder; returns the manifest's path.

    Args:
      folder: `policies/<run_id>` of a results folder.
      stage: early, middle or final.
      snapshot: parameters and observation statistics of one run.
      manifest: what is needed to build the policy again, and where it comes from.
    """
    save_state(folder / f"{stage}.msgpack", snapshot, {})
    path = folder / f"{stage}.json"
    text_files.write_json(path, {**manifest, "stage": stage})
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
    workbench: PolicyEvaluator
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


class PolicyLoader:
    """Loads policies; those of one environment and network share what is built for them."""

    def __init__(self) -> None:
        """Starts with nothing built."""
        self._workbenches: dict[str, PolicyEvaluator] = {}

    def load(self, path: str | Path) -> SavedPolicy:
        """Loads a policy from its manifest (`policies/<run_id>/final.json`).

        Raises:
          UserError: no such manifest, or it or its weights are damaged.
        """
        path = Path(path)
        found = policy_manifest.read_policy_manifest(path)
        manifest, made_of = found.manifest, found.stated.environment
        task = Task(made_of.name, made_of.options, made_of.wrappers, found.stated.policy)
        try:
            task.check()
        except ConfigError as problem:
            raise policy_manifest.unreadable(path, problem) from None
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        key = json.dumps([manifest["environment"], manifest["policy"]], sort_keys=True)
        if key not in self._workbenches:
            self._workbenches[key] = PolicyEvaluator(task)
        workbench = self._workbenches[key]
        snapshot, _ = load_state(path.with_suffix(".msgpack"), workbench.shapes)
        return SavedPolicy(manifest, workbench, snapshot)


def load_policy(path: str | Path) -> SavedPolicy:
    """Loads one policy, as a `Loader` does."""
    return PolicyLoader().load(path)


def find_policies(
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
    for one in policy_manifest.list_policies(Path(folder), stage):
        found.setdefault(one.title, []).append(one.path)
    wanted = f"{env} / {label} / seed {seed}"
    if wanted not in found:
        raise UserError(f"{folder}: no {stage} policy of '{wanted}'{did_you_mean(wanted, found)}")
    if len(found[wanted]) > 1:
        paths = ", ".join(map(str, found[wanted]))
        raise UserError(f"{folder}: several policies of '{wanted}'; load one of {paths}")
    return load_policy(found[wanted][0])
