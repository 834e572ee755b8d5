"""Saves, loads and evaluates trained policies.

A policy on disk is its weights as msgpack, and a JSON manifest (`rl_es.training.policy_manifest`)
that says how to build it. A `PolicyEvaluator` is an environment and a network; a `PolicyLoader`
builds it once for all the policies that share it. In Python, `rl_es.load_policy` and `policy` of
what `rl_es.load` returns lead here.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from rl_es import plugins, registry
from rl_es.errors import ConfigError, UserError, check_number, did_you_mean, short_traceback
from rl_es.interfaces import Generative, Native, Snapshot, Transcribed
from rl_es.results import text_files
from rl_es.rollout.acting import EpisodeActor, make_act_step
from rl_es.rollout.evaluation import (
    Trajectory,
    make_evaluator,
    make_native_evaluator,
    make_recorder,
    read_trajectory,
)
from rl_es.rollout.generation import make_generator
from rl_es.rollout.heads import stochastic
from rl_es.rollout.normalisation import empty_statistics
from rl_es.rollout.policy import ModulePolicy, supported_precision
from rl_es.rollout.sampling import make_group_evaluator
from rl_es.training import checkpoint
from rl_es.training.compilation import (
    compile_function,
    float32_products,
    suppress_loader_messages,
)
from rl_es.training.policy_manifest import (
    MANIFEST_KIND,
    PolicyManifest,
    list_policies,
    read_policy_manifest,
)
from rl_es.training.task import Task

MAX_TEXT = 10**6  # tokens that are generated at once
_REPLAY = 0x7265706C  # folded into the key of a replay


def replay_key(seed: int) -> jax.Array:
    """Returns a key that neither training nor its evaluations use, whatever their seed."""
    with suppress_loader_messages():  # this small program, too, may come from the cache
        return jax.random.fold_in(jax.random.key(seed), np.uint32(_REPLAY))


def native_seeds(seed: int, episodes: int) -> list[int]:
    """Returns a seed per episode [E], for simulators on the host; more episodes extend the list."""
    return np.random.SeedSequence([seed, _REPLAY]).generate_state(episodes).tolist()


class PolicyEvaluator:
    """An environment and a network with compiled programs that serve all their snapshots.

    Attributes:
      task: environment and policy.
      env: the environment of evaluation.
      policy: the network and its head.
    """

    def __init__(self, task: Task):
        """Builds the environment and the policy.

        Raises:
          UserError: they do not fit together.
        """
        self.task = task
        self.env = task.evaluation_environment()
        self.policy = task.make_policy(self.env)
        self._evaluators: dict[int, Callable[..., Any]] = {}
        self._recorders: dict[bool, Callable[..., Any]] = {}
        self._act_steps: dict[bool, Callable[..., Any]] = {}
        self._generators: dict[tuple[int, float], Callable[..., Any]] = {}
        self._samplers: dict[tuple[int, int], Callable[..., Any]] = {}

    @property
    def shapes(self) -> Snapshot:
        """Shapes of a snapshot."""
        shape = self.env.spec.observation_shape
        normalise = self.task.policy.normalise_observations
        statistics = jax.eval_shape(lambda: empty_statistics(shape)) if normalise else None
        with suppress_loader_messages():  # an example of a recurrent policy's state is computed
            return Snapshot(self.policy.parameters.shapes, statistics)

    def evaluate(self, snapshot: Snapshot, episodes: int, seed: int) -> np.ndarray:
        """Returns the returns [E] of fresh whole episodes."""
        key = replay_key(seed)
        if episodes not in self._evaluators:
            run = make_evaluator(self.env, self.policy, episodes)
            self._evaluators[episodes] = compile_function(run, key, snapshot).call
        return np.asarray(self._evaluators[episodes](key, snapshot))

    def evaluate_natively(self, snapshot: Snapshot, episodes: int, seed: int) -> np.ndarray:
        """Returns the returns [E] of fresh whole episodes in the environment's own simulator.

        Raises:
          UserError: the environment has no native physics, or it is not installed.
        """
        key, seeds = replay_key(seed), native_seeds(seed, episodes)
        # The first step of the policy compiles it.
        with suppress_loader_messages(), float32_products():
            return self._native_evaluator(key, seeds, snapshot)

    def rollout(self, snapshot: Snapshot, seed: int, states: bool = True) -> Trajectory:
        """Records one episode step by step; with the environment's states, or without."""
        key = replay_key(seed)
        if states not in self._recorders:
            run = make_recorder(self.env, self.policy, states)
            self._recorders[states] = compile_function(run, key, snapshot).call
        return read_trajectory(self._recorders[states](key, snapshot))

    def sample_returns(
        self, snapshot: Snapshot, starts: int, group: int, seed: int, temperature: float
    ) -> np.ndarray:
        """Returns the returns [starts, group] of sampled episodes, several from each start.

        Raises:
          UserError: the policy is no network, or the evaluation is not of whole episodes.
        """
        if self.env.spec.evaluation_steps is not None:
            raise UserError(f"{self.task.name}: its evaluation is a score, not of whole episodes")
        check_number("temperature", temperature, 0.01, 100)
        settings, numbers = (starts, group), (replay_key(seed), snapshot, np.float32(temperature))
        if settings not in self._samplers:
            if not isinstance(self.policy, ModulePolicy):
                raise UserError(f"{self.task.name}: its policy is no network, and samples nothing")
            network = replace(self.policy, head=stochastic(self.policy.head))
            run = make_group_evaluator(self.env, network, *settings)
            self._samplers[settings] = compile_function(run, *numbers).call
        return np.asarray(self._samplers[settings](*numbers))

    def generate(self, snapshot: Snapshot, size: int, seed: int, temperature: float) -> bytes:
        """Returns a text of `size` tokens that a policy writes.

        Raises:
          UserError: the environment generates no text, or a number is out of bounds.
        """
        check_number("size", size, 1, MAX_TEXT)
        check_number("temperature", temperature, 0.01, 100)
        if not registry.generates_text(self.task.name):
            raise UserError(f"{self.task.name} generates no text: its actions are not of tokens")
        env, key = cast(Generative, self.task.bare_environment()), replay_key(seed)
        settings = size, temperature
        if settings not in self._generators:
            run = make_generator(env, self.policy, *settings)
            self._generators[settings] = compile_function(run, key, snapshot).call
        tokens = np.asarray(self._generators[settings](key, snapshot))
        return b"".join(env.vocabulary[token] for token in tokens.tolist())

    def transcribe(self, snapshot: Snapshot, seed: int) -> str:
        """Returns the return of one episode, and the episode as text, on one line.

        Raises:
          UserError: episodes of the environment are not read as text.
        """
        name = self.task.name
        if not registry.is_transcribed(name):
            raise UserError(f"{name}: its episodes are no text; they are where answers are tokens")
        env = cast(Transcribed, self.task.bare_environment())
        trajectory = self.rollout(snapshot, seed, states=False)
        return f"{trajectory.rewards.sum():g}  {env.transcribe(trajectory.actions)}"

    def actor(self, snapshot: Snapshot, seed: int) -> EpisodeActor:
        """Returns an actor at the start of an episode; actors share one compiled program."""
        actor = EpisodeActor(self.env.spec, self.policy.initial_state(), self._act_step, snapshot)
        actor.start(replay_key(seed))
        return actor

    def _act_step(self, *arguments: Any) -> Any:
        """Calls the program for observations with a mask of actions, or that for those without."""
        _, _, observation, _, _ = arguments
        masked = observation.action_mask is not None
        if masked not in self._act_steps:
            run = make_act_step(self.policy)
            self._act_steps[masked] = compile_function(run, *arguments).call
        return self._act_steps[masked](*arguments)

    @cached_property
    def native(self) -> Native:
        """The environment's task in its own simulator.

        Raises:
          UserError: the environment has no native physics, or it is not installed.
        """
        name, names = self.task.name, registry.native_names()
        if name not in names:
            available = ", ".join(names) or "none"
            raise UserError(f"{name} has no native physics; environments that have: {available}")
        return registry.environment_suite(name).native(name)

    @cached_property
    def _native_evaluator(self) -> Callable[..., np.ndarray]:
        return make_native_evaluator(self.native, self.policy, self.task.wrappers)


def save_policy(folder: Path, stage: str, snapshot: Snapshot, manifest: Mapping[str, Any]) -> Path:
    """Writes `STAGE.msgpack`, then `STAGE.json`, into a run's folder; returns the manifest's path.

    Args:
      folder: `policies/<run_id>` of a results folder.
      stage: early, middle or final.
      snapshot: parameters and observation statistics of one run.
      manifest: what builds the policy again, and where it comes from.
    """
    checkpoint.save(folder / f"{stage}.msgpack", snapshot, {})
    path = folder / f"{stage}.json"
    text_files.write_json(path, {**manifest, "stage": stage})
    return path


@dataclass(frozen=True)
class SavedPolicy:
    """A trained policy with its environment.

    Attributes:
      manifest: the content of the manifest beside the weights.
      evaluator: its environment and network.
      snapshot: parameters and observation statistics.
    """

    manifest: Mapping[str, Any]
    evaluator: PolicyEvaluator
    snapshot: Snapshot

    def __repr__(self) -> str:
        """Names environment, agent, seed and stage, and the number of parameters."""
        title = "{env} / {label} / seed {seed}, {stage}".format(**self.manifest)
        return f"<SavedPolicy of {title}: {self.evaluator.policy.parameters.size:,} parameters>"

    @property
    def task(self) -> Task:
        """Environment and policy."""
        return self.evaluator.task

    def evaluate(self, episodes: int = 10, seed: int = 0) -> np.ndarray:
        """Returns the returns [E] of fresh whole episodes."""
        return self.evaluator.evaluate(self.snapshot, episodes, seed)

    def sample_returns(
        self, starts: int = 100, group: int = 8, seed: int = 0, temperature: float = 1.0
    ) -> np.ndarray:
        """Returns the returns [starts, group] of sampled episodes, several from each start.

        Actions are sampled at this temperature, whatever the policy's head is. The starts are those
        of `evaluate` with this seed. `rl_es.rollout.sampling.pass_at` makes pass@k of them.

        Raises:
          UserError: the policy is no network, the evaluation is not of whole episodes, or the
            temperature is out of bounds.
        """
        return self.evaluator.sample_returns(self.snapshot, starts, group, seed, temperature)

    def evaluate_natively(self, episodes: int = 10, seed: int = 0) -> np.ndarray:
        """Returns the returns [E] of fresh whole episodes in the environment's own simulator.

        Raises:
          UserError: the environment has no native physics, or it is not installed.
        """
        return self.evaluator.evaluate_natively(self.snapshot, episodes, seed)

    def rollout(self, seed: int = 0, states: bool = True) -> Trajectory:
        """Records one episode step by step; with the environment's states, or without."""
        return self.evaluator.rollout(self.snapshot, seed, states)

    def generate(self, size: int = 300, seed: int = 0, temperature: float = 1.0) -> bytes:
        """Returns a text of `size` tokens that the policy writes, in an environment of text.

        It begins after the separator in front of a document; each token is drawn from the policy's
        distribution, and is what it observes next. The same seed gives the same text.

        Raises:
          UserError: the environment generates no text, or a number is out of bounds.
        """
        return self.evaluator.generate(self.snapshot, size, seed, temperature)

    def transcribe(self, seed: int = 0) -> str:
        """Returns the return of one episode, and the episode as text: a problem and its answer.

        Raises:
          UserError: episodes of the environment are not read as text.
        """
        return self.evaluator.transcribe(self.snapshot, seed)

    def actor(self, seed: int = 0) -> EpisodeActor:
        """Returns an actor of its own, for several environments that are stepped side by side."""
        return self.evaluator.actor(self.snapshot, seed)

    def reset(self, seed: int = 0) -> None:
        """Starts an episode of `act`: a recurrent policy forgets, and `seed` draws its actions."""
        self._actor.start(replay_key(seed))

    @short_traceback
    def act(self, observation: Any, action_mask: Any = None) -> int | np.ndarray:
        """Returns the action for the next observation of an environment that others step.

        It normalises the observation as in training, and carries the state of a recurrent policy
        from call to call: call `reset` at the start of each episode.

        Args:
          observation: [*observation_shape], as the environment returns it.
          action_mask: [n] bool, the discrete actions that are allowed; None: all. [I, n] with
            several agents.

        Returns:
          A whole number for discrete actions, else float32 [A] within the bounds of the actions.
          With several agents, int32 [I] or float32 [I, A].

        Raises:
          UserError: the observation or the mask has another shape.
        """
        return self._actor.act(observation, action_mask)

    @cached_property
    def _actor(self) -> EpisodeActor:
        return self.actor()


class PolicyLoader:
    """A loader of policies; those of one environment and network share a `PolicyEvaluator`."""

    def __init__(self) -> None:
        """Starts without evaluators."""
        self._evaluators: dict[str, PolicyEvaluator] = {}

    def load(self, path: str | Path) -> SavedPolicy:
        """Loads a policy from its manifest (`policies/<run_id>/final.json`).

        Raises:
          UserError: no such manifest, or it or its weights are damaged.
        """
        path = Path(path)
        policy = read_policy_manifest(path)
        manifest, environment = policy.manifest, policy.content.environment
        try:
            # What the policy's own training started from is not needed, and may be gone.
            network = policy.content.policy
            precision = supported_precision(network.precision, jax.default_backend())
            network = network.model_copy(update={"init": "normal", "precision": precision})
            task = Task.from_options(
                environment.name, environment.options, environment.wrappers, network
            )
        except ConfigError as problem:
            raise text_files.unreadable(path, MANIFEST_KIND, problem) from None
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        _warn_of_changes(path, policy, task)
        key = json.dumps([manifest["environment"], manifest["policy"]], sort_keys=True)
        if key not in self._evaluators:
            self._evaluators[key] = PolicyEvaluator(task)
        evaluator = self._evaluators[key]
        snapshot, _ = checkpoint.load(path.with_suffix(".msgpack"), evaluator.shapes)
        return SavedPolicy(manifest, evaluator, snapshot)


def _warn_of_changes(path: Path, policy: PolicyManifest, task: Task) -> None:
    """Warns where a network, an environment or its data are no longer those of training."""
    trained_data = policy.content.environment.data
    if trained_data not in (None, registry.data_digest(task.name, task.options)):
        warnings.warn(
            f"{path}: the data of {task.name} have changed since this policy was trained",
            stacklevel=3,
        )
    code = {task.policy.network: task.policy.network_code}
    if plugins.is_reference(task.name):
        code[task.name] = registry.environment_suite(task.name).NUMERICS
    trained = policy.manifest.get("versions", {})
    for name, numerics in code.items():
        if numerics is not None and str(numerics) != trained.get(name, str(numerics)):
            warnings.warn(
                f"{path}: the code of {name} has changed since this policy was trained",
                stacklevel=3,
            )


def load_policy(path: str | Path) -> SavedPolicy:
    """Loads a policy from its manifest (`policies/<run_id>/final.json`).

    Raises:
      UserError: no such manifest, or it or its weights are damaged.
    """
    return PolicyLoader().load(path)


def find_policy(
    folder: str | Path, env: str, label: str, seed: int = 0, stage: str = "final"
) -> SavedPolicy:
    """Loads a policy from a results folder by what it was trained on.

    Args:
      folder: the results folder.
      env: the environment's name or label.
      label: the agent's label.
      seed: the run's seed.
      stage: final, or early and middle where they were saved (the first seed). The early policy is
        that before any training, or that of the first evaluation where its return is lower.

    Raises:
      UserError: there is no such policy, or more than one; the message names those there are.
    """
    paths: dict[str, list[Path]] = {}
    for policy in list_policies(Path(folder), stage):
        paths.setdefault(policy.title, []).append(policy.path)
    title = f"{env} / {label} / seed {seed}"
    if title not in paths:
        raise UserError(f"{folder}: no {stage} policy of '{title}'{did_you_mean(title, paths)}")
    if len(paths[title]) > 1:
        several = ", ".join(map(str, paths[title]))
        raise UserError(f"{folder}: several policies of '{title}'; load one of {several}")
    return load_policy(paths[title][0])
