"""rejax's PPO as a `Learner`: its training iteration around the suite's environments and policies.

rejax's state is carried between iterations as its plain leaves: its own classes are made anew by
every call of `init_state`, and hold an optimiser that closes over traced numbers.

A batch of environments that reset themselves where an episode ends, and count what was played.

rejax expects a step that resets by itself and gives observation, state, reward, done and a
dictionary.

A policy of the suite as rejax's actor, and its network with one output as the critic.
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
from rl_es.rollout.networks import is_recurrent
from rl_es.rollout.normalisation import (
    Statistics,
    batch_moments,
    empty_statistics,
    merge_moments,
    normalise,
)
from rl_es.rollout.policy import ModulePolicy
from rl_es.rollout.wrappers import implicit_promotion
from rl_es.training.learner import GenerationMetrics, run_generations


@struct.dataclass
class RolloutState:
    """The states of N environments, and counts of what happened in them since `opened`.

    Attributes:
      env: [N, ...] states.
      running: [N] return so far of the episode that is being played.
      steps: [N] int32, environment steps.
      episodes: [N] int32, episodes that ended.
      returns: [N] sum of the returns of these.
      best: [N] highest of these returns, -inf where no episode ended.
    """

    env: EnvState
    running: Array
    steps: Array
    episodes: Array
    returns: Array
    best: Array


def open_rollout(env: EnvState, running: Array) -> RolloutState:
    """Counts that start at zero, for environments in these states."""
    nothing, zeros = jnp.zeros(running.shape, jnp.int32), jnp.zeros(running.shape)
    return RolloutState(env, running, nothing, nothing, zeros, jnp.full(running.shape, -jnp.inf))


@dataclass(frozen=True)
class AutoReset:
    """N copies of an environment; keys, states, actions and results have a leading [N].

    Attributes:
      env: one of them.
      lanes: name of the vmapped axis around it, if runs are vmapped.
    """

    env: Environment
    lanes: str | None = None

    def action_space(self, params: Any = None) -> spaces.Box | spaces.Discrete:
        """The action space as rejax reads it."""
        space = self.env.spec.action_space
        if isinstance(space, Discrete):
            return spaces.Discrete(space.n)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        return spaces.Box(low, high, space.shape)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """The observation space as rejax reads it."""
        return spaces.Box(-jnp.inf, jnp.inf, self.env.spec.observation_shape)

    def reset(self, keys: Array, params: Any = None) -> tuple[Observation, RolloutState]:
        """Starts all of them. Consumes the keys."""
        state, observation = jax.vmap(self.env.reset)(keys)
        return observation, open_rollout(state, jnp.zeros(keys.shape))

    def step(
        self, keys: Array, state: RolloutState, actions: Array, params: Any = None
    ) -> tuple[Observation, RolloutState, Array, Array, dict[str, Any]]:
        """One step of each. Where an episode ends, the observation is the next episode's first."""
        step_keys, reset_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        after = jax.vmap(self.env.step)(step_keys, state.env, actions)
        done = after.terminated | after.truncated
        running = state.running + after.reward

        def anew() -> Any:
            fresh = jax.vmap(self.env.reset)(reset_keys)
            return select_fresh(done, fresh, same)

        # Where episodes are long most steps end none, and a reset can cost more than a step. Under
        # vmap a condition that differs between lanes runs both branches: all lanes share one.
        same = after.state, after.observation
        ended = done.any().astype(jnp.int32)
        ended = ended if self.lanes is None else jax.lax.pmax(ended, self.lanes)
        env, observation = jax.lax.cond(ended > 0, anew, lambda: same)
        played = RolloutState(
            env=env,
            running=jnp.where(done, 0.0, running),
            steps=state.steps + jnp.asarray(after.steps, jnp.int32),
            episodes=state.episodes + done.astype(jnp.int32),
            returns=state.returns + jnp.where(done, running, 0.0),
            best=jnp.where(done, jnp.maximum(state.best, running), state.best),
        )
        return observation, played, after.reward, done, {}


@dataclass(frozen=True)
class Actor:
    """A policy without state, whose head samples. Observations and actions have a leading [N]."""

    policy: ModulePolicy
    head: Stochastic

    def init(self, key: Array) -> Params:
        """Initial parameters. Consumes `key`."""
        return self.policy.init(key)

    def apply(self, params: Params, observation: Observation, *args: Any, method: str) -> Any:
        """Calls a method by name, as a Flax module does."""
        return getattr(self, method)(params, observation, *args)

    def action_log_prob(
        self, params: Params, observation: Observation, key: Array
    ) -> tuple[Array, Array]:
        """Sampled actions [N, ...] and their log-probabilities [N]. Consumes `key`."""

        def sampled(own: Any, output: Array, mask: Array | None, key: Array) -> Any:
            action = self.head.act(own, output, mask, key)
            return action, self.head.log_prob(own, output, mask, action)

        keys = jax.random.split(key, len(observation.values))
        return self._mapped(sampled, params, observation, keys)

    def log_prob_entropy(
        self, params: Params, observation: Observation, actions: Array
    ) -> tuple[Array, Array]:
        """Log-probabilities [N] of actions [N, ...], and the distributions' entropies [N]."""

        def told(own: Any, output: Array, mask: Array | None, action: Array) -> Any:
            found = self.head.log_prob(own, output, mask, action)
            return found, self.head.entropy(own, output, mask)

        return self._mapped(told, params, observation, actions)

    def _mapped(
        self, function: Callable[..., Any], params: Params, observation: Observation, others: Array
    ) -> Any:
        """`function(head's parameters, network's output, mask, other)`, vmapped over [N]."""
        network, own = {"params": params["network"]}, params.get("head", {})

        def one(observation: Observation, other: Array) -> Any:
            output = self.policy.module.apply(network, observation.values)
            return function(own, jnp.asarray(output).reshape(-1), observation.action_mask, other)

        return jax.vmap(one)(observation, others)


@dataclass(frozen=True)
class Critic:
    """A network of one output: the value of an observation."""

    module: nn.Module
    observation_shape: tuple[int, ...]

    def init(self, key: Array) -> Params:
        """Initial parameters. Consumes `key`."""
        return nn.meta.unbox(self.module.init(key, jnp.zeros(self.observation_shape))["params"])

    def values(self) -> int:
        """How many numbers it gives of one observation."""
        one = Observation(jnp.zeros((1, *self.observation_shape)))
        return jax.eval_shape(lambda: self.apply(self.init(jax.random.key(0)), one)).size

    def apply(self, params: Params, observation: Observation) -> Array:
        """Values [N] of observations [N, ...]."""
        apply = jax.vmap(lambda values: self.module.apply({"params": params}, values))
        return jnp.asarray(apply(observation.values)).reshape(-1)


_Untyped: Any = PPO  # its types name its own environments and networks only


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
        """Empty: rejax reads it whenever it makes a state, and would copy the environment."""
        return {}

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam on gradients that are clipped element by element, as rejax has it."""
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
        shape = self.env.env.spec.observation_shape
        return {"obs_rms_state": empty_statistics(shape) if self.normalize_observations else None}

    @register_init
    def initialize_reward_rms_state(self, rng: Array) -> Mapping[str, RewardRMSState]:
        zero, one = jnp.zeros(()), jnp.ones(())  # rejax starts with integers, which do not stay so
        returns = jnp.zeros(self.num_envs)
        state = RewardRMSState(mean=zero, var=one, count=1e-4 * one, returns=returns)
        return {"rew_rms_state": state}

    def update_and_normalize_obs(
        self, statistics: Statistics, observation: Observation
    ) -> tuple[Statistics, Observation]:
        values = observation.values
        seen = batch_moments(statistics, values, jnp.ones(len(values), bool))
        statistics = merge_moments(statistics, seen)
        return statistics, jax.vmap(lambda one: normalise(statistics, one))(observation)


@struct.dataclass
class PPOState:
    """The traced settings, and the leaves of rejax's state by their places in it."""

    hyper: Hyper
    leaves: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class PPOLearner:
    """PPO as a learner; one of its generations is one iteration of rejax.

    The population's mean and best are those of the training episodes that ended in the iteration,
    since there are no members.

    Attributes:
      config: `agents.ppo.Hyperparameters`; the traced ones are not read here.
      env: what is trained on.
      policy: what is evaluated.
      actor: what is trained: the same network, with a head that samples.
      critic: of the same shape as the network.
      normalise_observations: keep running statistics of observations and apply them.
      lanes: name of the vmapped axis around it, if it is vmapped over runs.
    """

    config: Config
    env: Environment
    policy: ModulePolicy
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

    def placed(self, lanes: str | None, spread: Any) -> "PPOLearner":
        return replace(self, lanes=lanes)  # there are no pairs to spread

    def init(self, key: Array, hyper: Hyper) -> PPOState:
        """The state before the first iteration. Consumes `key`."""
        params_key, run_key = jax.random.split(key)
        with implicit_promotion():
            training = self._algorithm(hyper).init_state(run_key)
        # An evolution strategy of the same seed starts from the same parameters.
        actor = training.actor_ts.replace(params=self.actor.init(params_key))
        return self._packed(hyper, training.replace(actor_ts=actor))

    def advance(self, state: PPOState, limit: Limit) -> tuple[PPOState, Rows]:
        """Iterations until either limit is reached (none if it already is), or one diverges."""
        algorithm = self._algorithm(state.hyper)

        def iteration(state: PPOState) -> tuple[PPOState, GenerationMetrics]:
            before = self._training(state, algorithm.optimiser)
            played = open_rollout(before.env_state.env, before.env_state.running)
            with implicit_promotion():
                after = algorithm.train_iteration(before.replace(env_state=played))
            played, episodes = after.env_state, after.env_state.episodes.sum()
            change = jax.tree.map(jnp.subtract, after.actor_ts.params, before.actor_ts.params)
            done = GenerationMetrics(
                env_steps=played.steps.sum(),
                episodes=episodes,
                # Not a number where no episode ended.
                population_mean=played.returns.sum() / episodes.astype(jnp.float32),
                population_best=played.best.max(),
                update_norm=global_norm(change),
                nonfinite_members=jnp.zeros((), jnp.int32),
            )
            return self._packed(state.hyper, after), done

        state, rows = run_generations(limit, iteration, state)
        return state, rows.replace(nonfinite_members=None)  # pyright: ignore

    def snapshot(self, state: PPOState) -> Snapshot:
        """What is evaluated and saved."""
        training = self._unpacked(state)
        params = training.actor_ts.params
        own = {name: params[name] for name in self.policy.parameters.shapes}
        return Snapshot(own, training.obs_rms_state)

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

    def _packed(self, hyper: Hyper, training: Any) -> PPOState:
        leaves = map(jnp.asarray, jax.tree.leaves(training))
        return PPOState(hyper, dict(zip(self._places, leaves, strict=True)))

    def _unpacked(self, state: PPOState) -> Any:
        """Rejax's state, with an optimiser that must not be used."""
        structure = jax.tree.structure(self._shapes)
        return jax.tree.unflatten(structure, [state.leaves[place] for place in self._places])

    @cached_property
    def _shapes(self) -> Any:
        """Of rejax's state."""
        numbers = {name: jnp.float32(1) for name in type(self.config).model_fields}
        with implicit_promotion():
            return jax.eval_shape(lambda: self._algorithm(numbers).init_state(jax.random.key(0)))

    @cached_property
    def _places(self) -> tuple[str, ...]:
        found = jax.tree_util.tree_leaves_with_path(self._shapes)
        return tuple(jax.tree_util.keystr(path) for path, _ in found)

    def _training(self, state: PPOState, optimiser: optax.GradientTransformation) -> Any:
        training = self._unpacked(state)
        return training.replace(
            actor_ts=training.actor_ts.replace(tx=optimiser),
            critic_ts=training.critic_ts.replace(tx=optimiser),
        )


def make_ppo(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """The learner of these settings.

    Raises:
      UserError: the policy is not a network without state.
    """
    if not isinstance(policy, ModulePolicy):
        raise UserError("ppo: it trains a network; choose another than network: parameters")
    if is_recurrent(policy.module):
        raise UserError("ppo: a recurrent network cannot be trained; choose another, such as mlp")
    _ = policy.parameters  # refuses a network that does not fit
    head = stochastic(policy.head)
    if policy.zeros:
        raise UserError("ppo: from init: zeros no gradient reaches hidden layers; leave it out")
    critic = Critic(policy.module.clone(outputs=1), policy.observation_shape)
    if (values := critic.values()) != 1:
        name = type(policy.module).__name__
        raise UserError(
            f"ppo: network {name} cannot give one value: of one output it gives {values}"
        )
    actor = Actor(replace(policy, head=head), head)
    return PPOLearner(config, env, policy, actor, critic, normalise_observations)
