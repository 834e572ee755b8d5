"""From a run's configuration to its environment, policy and learner."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rl_es import registry
from rl_es.config import Config
from rl_es.interfaces import Environment, Problem
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.evaluation import evaluator
from rl_es.rollout.policy import ModulePolicy, make_policy
from rl_es.rollout.wrappers import wrap
from rl_es.training.learner import Evolution


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

    def environment(self) -> Environment:
        """A fresh environment."""
        suite = registry.environment_suite(self.name)
        return wrap(suite.make(self.name, suite.Options(**self.options)), self.wrappers)

    def make_policy(self, env: Environment) -> ModulePolicy:
        """The policy, fitted to the environment."""
        return make_policy(self.policy, env.spec)


@dataclass(frozen=True, eq=False)
class Training:
    """A learner, the evaluation of what it learns, and the sizes a planner asks for."""

    learner: Evolution
    evaluate: Callable[..., Any]
    parameters: int


def make_training(
    task: Task, agent: str, config: Config, evaluation_episodes: int, lanes: str | None = None
) -> Training:
    """Builds everything that one group runs.

    Args:
      task: environment and policy.
      agent: its name in the registry.
      config: its settings; the traced ones are not read here.
      evaluation_episodes: episodes of each evaluation.
      lanes: name of the vmapped axis around the learner, if any.

    Raises:
      UserError: the agent, the policy and the environment do not fit together.
    """
    env = task.environment()
    policy = task.make_policy(env)
    problem = Problem(policy.parameters, env.spec.episode_length)
    made = registry.agents.load(agent).make(config, problem)
    learner = Evolution(made, env, policy, task.policy.normalise_observations, lanes)
    return Training(
        learner,
        evaluator(env, policy, evaluation_episodes, lanes),
        problem.parameters.size,
    )
