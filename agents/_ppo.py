"""PPO of rejax as a `Learner`: its training iteration, with the suite's environments and policies.

`AutoReset` is a batch of environments in the form that rejax expects: they reset themselves, and
their counts are kept. `Actor` and `Critic` are a policy of the suite, and its network with one
output. `SuitePPO` is rejax's algorithm with these; `PPOLearner` runs it.

Between iterations the state is carried as plain leaves: rejax makes the classes of its state anew
in every call of `init_state`, and they hold an optimiser that closes over traced numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from flax.training.train_state import TrainState
from gymnax.environments import spaces
from jax import Array
from rejax.algos.algorithm import register_init
from rejax.algos.mixins import RewardRMSState
from rejax.algos.ppo import PPO

from rl_es.config import Config
from rl_es.errors import UserError
from rl_es.evolution.perturbation import global_norm, select_fresh
from rl_es.interfaces import (
    Discrete,
    Environment,
    EnvState,
    Hyper,
    Learner,
    Limit,
    Observation,
    Params,
    Policy,
    Rows,
    Snapshot,
)
from rl_es.rollout.heads import Stochastic, stochastic
from rl_es.rollout.networks import outputs_field
from rl_es.rollout.normalisation import (
    Statistics,
    batch_moments,
    initial_statistics,
    merge_moments,
    normalise,
)
from rl_es.rollout.policy import ModulePolicy, sampling_network
from rl_es.rollout.wrappers import implicit_promotion
from rl_es.training.learner import GenerationMetrics, run_generations


@struct.dataclass
class RolloutState:
    """The states of N environments, and counts since `open_rollout`.

    Attributes:
      env: [N, ...] states.
      running: [N] returns so far of the current episodes.
      steps: [N] int32, number of environment steps.
      episodes: [N] int32, number of episodes that ended.
      returns: [N] sum of the returns of these.
      best: [N] highest of these returns; -inf if no episode ended.
    """

    env: EnvState
    running: Array
    steps: Array
    episodes: Array
    returns: Array
    best: Array


def open_rollout(env: EnvState, running: Array) -> RolloutState:
    """Returns a state whose counts are zero, for environments in these states."""
    counts, zeros = jnp.zeros(running.shape, jnp.int32), jnp.zeros(running.shape)
    return RolloutState(env, running, counts, counts, zeros, jnp.full(running.shape, -jnp.inf))


@dataclass(frozen=True)
class AutoReset:
    """N copies of an environment; keys, states, actions and results have a leading [N].

    Attributes:
      env: The environment.
      lanes: Name of the vmapped axis of runs, if they are vmapped.
    """

    env: Environment
    lanes: str | None = None

    def action_space(self, params: Any = None) -> spaces.Box | spaces.Discrete:
        """Returns the action space in rejax's form."""
        space = self.env.spec.action_space
        if isinstance(space, Discrete):
            return spaces.Discrete(space.n)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        return spaces.Box(low, high, space.shape)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """Returns the observation space in rejax's form."""
        return spaces.Box(-jnp.inf, jnp.inf, self.env.spec.observation_shape)

    def reset(self, keys: Array, params: Any = None) -> tuple[Observation, RolloutState]:
        """Starts an episode in each. Consumes the keys."""
        state, observation = jax.vmap(self.env.reset)(keys)
        return observation, open_rollout(state, jnp.zeros(keys.shape))

    def step(
        self, keys: Array, state: RolloutState, actions: Array, params: Any = None
    ) -> tuple[Observation, RolloutState, Array, Array, dict[str, Any]]:
        """Takes one step in each. At an episode's end the observation is the first of the next."""
        step_keys, reset_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        after = jax.vmap(self.env.step)(step_keys, state.env, actions)
        done = after.terminated | after.truncated
        running = state.running + after.reward
        next_states = after.state, after.observation

        def reset_done() -> Any:
            return select_fresh(done, jax.vmap(self.env.reset)(reset_keys), next_states)

        # Where episodes are long, most steps end none, and a reset can cost more than a step. Under
        # vmap a condition that differs between lanes runs both branches: all lanes share one.
        any_end = done.any().astype(jnp.int32)
        any_end = any_end if self.lanes is None else jax.lax.pmax(any_end, self.lanes)
        env, observation = jax.lax.cond(any_end > 0, reset_done, lambda: next_states)
        next_state = RolloutState(
            env=env,
            running=jnp.where(done, 0.0, running),
            steps=state.steps + jnp.asarray(after.steps, jnp.int32),
            episodes=state.episodes + done.astype(jnp.int32),
            returns=state.returns + jnp.where(done, running, 0.0),
            best=jnp.where(done, jnp.maximum(state.best, running), state.best),
        )
        return observation, next_state, after.reward, done, {}


@dataclass(frozen=True)
class Actor:
    """A policy without state whose head samples. Observations and actions have a leading [N]."""

    policy: ModulePolicy
    head: Stochastic

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        return self.policy.init(key)

    def apply(self, params: Params, observation: Observation, *args: Any, method: str) -> Any:
        """Calls a method by name, as a Flax module does."""
        return getattr(self, method)(params, observation, *args)

    def action_log_prob(
        self, params: Params, observation: Observation, key: Array
    ) -> tuple[Array, Array]:
        """Samples actions [N, ...]; returns their log-probabilities [N], too. Consumes `key`."""

        def sample(head: Any, output: Array, mask: Array | None, key: Array) -> Any:
            action = self.head.act(head, output, mask, key)
            return action, self.head.log_prob(head, output, mask, action)

        keys = jax.random.split(key, len(observation.values))
        return self._vmap(sample, params, observation, keys)

    def log_prob_entropy(
        self, params: Params, observation: Observation, actions: Array
    ) -> tuple[Array, Array]:
        """Returns log-probabilities [N] of actions [N, ...], and the entropies [N]."""

        def evaluate(head: Any, output: Array, mask: Array | None, action: Array) -> Any:
            log_prob = self.head.log_prob(head, output, mask, action)
            return log_prob, self.head.entropy(head, output, mask)

        return self._vmap(evaluate, params, observation, actions)

    def _vmap(
        self, function: Callable[..., Any], params: Params, observation: Observation, extra: Array
    ) -> Any:
        """Vmaps `function(head's parameters, network's output, mask, extra)` over [N]."""
        network, head = params["network"], params.get("head", {})

        def call(observation: Observation, extra: Array) -> Any:
            _, output = self.policy.apply(network, (), observation.values)
            return function(head, jnp.asarray(output).reshape(-1), observation.action_mask, extra)

        return jax.vmap(call)(observation, extra)


@dataclass(frozen=True)
class Critic:
    """A network with one output, the value of an observation."""

    module: nn.Module
    observation_shape: tuple[int, ...]

    def init(self, key: Array) -> Params:
        """Draws initial parameters. Consumes `key`."""
        return nn.meta.unbox(self.module.init(key, jnp.zeros(self.observation_shape))["params"])

    def output_size(self) -> int:
        """Returns the number of the network's outputs."""
        observation = Observation(jnp.zeros((1, *self.observation_shape)))
        return jax.eval_shape(lambda: self.apply(self.init(jax.random.key(0)), observation)).size

    def apply(self, params: Params, observation: Observation) -> Array:
        """Returns the values [N] of observations [N, ...]."""
        apply = jax.vmap(lambda values: self.module.apply({"params": params}, values))
        return jnp.asarray(apply(observation.values)).reshape(-1)


_Untyped: Any = PPO  # its annotations allow its own environments and networks only


class SuitePPO(_Untyped):
    """rejax's algorithm with the suite's environments, networks and observation statistics."""

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

    @register_init
    def initialize_network_params(self, rng: Array) -> Mapping[str, TrainState]:
        states = {}
        for name, key in zip(("actor", "critic"), jax.random.split(rng), strict=True):
            params = getattr(self, name).init(key)
            states[f"{name}_ts"] = TrainState.create(apply_fn=(), params=params, tx=self.optimiser)
        return states

    @register_init
    def initialize_obs_rms_state(self, rng: Array) -> Mapping[str, Statistics | None]:
        if not self.normalize_observations:
            return {"obs_rms_state": None}
        return {"obs_rms_state": initial_statistics(self.env.env, self.actor.policy)}

    @register_init
    def initialize_reward_rms_state(self, rng: Array) -> Mapping[str, RewardRMSState]:
        zero, unit = jnp.zeros(()), jnp.ones(())  # floats: rejax starts with integers, which change
        returns = jnp.zeros(self.num_envs)
        state = RewardRMSState(mean=zero, var=unit, count=1e-4 * unit, returns=returns)
        return {"rew_rms_state": state}

    def update_and_normalize_obs(
        self, statistics: Statistics, observation: Observation
    ) -> tuple[Statistics, Observation]:
        values = observation.values
        moments = batch_moments(statistics, values, jnp.ones(len(values), bool))
        statistics = merge_moments(statistics, moments)
        return statistics, jax.vmap(lambda row: normalise(statistics, row))(observation)


@struct.dataclass
class PPOState:
    """The traced settings, and the leaves of rejax's state by their paths in it."""

    hyper: Hyper
    leaves: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class PPOLearner:
    """PPO as a learner; a generation is one iteration of rejax.

    There are no members: the population's mean and best are those of the training episodes that
    ended in the iteration.

    Attributes:
      config: `rl_es.agents.ppo.Hyperparameters`; only the static ones are read.
      env: The environment of training.
      policy: The policy that is evaluated.
      actor: The policy that is trained: the same network, with a head that samples.
      critic: The critic, a network of the same shape.
      normalise_observations: Keep running statistics of observations, and apply them.
      lanes: Name of the vmapped axis of runs, if they are vmapped.
    """

    config: Config
    env: Environment
    policy: Policy
    actor: Actor
    critic: Critic
    normalise_observations: bool
    lanes: str | None = None

    @property
    def pairs(self) -> None:
        return None

    @property
    def pairwise(self) -> bool:
        return False

    @property
    def generation_steps(self) -> int:
        sizes = self.config.model_dump()
        return sizes["num_envs"] * sizes["num_steps"]

    def with_placement(self, lane_axis: str | None, sharding: Any) -> "PPOLearner":
        return replace(self, lanes=lane_axis)  # there are no pairs to shard

    def init(self, key: Array, hyper: Hyper) -> PPOState:
        """Returns the state before the first iteration. Consumes `key`."""
        params_key, run_key = jax.random.split(key)
        with implicit_promotion():
            training = self._algorithm(hyper).init_state(run_key)
        # An evolution strategy of the same seed starts from the same parameters.
        actor = training.actor_ts.replace(params=self.actor.init(params_key))
        return self._pack(hyper, training.replace(actor_ts=actor))

    def advance(self, state: PPOState, limit: Limit) -> tuple[PPOState, Rows]:
        """Runs iterations until a limit is reached (none if it already is), or one diverges."""
        algorithm = self._algorithm(state.hyper)

        def iteration(state: PPOState) -> tuple[PPOState, GenerationMetrics]:
            before = self._training(state, algorithm.optimiser)
            open_state = open_rollout(before.env_state.env, before.env_state.running)
            with implicit_promotion():
                after = algorithm.train_iteration(before.replace(env_state=open_state))
            rollout, episodes = after.env_state, after.env_state.episodes.sum()
            change = jax.tree.map(jnp.subtract, after.actor_ts.params, before.actor_ts.params)
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

        state, rows = run_generations(limit, iteration, state)
        return state, rows.replace(nonfinite_members=None)  # pyright: ignore

    def snapshot(self, state: PPOState) -> Snapshot:
        """Returns the policy to evaluate and save."""
        training = self._unpack(state)
        params = training.actor_ts.params
        parameters = {name: params[name] for name in self.policy.parameters.shapes}
        return Snapshot(parameters, training.obs_rms_state)

    def _algorithm(self, hyper: Hyper) -> SuitePPO:
        sizes = ("num_envs", "num_steps", "num_epochs", "num_minibatches")
        numbers = ("gamma", "gae_lambda", "clip_eps", "ent_coef", "vf_coef", "max_grad_norm")
        settings = self.config.model_dump()
        return SuitePPO(
            env=AutoReset(self.env, self.lanes),
            env_params=None,
            eval_callback=lambda *_: None,
            actor=self.actor,
            critic=self.critic,
            normalize_observations=self.normalise_observations,
            normalize_rewards=settings["normalise_rewards"],
            learning_rate=hyper["lr"],
            **{name: settings[name] for name in sizes},
            **{name: hyper[name] for name in numbers},
        )

    def _pack(self, hyper: Hyper, training: Any) -> PPOState:
        leaves = map(jnp.asarray, jax.tree.leaves(training))
        return PPOState(hyper, dict(zip(self._paths, leaves, strict=True)))

    def _unpack(self, state: PPOState) -> Any:
        """Returns rejax's state, with an optimiser that must not be used."""
        structure = jax.tree.structure(self._shapes)
        return jax.tree.unflatten(structure, [state.leaves[path] for path in self._paths])

    @cached_property
    def _shapes(self) -> Any:
        """The shapes of rejax's state."""
        numbers = {name: jnp.float32(1) for name in type(self.config).model_fields}
        with implicit_promotion():
            return jax.eval_shape(lambda: self._algorithm(numbers).init_state(jax.random.key(0)))

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        """The paths of the leaves of rejax's state."""
        leaves = jax.tree_util.tree_leaves_with_path(self._shapes)
        return tuple(jax.tree_util.keystr(path) for path, _ in leaves)

    def _training(self, state: PPOState, optimiser: optax.GradientTransformation) -> Any:
        """Returns rejax's state with this optimiser."""
        training = self._unpack(state)
        return training.replace(
            actor_ts=training.actor_ts.replace(tx=optimiser),
            critic_ts=training.critic_ts.replace(tx=optimiser),
        )


def make_ppo(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns PPO as a learner with these settings.

    Raises:
      UserError: the policy is not a network without state.
    """
    trained = sampling_network(policy, "ppo")
    if jax.tree.leaves(jax.eval_shape(policy.initial_state)):
        raise UserError("ppo: a recurrent network cannot be trained; choose another, such as mlp")
    kind = type(trained.module)
    if (field := outputs_field(kind)) is None:
        raise UserError(
            f"ppo: network {kind.__name__} has a fixed number of outputs, and the critic needs one "
            "output; write a field outputs: int"
        )
    one_output: dict[str, Any] = {field: 1}
    critic = Critic(trained.module.clone(**one_output), trained.observation_shape)
    if (size := critic.output_size()) != 1:
        reason = f"of one output it gives {size}"
        raise UserError(f"ppo: network {kind.__name__} cannot give one value: {reason}")
    actor = Actor(trained, stochastic(trained.head))
    return PPOLearner(config, env, policy, actor, critic, normalise_observations)
