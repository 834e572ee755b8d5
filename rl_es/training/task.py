"""Builds a run's environment, policy and learner from its configuration.

A `Task` is an environment and a policy on it; what it builds is shared between equal tasks. A
`TrainingSetup` is everything that one group of runs compiles: the learner of its agent on the task,
and the evaluation of what it learns.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from rl_es import registry
from rl_es.config import Config
from rl_es.errors import ConfigError, UserError
from rl_es.interfaces import (
    Environment,
    HeldOut,
    Learner,
    Params,
    Policy,
    ProblemSpec,
    Snapshot,
)
from rl_es.results import text_files
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.normalisation import empty_statistics
from rl_es.rollout.policy import ModulePolicy, make_policy
from rl_es.rollout.wrappers import wrap_environment
from rl_es.training import checkpoint
from rl_es.training.compilation import suppress_loader_messages
from rl_es.training.learner import Evolution
from rl_es.training.policy_manifest import read_policy_manifest
from rl_es.training.sharding import PopulationSharding

MAX_GENERATION_STEPS = 10**9  # a call's steps, at most as many again, are counted in int32


@dataclass(frozen=True)
class Task:
    """An environment and a policy on it.

    Attributes:
      name: the environment's name in the registry.
      options: an instance of the suite's `Options`; `from_options` validates plain ones.
      wrappers: settings of the wrappers around the environment.
      policy: settings of the network and the action head.
    """

    name: str
    options: Config = field(hash=False)
    wrappers: WrapperConfig
    policy: PolicyConfig

    @classmethod
    def from_options(
        cls, name: str, options: Mapping[str, Any], wrappers: WrapperConfig, policy: PolicyConfig
    ) -> "Task":
        """Returns the task of plain options.

        Raises:
          UserError: no such environment, an option that its suite does not have, or a library that
            is not installed.
        """
        suite = registry.environment_suite(name)
        try:
            config = text_files.validate(dict(options), suite.Options)
        except ConfigError as problem:
            path = ("environment", "options", *problem.path)
            raise ConfigError(path, problem.reason) from None
        if hasattr(suite, "check"):
            suite.check(name, config)
        return cls(name, config, wrappers, policy)

    def environment(self) -> Environment:
        """Returns the environment of training; equal tasks share one."""
        return _environment(replace(self, policy=PolicyConfig()))

    def bare_environment(self) -> Environment:
        """Returns the environment of training without wrappers; equal tasks share one."""
        return _bare_environment(replace(self, policy=PolicyConfig(), wrappers=WrapperConfig()))

    def evaluation_environment(self, training_env: Environment | None = None) -> Environment:
        """Returns the environment of evaluation: on held-out data if it has any, rewards unscaled.

        Args:
          training_env: the environment of training. It is returned itself where evaluation has the
            same data and rewards, so that both share what is traced of it.
        """
        task = replace(self, policy=PolicyConfig())
        has_held_out = hasattr(self.bare_environment(), "held_out")
        if training_env is not None and self.wrappers.reward_scale == 1.0 and not has_held_out:
            return training_env
        wrappers = self.wrappers.model_copy(update={"reward_scale": 1.0})
        return _environment(replace(task, wrappers=wrappers), has_held_out)

    def make_policy(self, env: Environment) -> Policy:
        """Returns the policy for an environment; equal tasks on one environment share one."""
        start = self.policy.start_digest
        if type(env).__hash__ is not object.__hash__:  # equal environments need not be identical
            return _policy.__wrapped__(self.policy, env, start)
        return _policy(self.policy, env, start)  # pyright: ignore[reportArgumentType]


# Building an environment traces it, which takes seconds where there is physics; a sweep has many
# groups in one. What is built holds no state; frozen settings can be hashed.
@lru_cache(maxsize=8)
def _bare_environment(task: Task) -> Environment:
    suite = registry.environment_suite(task.name)
    with suppress_loader_messages():  # importing or making one may run small compiled programs
        return suite.make(task.name, task.options)


@lru_cache(maxsize=8)
def _environment(task: Task, held_out: bool = False) -> Environment:
    env = _bare_environment(replace(task, wrappers=WrapperConfig()))
    if held_out:
        with suppress_loader_messages():
            env = cast(HeldOut, env).held_out()
    return wrap_environment(env, task.wrappers)


@lru_cache(maxsize=8)
def _policy(config: PolicyConfig, env: Environment, start_digest: str | None) -> Policy:
    """Returns the policy; another saved policy at the path of `init` is another start."""
    policy = make_policy(config, env.spec)
    if isinstance(policy, ModulePolicy) and start_digest is not None:
        shape = env.spec.observation_shape
        return replace(policy, start=lambda *expected: _read_start(config, shape, *expected))
    return policy


def _read_start(
    config: PolicyConfig, observation_shape: tuple[int, ...], shapes: Params, head: Params
) -> Snapshot:
    """Reads the saved policy that a run starts from: network and statistics, and a like head.

    Args:
      config: its `init` names the manifest.
      observation_shape: shape of an observation's values.
      shapes: of the parameters.
      head: initial parameters of the run's head, for a saved policy with another head.

    Raises:
      UserError: it cannot be read, or its network or statistics are not those of the run's policy.
    """
    path = Path(config.init)
    network = read_policy_manifest(path).content.policy
    start = checkpoint.load_leaves(path.with_suffix(".msgpack"))
    normalise = config.normalise_observations
    statistics = jax.eval_shape(lambda: empty_statistics(observation_shape)) if normalise else None
    expected = _leaves_by_name(Snapshot(shapes, statistics))
    first_head = _leaves_by_name(Snapshot({"head": head}))
    leaves = {}
    for name in dict.fromkeys([*expected, *start]):
        layout, start_layout = (_array_layout(tree.get(name)) for tree in (expected, start))
        if layout == start_layout:
            leaves[name] = start[name]
        elif name.startswith(_HEAD):
            leaves[name] = first_head.get(name)
        else:
            reason = _explain_layout(name, layout, start_layout)
            if name.startswith(_PARAMS):
                reason += f"; it has network {network.network}, widths {list(network.widths)}"
            raise UserError(f"init: {path}: it does not fit this run's policy: {reason}")
    structure = jax.tree.structure(Snapshot(shapes, statistics))
    return jax.tree.unflatten(structure, [np.asarray(leaves[name]) for name in expected])


_PARAMS = ".params"
_HEAD = f"{_PARAMS}['head']"


def _leaves_by_name(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the arrays of a snapshot by the names that files give them."""
    leaves = jax.tree_util.tree_leaves_with_path(snapshot)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _array_layout(leaf: Any) -> str:
    """Returns the type and the shape of an array in words, `none` where there is no array."""
    return "none" if leaf is None else f"{leaf.dtype} {list(leaf.shape)}"


def _explain_layout(name: str, layout: str, start_layout: str) -> str:
    """Returns in what an array of a saved policy differs from that of a run, and the remedy."""
    if name.startswith(_PARAMS):
        parameter = "/".join(re.findall(r"\['(.*?)'\]", name))
        return f"parameter {parameter} is {start_layout} in it, and {layout} here"
    if "none" in (layout, start_layout):
        remedy = f"set normalise_observations: {str(layout == 'none').lower()}"
        return f"its observations were {'not ' * (start_layout == 'none')}normalised; {remedy}"
    return f"its observations were {start_layout}, and are {layout} here"


def clear_cache() -> None:
    """Drops everything that was built: the next task builds its own."""
    _bare_environment.cache_clear()
    _environment.cache_clear()
    _policy.cache_clear()


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """A learner, the evaluation of what it learns, and the sizes that a planner needs.

    Attributes:
      learner: for one run on one device, unless `with_placement` says otherwise.
      evaluator: (name of the lane axis or None) -> (key, Snapshot) -> returns [E].
      parameters: number of scalars that are evolved.
      generation_steps: most environment steps of a generation.
      lane_axis: name of the vmapped axis around the learner, if it is vmapped over runs.
    """

    learner: Learner
    evaluator: Callable[[str | None], Callable[..., Any]]
    parameters: int
    generation_steps: int
    lane_axis: str | None = None

    @property
    def evaluate(self) -> Callable[..., Any]:
        """The evaluation (key, Snapshot) -> returns [E] within this lane axis."""
        return self.evaluator(self.lane_axis)

    def with_placement(
        self, lane_axis: str | None, sharding: PopulationSharding
    ) -> "TrainingSetup":
        """Returns the same setup for lanes vmapped under this axis name and sharded pairs."""
        learner = self.learner.with_placement(lane_axis, sharding)
        return replace(self, learner=learner, lane_axis=lane_axis)


def make_learner(
    agent: str, config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Makes the learner of an agent: its module's own, or the evolution of its strategy.

    Raises:
      UserError: the agent, the policy and the environment do not fit together.
    """
    module = registry.agents.load(agent)
    with suppress_loader_messages():  # importing or making one may run small compiled programs
        if hasattr(module, "make_learner"):
            return module.make_learner(config, env, policy, normalise_observations)
        strategy = module.make(config, ProblemSpec(policy.parameters, env.spec.episode_length))
        return Evolution(strategy, env, policy, normalise_observations)


def make_training_setup(
    task: Task, agent: str, config: Config, evaluation_episodes: int
) -> TrainingSetup:
    """Builds what one group of runs trains and evaluates.

    Args:
      task: environment and policy.
      agent: the agent's name in the registry.
      config: the agent's settings; the traced ones are not read here.
      evaluation_episodes: episodes of each evaluation.

    Raises:
      UserError: the agent, the policy and the environment do not fit together.
    """
    env = task.environment()
    policy = task.make_policy(env)
    learner = make_learner(agent, config, env, policy, task.policy.normalise_observations)
    steps = learner.generation_steps * task.wrappers.action_repeat
    if steps > MAX_GENERATION_STEPS:
        raise UserError(
            f"a generation may take {steps:,} environment steps; at most "
            f"{MAX_GENERATION_STEPS:,} can be counted: choose fewer "
            f"{'environments' if learner.pairs is None else 'members'}"
        )
    evaluation_env = task.evaluation_environment(env)
    return TrainingSetup(
        learner,
        lambda lane_axis: make_evaluator(evaluation_env, policy, evaluation_episodes, lane_axis),
        policy.parameters.size,
        steps,
    )
