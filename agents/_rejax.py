"""Algorithms of rejax as a `Learner`: their iterations, with the suite's environments and policies.

`SuiteAlgorithm` stands in front of a class of rejax: environments, networks
and observation statistics are the suite's. `RejaxLearner` runs it.

Between iterations the state is carried as plain leaves: rejax makes the classes of its state anew
in every call of `init_state`, and they hold an optimiser that closes over traced numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from flax.training.train_state import TrainState
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.algos.mixins import RewardRMSState

from rl_es.agents._rejax_environments import AutoReset, open_rollout
from rl_es.config import Config, split_traced
from rl_es.errors import UserError
from rl_es.evolution.perturbation import global_norm
from rl_es.interfaces import (
    Discrete,
    Environment,
    Hyper,
    Limit,
    Observation,
    Params,
    Policy,
    Rows,
    Snapshot,
)
from rl_es.rollout.networks import join_agents, outputs_field
from rl_es.rollout.normalisation import (
    Statistics,
    batch_moments,
    initial_statistics,
    merge_moments,
    normalise,
)
from rl_es.rollout.policy import ModulePolicy
from rl_es.rollout.wrappers import implicit_promotion
from rl_es.training.learner import GenerationMetrics, PairlessLearner, run_generations
from rl_es.training.sharding import PopulationSharding


@dataclass(frozen=True)
class PolicyNetwork:
    """A policy without state in the form of a Flax module, whose methods rejax calls by name.

    Observations and actions have a leading [N].

    Attributes:
      policy: The policy.
    """

    policy: ModulePolicy

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        return self.policy.init(key)

    def apply(
        self,
        params: Params,
        observation: Observation,
        *args: Any,
        method: str = "__call__",
        **options: Any,
    ) -> Any:
        """Calls a method by name."""
        return getattr(self, method)(params, observation, *args, **options)


@dataclass(frozen=True)
class Critic:
    """A network with one output, the value of an observation.

    Attributes:
      module: The network.
      observation_shape: Shape of an observation's values.
      joins_agents: The network is given the observations of all agents of a team as one.
    """

    module: nn.Module
    observation_shape: tuple[int, ...]
    joins_agents: bool = False

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        values = self._inputs(jnp.zeros(self.observation_shape))
        return nn.meta.unbox(self.module.init(key, values)["params"])

    def output_size(self) -> int:
        """Returns the number of the network's outputs."""
        observation = Observation(jnp.zeros((1, *self.observation_shape)))
        return jax.eval_shape(lambda: self.apply(self.init(jax.random.key(0)), observation)).size

    def apply(self, params: Params, observation: Observation) -> Array:
        """Returns the values [N] of observations [N, ...]."""
        apply = jax.vmap(lambda values: self.module.apply({"params": params}, self._inputs(values)))
        return jnp.asarray(apply(observation.values)).reshape(-1)

    def _inputs(self, values: Array) -> Array:
        return join_agents(values) if self.joins_agents else values


class SuiteAlgorithm:
    """The first base of a class of rejax's algorithm that runs in the suite.

    Attributes:
      trained: The field of rejax's state that holds what is evaluated.
      target: The field of the copy of its parameters, if there is one.
      keeps_outcome: Whether it reads the `StepOutcome` of steps.
    """

    env: AutoReset
    num_envs: int
    max_grad_norm: Array
    learning_rate: Array
    normalize_observations: bool
    trained: ClassVar[str]
    target: ClassVar[str | None] = None
    keeps_outcome: ClassVar[bool] = False

    @property
    def policy(self) -> ModulePolicy:
        """The policy whose parameters are trained."""
        raise NotImplementedError

    @property
    def vmap_reset(self) -> Any:
        return self.env.reset

    @property
    def vmap_step(self) -> Any:
        return self.env.step

    @property
    def config(self) -> dict[str, Any]:
        """An empty configuration: rejax would copy the environment with it into every state."""
        return {}

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam on gradients that are clipped element by element, as in rejax."""
        return optax.chain(optax.clip(self.max_grad_norm), optax.adam(self.learning_rate))

    def train_state(self, params: Params) -> TrainState:
        """Returns parameters with the optimiser's first state."""
        return TrainState.create(apply_fn=(), params=params, tx=self.optimiser)

    def start_from(self, training: Any, params: Params) -> Any:
        """Returns rejax's state with these parameters of what is evaluated."""
        fields = {self.trained: getattr(training, self.trained).replace(params=params)}
        return training.replace(**fields, **({self.target: params} if self.target else {}))

    @register_init
    def initialize_obs_rms_state(self, rng: Array) -> Mapping[str, Statistics | None]:
        if not self.normalize_observations:
            return {"obs_rms_state": None}
        return {"obs_rms_state": initial_statistics(self.env.env, self.policy)}

    @register_init
    def initialize_reward_rms_state(self, rng: Array) -> Mapping[str, RewardRMSState]:
        zero, unit = jnp.zeros(()), jnp.ones(())  # floats: rejax starts with integers, which change
        returns = jnp.zeros(self.num_envs)
        state = RewardRMSState(mean=zero, var=unit, count=1e-4 * unit, returns=returns)
        return {"rew_rms_state": state}

    def normalize_obs(self, statistics: Statistics, observation: Observation) -> Observation:
        return jax.vmap(lambda row: normalise(statistics, row))(observation)

    def update_obs_rms(self, statistics: Statistics, observation: Observation) -> Statistics:
        values = observation.values
        moments = batch_moments(statistics, values, jnp.ones(len(values), bool))
        return merge_moments(statistics, moments)

    def update_and_normalize_obs(
        self, statistics: Statistics, observation: Observation
    ) -> tuple[Statistics, Observation]:
        statistics = self.update_obs_rms(statistics, observation)
        return statistics, self.normalize_obs(statistics, observation)


@struct.dataclass
class RejaxState:
    """The traced settings, and the leaves of rejax's state by their paths in it."""

    hyper: Hyper
    leaves: Mapping[str, Array]


# rejax's names of settings that have another one in sweep files.
RENAMED = {"lr": "learning_rate", "normalise_rewards": "normalize_rewards"}


@dataclass(frozen=True, eq=False)
class RejaxLearner(PairlessLearner):
    """An algorithm of rejax as a learner; a generation is one or several iterations of it.

    There are no members: the population's mean and best are those of the training episodes that
    ended in the generation.

    Attributes:
      kind: The class of the algorithm, with `SuiteAlgorithm` as a base.
      config: The agent's settings; only the static ones are read.
      env: The environment of training.
      policy: The policy that is evaluated.
      networks: What is trained, by the names of rejax's fields.
      normalise_observations: Keep running statistics of observations, and apply them.
      iterations: Number of rejax's iterations in a generation.
      lanes: Name of the vmapped axis of runs, if they are vmapped.
    """

    kind: type[Any]
    config: Config
    env: Environment
    policy: Policy
    networks: Mapping[str, Any]
    normalise_observations: bool
    iterations: int = 1
    lanes: str | None = None

    @property
    def generation_steps(self) -> int:
        sizes = self.config.model_dump()
        return sizes["num_envs"] * sizes["num_steps"]

    def with_placement(self, lane_axis: str | None, sharding: PopulationSharding) -> "RejaxLearner":
        return replace(self, lanes=lane_axis)

    def init(self, key: Array, hyper: Hyper) -> RejaxState:
        """Returns the state before the first iteration. Consumes `key`."""
        params_key, run_key = jax.random.split(key)
        algorithm = self._algorithm(hyper)
        with implicit_promotion():
            training = algorithm.init_state(run_key)
        # An evolution strategy of the same seed starts from the same parameters.
        params = algorithm.policy.init(params_key)
        return self._pack(hyper, algorithm.start_from(training, params))

    def advance(self, state: RejaxState, limit: Limit) -> tuple[RejaxState, Rows]:
        """Runs generations until a limit is reached (none if it already is), or one diverges."""
        algorithm = self._algorithm(state.hyper)

        def generation(state: RejaxState) -> tuple[RejaxState, GenerationMetrics]:
            before = self._training(state, algorithm.optimiser)
            rollout = before.env_state
            open_state = open_rollout(rollout.env, rollout.running, rollout.outcome)
            with implicit_promotion():
                after = self._iterate(algorithm, before.replace(env_state=open_state))
            rollout, episodes = after.env_state, after.env_state.episodes.sum()
            change = jax.tree.map(
                jnp.subtract, *(getattr(t, algorithm.trained).params for t in (after, before))
            )
            metrics = GenerationMetrics(
                env_steps=rollout.steps.sum(),
                episodes=episodes,
                # nan if no episode ended
                population_mean=rollout.returns.sum() / episodes.astype(jnp.float32),
                population_best=rollout.best.max(),
                update_norm=global_norm(change),
                nonfinite_members=jnp.zeros((), jnp.int32),
            )
            return self._pack(state.hyper, after), metrics

        state, rows = run_generations(limit, generation, state)
        return state, rows.replace(nonfinite_members=None)  # pyright: ignore

    def snapshot(self, state: RejaxState) -> Snapshot:
        """Returns the policy to evaluate and save."""
        training = self._unpack(state)
        params = getattr(training, self.kind.trained).params
        parameters = {name: params[name] for name in self.policy.parameters.shapes}
        return Snapshot(parameters, training.obs_rms_state)

    def _iterate(self, algorithm: Any, training: Any) -> Any:
        """Returns rejax's state after a generation."""
        if self.iterations == 1:
            return algorithm.train_iteration(training)
        return jax.lax.fori_loop(
            0, self.iterations, lambda _, training: algorithm.train_iteration(training), training
        )

    def _algorithm(self, hyper: Hyper) -> Any:
        static, _ = split_traced(self.config)
        settings = {RENAMED.get(name, name): value for name, value in {**static, **hyper}.items()}
        fields = self.kind.__dataclass_fields__
        return self.kind(
            env=AutoReset(self.env, self.lanes, self.kind.keeps_outcome),
            env_params=None,
            eval_callback=lambda *_: None,
            normalize_observations=self.normalise_observations,
            **self.networks,
            **{name: value for name, value in settings.items() if name in fields},
        )

    def _pack(self, hyper: Hyper, training: Any) -> RejaxState:
        leaves = map(jnp.asarray, jax.tree.leaves(training))
        return RejaxState(hyper, dict(zip(self._paths, leaves, strict=True)))

    def _unpack(self, state: RejaxState) -> Any:
        """Returns rejax's state, with an optimiser that must not be used."""
        structure = jax.tree.structure(self._shapes)
        return jax.tree.unflatten(structure, [state.leaves[path] for path in self._paths])

    @cached_property
    def _shapes(self) -> Any:
        """The shapes of rejax's state."""
        numbers = {name: jnp.float32(1) for name in split_traced(self.config)[1]}
        with implicit_promotion():
            return jax.eval_shape(lambda: self._algorithm(numbers).init_state(jax.random.key(0)))

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        """The paths of the leaves of rejax's state."""
        leaves = jax.tree_util.tree_leaves_with_path(self._shapes)
        return tuple(jax.tree_util.keystr(path) for path, _ in leaves)

    def _training(self, state: RejaxState, optimiser: optax.GradientTransformation) -> Any:
        """Returns rejax's state with this optimiser."""
        training = self._unpack(state)
        states = {
            name: value.replace(tx=optimiser)
            for name, value in vars(training).items()
            if isinstance(value, TrainState)
        }
        return training.replace(**states)


def check_team(env: Environment, agent: str) -> None:
    """Refuses an environment of several agents.

    Raises:
      UserError: it is one.
    """
    spec = env.spec
    if spec.agents:
        raise UserError(
            f"{agent}: it learns the value of one agent's action, and {spec.name} has "
            f"{len(spec.agents)} agents; choose ppo"
        )


def check_actions(env: Environment, kind: str, agent: str, others: str) -> None:
    """Refuses an environment of several agents, or whose actions are not `discrete` or `real`.

    Args:
      env: The environment.
      kind: The actions that the agent needs, `discrete` or `real`.
      agent: Its name, for the message.
      others: Names of agents that take the other kind, for the message.

    Raises:
      UserError: says what is needed.
    """
    check_team(env, agent)
    spec = env.spec
    actions = "discrete" if isinstance(spec.action_space, Discrete) else "real"
    if actions != kind:
        raise UserError(
            f"{agent}: it needs {kind} actions, those of {spec.name} are {actions}; choose {others}"
        )


def check_stateless(policy: Policy, agent: str) -> None:
    """Refuses a recurrent network.

    Raises:
      UserError: it is one.
    """
    if jax.tree.leaves(jax.eval_shape(policy.initial_state)):
        raise UserError(
            f"{agent}: a recurrent network cannot be trained; choose another, such as mlp"
        )


def with_one_output(module: nn.Module, agent: str) -> nn.Module:
    """Returns a network of the same shape with one output, for a critic.

    Raises:
      UserError: its number of outputs cannot be chosen.
    """
    kind = type(module)
    if (field := outputs_field(kind)) is None:
        raise UserError(
            f"{agent}: network {kind.__name__} has a fixed number of outputs, and the critic needs "
            "one output; write a field outputs: int"
        )
    one_output: dict[str, Any] = {field: 1}
    return module.clone(**one_output)
