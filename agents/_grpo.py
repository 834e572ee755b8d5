"""GRPO as a `Learner`: sampled groups, advantages within them, and clipped steps up the gradient.

An iteration samples Q starts with G episodes each, whose actions are recorded with their
log-probabilities. The policy is then replayed over the recorded observations, a recurrent one step
by step from its initial state, and its parameters take a step for each minibatch of episodes.

A step with a single allowed action, such as a token of a prompt that is fed to the policy, is no
choice: it has no weight in the objective, and neither has what follows an episode's end. An episode
whose return is not finite does not count. A gradient that is not finite changes nothing.

Axis letters besides those of `rl_es.interfaces`: Q starts, G episodes of a start, E = Q G.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.config import Config
from rl_es.evolution.fitness_shaping import Fitness, finite_fitness
from rl_es.evolution.optimiser import OPTIMISERS, OptimiserFactory, ascend
from rl_es.evolution.perturbation import global_norm
from rl_es.interfaces import (
    Environment,
    Hyper,
    Learner,
    Limit,
    Observation,
    Params,
    Policy,
    Rows,
    Snapshot,
)
from rl_es.rollout.normalisation import (
    Statistics,
    initial_statistics,
    merge_moments,
    normalise,
)
from rl_es.rollout.policy import ModulePolicy, sampling_network
from rl_es.rollout.sampling import SampledStep, SamplingPolicy, start_groups
from rl_es.rollout.unroll import (
    Particle,
    UnrollOutcome,
    record_window,
    single_step,
    time_limit,
)
from rl_es.training.learner import GenerationMetrics, PairlessLearner, run_generations


class Recording(NamedTuple):
    """The steps of episodes, leaves [T, E, ...]; all is blank after an episode's end.

    Attributes:
      observation: What the policy saw, not normalised.
      action: What it did.
      log_prob: [T, E] the log-probability of that.
      alive: [T, E] bool, steps of the episode.
    """

    observation: Observation
    action: Array
    log_prob: Array
    alive: Array

    @property
    def is_choice(self) -> Array:
        """Steps at which more than one action was allowed [T, E] bool."""
        mask = self.observation.action_mask
        if mask is None:
            return self.alive
        has_choice = mask.sum(-1) > 1  # [T, E], or [T, E, I] with several agents
        return self.alive & has_choice.reshape(*self.alive.shape, -1).any(-1)

    def without(self, dropped: Array) -> "Recording":
        """Returns the recording with blanks after the ends, and in dropped episodes [E] bool."""
        alive = self.alive & ~dropped[None]
        mask = self.observation.action_mask
        return Recording(
            Observation(
                _blank(alive, self.observation.values, 0.0),
                None if mask is None else _blank(alive, mask, True),
            ),
            _blank(alive, self.action, 0),
            _blank(alive, self.log_prob, 0.0),
            alive,
        )


def _blank(alive: Array, leaf: Array, value: Any) -> Array:
    """Returns a leaf [T, E, ...] with a value where episodes are over.

    What is not finite there would make gradients nan, however little weight it has.
    """
    alive = alive.reshape(*alive.shape, *(1,) * (leaf.ndim - alive.ndim))
    return jnp.where(alive, leaf, jnp.asarray(value, leaf.dtype))


def group_advantages(fitness: Fitness, group: int, scale: str) -> Array:
    """Returns the distances [E] of returns [E] from their groups' means, scaled; 0 if not finite.

    Args:
      fitness: Returns of the episodes; those of a group stand side by side.
      group: Number of episodes of a group (G).
      scale: group, global or none, as in `rl_es.agents.grpo`.
    """
    returns, finite = (leaf.reshape(-1, group) for leaf in (fitness.values, fitness.finite))
    # From the first return of a group on: equal returns have the distance 0, without rounding.
    distance = returns - returns[:, :1]
    distance = jnp.where(finite, distance - _mean(distance, finite, 1), 0.0)
    if scale == "none":
        return distance.reshape(-1)
    spread, axis = (distance, 1) if scale == "group" else (returns - fitness.mean, None)
    variance = _mean(jnp.square(spread), finite, axis)
    return (distance / jnp.sqrt(variance + 1e-8)).reshape(-1)


def _mean(values: Array, where: Array, axis: int | None) -> Array:
    """Returns means over some of the values along an axis, which is kept; 0 where there is none."""
    total = jnp.where(where, values, 0.0).sum(axis, keepdims=True)
    return total / jnp.maximum(where.sum(axis, keepdims=True, dtype=jnp.float32), 1.0)


@struct.dataclass
class GRPOState:
    """The complete state of a run between two iterations.

    Attributes:
      key: [] the run's key; each iteration folds its number into it.
      generation: [] int32, number of iterations so far.
      params: the parameters, those of the head that samples included.
      optimiser: state of the optimiser.
      hyper: traced hyper-parameters, by name.
      statistics: running statistics of observations; None where they are not normalised.
      reference: the policy that the run started from; None where no divergence is charged.
    """

    key: Array
    generation: Array
    params: Params
    optimiser: Any
    hyper: Hyper
    statistics: Statistics | None
    reference: Snapshot | None


class EpisodeBatch(NamedTuple):
    """Episodes with what their gradient needs, leading axes [T, E] but for advantages.

    Attributes:
      recording: The episodes.
      reference: [T, E] log-probabilities under the start policy, or None.
      advantages: [1, E].
    """

    recording: Recording
    reference: Array | None
    advantages: Array


@dataclass(frozen=True, eq=False)
class GRPO(PairlessLearner):
    """Group relative policy optimisation as a learner; a generation is an iteration.

    There are no members: the population's mean and best are those of the sampled episodes.

    Attributes:
      settings: The static ones of `rl_es.agents.grpo.Hyperparameters`.
      env: The environment of training.
      policy: The policy that is evaluated.
      network: The policy that is trained: the same network, with a head that samples.
      optimiser: Returns the optimiser for hyper-parameters and a learning rate.
      normalise_observations: Keep running statistics of observations, and apply them.
    """

    settings: dict[str, Any]
    env: Environment
    policy: Policy
    network: ModulePolicy
    optimiser: OptimiserFactory
    normalise_observations: bool = False

    @property
    def episodes(self) -> int:
        """Number of episodes of an iteration (E)."""
        return self.settings["prompts"] * self.settings["group"]

    @property
    def generation_steps(self) -> int:
        return self.episodes * time_limit(self.env)

    def init(self, key: Array, hyper: Hyper) -> GRPOState:
        """Returns the state before the first iteration. Consumes `key`."""
        params_key, run_key = jax.random.split(key)  # the same start as an evolution strategy's
        params = self.network.init(params_key)
        statistics = None
        if self.normalise_observations:
            statistics = initial_statistics(self.env, self.network)
        return GRPOState(
            key=run_key,
            generation=jnp.zeros((), jnp.int32),
            params=params,
            optimiser=self.optimiser(hyper, hyper["lr"]).init(params),
            hyper=hyper,
            statistics=statistics,
            reference=Snapshot(params, statistics) if self.settings["kl_coef"] else None,
        )

    def advance(self, state: GRPOState, limit: Limit) -> tuple[GRPOState, Rows]:
        """Runs iterations until a limit is reached (none if it already is), or one diverges."""
        return run_generations(limit, self.generation, state)

    def snapshot(self, state: GRPOState) -> Snapshot:
        """Returns the policy to evaluate and save."""
        params = {name: state.params[name] for name in self.policy.parameters.shapes}
        return Snapshot(params, state.statistics)

    def generation(self, state: GRPOState) -> tuple[GRPOState, GenerationMetrics]:
        """Runs one iteration: samples episodes, and takes a step for each minibatch of them."""
        key = jax.random.fold_in(state.key, state.generation)
        sample_key, order_key = jax.random.split(key)
        outcome, recording = self.sample(state, sample_key)
        fitness = finite_fitness(outcome.returns)
        batch = self.batch(state, recording, fitness)
        params, optimiser = self.improve(state, batch, order_key)
        statistics = state.statistics
        if statistics is not None and outcome.moments is not None:
            statistics = merge_moments(statistics, outcome.moments)
        metrics = GenerationMetrics(
            env_steps=outcome.lengths.sum(),
            episodes=jnp.asarray(self.episodes, jnp.int32),
            population_mean=fitness.mean,
            population_best=fitness.best,
            update_norm=global_norm(jax.tree.map(jnp.subtract, params, state.params)),
            nonfinite_members=fitness.nonfinite,
        )
        next_state = state.replace(  # pyright: ignore[reportAttributeAccessIssue]
            generation=state.generation + 1,
            params=params,
            optimiser=optimiser,
            statistics=statistics,
        )
        return next_state, metrics

    def sample(self, state: GRPOState, key: Array) -> tuple[UnrollOutcome, Recording]:
        """Samples groups of episodes that start alike. Consumes `key`."""
        reset_key, step_key = jax.random.split(key)
        policy = self._sampling_policy(state.hyper)
        prompts, group = self.settings["prompts"], self.settings["group"]
        particles = start_groups(self.env, policy, reset_key, prompts, group)
        keys = jax.random.split(step_key, self.episodes)
        step = single_step(self.env, policy, state.params, state.statistics)
        return record_window(
            step, particles, keys, time_limit(self.env), _record_step, state.statistics
        )

    def batch(self, state: GRPOState, recording: Recording, fitness: Fitness) -> EpisodeBatch:
        """Returns the episodes with their advantages, and with the start policy's opinion."""
        recording = recording.without(~fitness.finite)
        reference = None
        if state.reference is not None:
            start = state.reference
            reference = self.log_probs(start.params, recording, start.statistics, state.hyper)
        settings = self.settings
        advantages = group_advantages(fitness, settings["group"], settings["scale"])
        return EpisodeBatch(recording, reference, advantages[None])

    def improve(self, state: GRPOState, batch: EpisodeBatch, key: Array) -> tuple[Params, Any]:
        """Returns parameters and optimiser after all epochs and minibatches. Consumes `key`."""
        hyper, settings = state.hyper, self.settings
        lr = hyper["lr"] * hyper["lr_decay"] ** state.generation.astype(jnp.float32)
        gradient_of = jax.grad(self.objective)

        def step(carry: tuple[Params, Any], chosen: Array) -> tuple[tuple[Params, Any], None]:
            part = jax.tree.map(lambda leaf: leaf[:, chosen], batch)
            gradient = gradient_of(carry[0], part, state.statistics, hyper)
            leaves = jax.tree.leaves(gradient)
            is_finite = jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]))
            *after, _ = ascend(self.optimiser, hyper, lr, carry[1], carry[0], gradient)
            return jax.tree.map(
                lambda new, old: jnp.where(is_finite, new, old), tuple(after), carry
            ), None

        keys = jax.random.split(key, settings["epochs"])
        orders = jax.vmap(lambda key: jax.random.permutation(key, self.episodes))(keys)
        parts = orders.reshape(settings["epochs"] * settings["minibatches"], -1)
        return jax.lax.scan(step, (state.params, state.optimiser), parts)[0]

    def objective(
        self, params: Params, batch: EpisodeBatch, statistics: Statistics | None, hyper: Hyper
    ) -> Array:
        """Returns the clipped objective of some episodes [], which is ascended."""
        recording, advantages = batch.recording, batch.advantages
        is_choice = recording.is_choice
        log_probs = self.log_probs(params, recording, statistics, hyper)
        ratio = jnp.exp(jnp.where(is_choice, log_probs - recording.log_prob, 0.0))
        clipped = jnp.clip(ratio, 1 - hyper["clip_eps"], 1 + hyper["clip_eps"])
        gain = jnp.minimum(ratio * advantages, clipped * advantages)
        if batch.reference is not None:
            distance = jnp.where(is_choice, batch.reference - log_probs, 0.0)
            gain -= self.settings["kl_coef"] * (jnp.expm1(distance) - distance)
        steps, episodes = is_choice.shape
        lengths = jnp.full((1, episodes), float(steps))
        if self.settings["average"] == "steps":
            lengths = jnp.maximum(is_choice.sum(0, keepdims=True, dtype=jnp.float32), 1.0)
        return jnp.where(is_choice, gain / lengths, 0.0).sum() / episodes

    def log_probs(
        self, params: Params, recording: Recording, statistics: Statistics | None, hyper: Hyper
    ) -> Array:
        """Returns the log-probabilities [T, E] of recorded actions under these parameters."""
        policy = self._sampling_policy(hyper)
        observations = jax.vmap(jax.vmap(lambda seen: normalise(statistics, seen)))(
            recording.observation
        )
        log_probs = partial(policy.log_probs, recompute=self.settings["recompute"])
        replay = jax.vmap(log_probs, (None, 1, 1), 1)
        return replay(params, observations, recording.action)

    def _sampling_policy(self, hyper: Hyper) -> SamplingPolicy:
        return SamplingPolicy(self.network, hyper["temperature"])


def _record_step(before: Particle, after: Particle) -> Recording:
    sampled: SampledStep = after.policy
    return Recording(before.observation, sampled.action, sampled.log_prob, ~before.done)


def make_grpo(
    config: Config, env: Environment, policy: Policy, normalise_observations: bool
) -> Learner:
    """Returns GRPO as a learner with these settings.

    Raises:
      UserError: the policy is not a network, or the environment never ends.
    """
    time_limit(env)
    return GRPO(
        settings=config.model_dump(),
        env=env,
        policy=policy,
        network=sampling_network(policy, "grpo"),
        optimiser=OPTIMISERS[config.model_dump()["optimiser"]],
        normalise_observations=normalise_observations,
    )
