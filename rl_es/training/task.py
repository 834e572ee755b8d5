"""From a run's configuration to its environment, policy and learner."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rl_es import errors, registry
from rl_es.config import Config
from rl_es.errors import UserError
from rl_es.interfaces import Environment, Learner, Policy, ProblemSpec
from rl_es.results import text_files
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.rollout.policy import make_policy
from rl_es.rollout.wrappers import wrap_environment
from rl_es.training.compilation import suppress_loader_messages
from rl_es.training.learner import Evolution
from rl_es.training.sharding import PopulationSharding

MAX_GENERATION_STEPS = 10**9  # a call's steps, at most as many again, are counted in int32


@dataclass(frozen=True)
class Task:
    """An environment and a policy on it.

    Attributes:
      name: the environment's name in the registry.
      options: the suite's options.
      wrappers: what is put around the environment.
      policy: network and action head.
    """

    name: str
    options: Mapping[str, Any]
    wrappers: WrapperConfig
    policy: PolicyConfig

    def check(self) -> None:
        """Refuses what comes from a file and no environment can be made of. Loads no jax.

        Raises:
          UserError: no such environment, options that it has not, or a library that is missing.
        """
        suite = registry.environment_suite(self.name)
        try:
            options = text_files.validated(dict(self.options), suite.Options)
        except errors.ConfigError as problem:
            place = ("environment", "options", *problem.path)
            raise errors.ConfigError(place, problem.reason) from None
        if hasattr(suite, "check"):
            suite.check(self.name, options)

    def environment(self) -> Environment:
        """The environment as it is trained on; equal tasks share one."""
        options = json.dumps(self.options, sort_keys=True)
        return _environment(self.name, options, self.wrappers)  # pyright: ignore[reportArgumentType]

    def evaluation_environment(self, trained_on: Environment | None = None) -> Environment:
        """The environment as it is evaluated on: its rewards are not scaled.

        That is `trained_on` itself where they never are: what is traced of it is then shared.
        """
        if trained_on is not None and self.wrappers.reward_scale == 1.0:
            return trained_on
        wrappers = self.wrappers.model_copy(update={"reward_scale": 1.0})
        return replace(self, wrappers=wrappers).environment()

    def make_policy(self, env: Environment) -> Policy:
        """The policy, fitted to the environment; those of one environment and network are one."""
        if type(env).__hash__ is not object.__hash__:  # equal ones need not be the same
            return make_policy(self.policy, env.spec)
        return _policy(self.policy, env)  # pyright: ignore[reportArgumentType]


# Building an environment traces it, which takes seconds where there is physics; a sweep has many
# groups in one. What is built holds no state; frozen settings can be hashed.
@lru_cache(maxsize=8)
def _environment(name: str, options: str, wrappers: WrapperConfig) -> Environment:
    suite = registry.environment_suite(name)
    with (
        suppress_loader_messages()
    ):  # libraries run small programs while they are imported, and made
        return wrap_environment(suite.make(name, suite.Options(**json.loads(options))), wrappers)


@lru_cache(maxsize=8)
def _policy(config: PolicyConfig, env: Environment) -> Policy:
    return make_policy(config, env.spec)


def clear_cache() -> None:
    """Lets go of everything that was built: the next task builds its own."""
    _environment.cache_clear()
    _policy.cache_clear()


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """A learner, the evaluation of what it learns, and the sizes a planner asks for.

    Attributes:
      learner: for one run on one device, unless it was `placed`.
      evaluator: (name of the lane axis or None) -> (key, Snapshot) -> returns [E].
      parameters: scalars evolved.
      generation_steps: most environment steps of a generation.
      lanes: name of the vmapped axis around the learner, if it is vmapped over runs.
      evaluate: what the evaluator gives for this learner.
    """

    learner: Learner
    evaluator: Callable[[str | None], Callable[..., Any]]
    parameters: int
    generation_steps: int
    lanes: str | None = None

    @property
    def evaluate(self) -> Callable[..., Any]:
        return self.evaluator(self.lanes)

    def placed(self, lanes: str | None, spread: PopulationSharding) -> "TrainingSetup":
        """The same for lanes vmapped under this axis name, and a population so spread."""
        return replace(self, learner=self.learner.placed(lanes, spread), lanes=lanes)


def make_learner(
    agent: str, config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """The learner of an agent: one of its own, or the evolution of a strategy.

    Raises:
      UserError: the agent, the policy and the environment do not fit together.
    """
    module = registry.agents.load(agent)
    if hasattr(module, "make_learner"):
        return module.make_learner(config, env, policy, normalise_observations)
    made = module.make(config, ProblemSpec(policy.parameters, env.spec.episode_length))
    return Evolution(made, env, policy, normalise_observations)


def make_training_setup(
    task: Task, agent: str, config: Config, evaluation_episodes: int
) -> TrainingSetup:
    """Builds everything that one group runs.

    Args:
      task: environment and policy.
      agent: its name in the registry.
      config: its settings; the traced ones are not read here.
      evaluation_episodes: episodes of each evaluation.

    Raises:
      UserError: the agent, the policy and the environment do not fit together.
    """
    env = task.environment()
    policy = task.make_policy(env)
    learner = make_learner(agent, config, env, policy, task.policy.normalise_observations)
    most = learner.generation_steps * task.wrappers.action_repeat
    if most > MAX_GENERATION_STEPS:
        raise UserError(
            f"a generation may take {most:,} environment steps; at most "
            f"{MAX_GENERATION_STEPS:,} can be counted: choose fewer "
            f"{'environments' if learner.pairs is None else 'members'}"
        )
    evaluated_on = task.evaluation_environment(env)
    return TrainingSetup(
        learner,
        lambda lanes: make_evaluator(evaluated_on, policy, evaluation_episodes, lanes),
        policy.parameters.size,
        most,
    )
