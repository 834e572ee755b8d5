"""The learner of strategies that write their population out, each member with its own parameters.

`rl_es.training.learner` is for noise in antithetic pairs around one centre, which can be drawn
block by block. A `PopulationStrategy` sees its whole population at once: it can recombine members,
keep them, or draw them from any distribution. Its state and its population lie on every device;
devices share the rollout alone, and chunks bound the memory of the rollout alone.

A generation is that of every learner: members are evaluated on a segment, a return that is not
finite counts as the worst, and a generation without any finite return changes nothing. Members h
and P / 2 + h share the random numbers of the environment, and of a policy that samples: antithetic
strategies have a pair's two members there.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.evolution.fitness_shaping import finite_fitness
from rl_es.evolution.perturbation import global_norm
from rl_es.interfaces import (
    Environment,
    Episode,
    Hyper,
    Limit,
    Params,
    Persistent,
    Policy,
    Rows,
    Segment,
    SeparateMembers,
    Snapshot,
)
from rl_es.rollout.normalisation import Statistics, initial_statistics, merge_moments
from rl_es.rollout.segments import SegmentOutcome, SegmentStart, Unroller, make_unroller
from rl_es.rollout.unroll import time_limit
from rl_es.training.learner import GenerationMetrics, run_generations
from rl_es.training.sharding import UNSHARDED, PopulationSharding, sum_chunks


class PopulationStrategy(Protocol):
    """A strategy that writes its population out. All methods are safe under jit and vmap."""

    @property
    def population(self) -> int:
        """Number of members (P), even."""
        ...

    @property
    def segment(self) -> Episode | Persistent:
        """The part of an episode that members are evaluated on in a generation."""
        ...

    def init(self, key: Array, params: Params, hyper: Hyper) -> Any:
        """Returns the state around initial parameters, with the traced numbers. Consumes `key`."""
        ...

    def ask(self, key: Array, state: Any) -> tuple[Params, Any]:
        """Returns the population, leaves [P, ...], and the next state. Consumes `key`."""
        ...

    def tell(self, key: Array, state: Any, population: Params, returns: Array) -> Any:
        """Returns the next state, by finite returns [P]. Consumes `key`."""
        ...

    def starts_episodes(self, state: Any) -> Array:
        """Returns whether all persistent particles start an episode next, [] bool."""
        ...

    def center(self, state: Any) -> Params:
        """Returns the parameters that are evaluated and saved."""
        ...


@struct.dataclass
class PopulationState:
    """The complete state of a run between two generations.

    Attributes:
      key: [] the run's key; each generation folds its number into it.
      generation: [] int32, number of generations so far.
      strategy: the strategy's state.
      center: the parameters that are evaluated and saved.
      particles: [H, ...] the particles of persistent segments, else None.
      statistics: running statistics of observations; None where they are not normalised.
    """

    key: Array
    generation: Array
    strategy: Any
    center: Params
    particles: Any
    statistics: Statistics | None


@dataclass(frozen=True, eq=False)
class PopulationLearner:
    """The learner of a `PopulationStrategy`.

    Attributes:
      strategy: the strategy.
      env: the environment that members are evaluated on.
      policy: the network and its head.
      normalise_observations: keep running statistics of observations and apply them.
      lane_axis: name of the vmapped axis around `advance`, if it is vmapped over runs.
      sharding: of the rollout over devices and chunks.
    """

    strategy: PopulationStrategy
    env: Environment
    policy: Policy
    normalise_observations: bool = False
    lane_axis: str | None = None
    sharding: PopulationSharding = UNSHARDED

    @property
    def pairs(self) -> int:
        """Number of pairs of members that share random numbers (H)."""
        return self.strategy.population // 2

    @property
    def generation_steps(self) -> int:
        """Most environment steps of a generation, an action that is repeated counted once."""
        segment = self.strategy.segment
        if isinstance(segment, Episode):
            return self.strategy.population * segment.episodes * time_limit(self.env)
        return self.strategy.population * segment.steps

    @property
    def pairwise(self) -> PopulationState:
        """A tree prefix of the state: True for arrays that lead with the pair axis."""
        fields = PopulationState.__dataclass_fields__
        marks: dict[str, Any] = {name: name == "particles" for name in fields}
        return PopulationState(**marks)

    @cached_property
    def unroller(self) -> Unroller:
        """The rollout of a generation's segment."""
        return make_unroller(self.strategy.segment, self.env, self.policy, self.lane_axis)

    def with_placement(
        self, lane_axis: str | None, sharding: PopulationSharding
    ) -> "PopulationLearner":
        """Returns the same learner for lanes vmapped under this axis name and sharded pairs."""
        return replace(self, lane_axis=lane_axis, sharding=sharding)

    def initial_params(self, key: Array) -> Params:
        """Returns the policy's parameters that `init` draws of the key: an evolution strategy's."""
        return self.policy.init(jax.random.split(key)[0])

    def init(self, key: Array, hyper: Hyper, params: Params | None = None) -> PopulationState:
        """Returns the state before the first generation; arguments as in `Evolution.init`."""
        strategy_key, run_key = jax.random.split(jax.random.split(key)[1])
        params = self.initial_params(key) if params is None else params
        statistics = None
        if self.normalise_observations:
            statistics = initial_statistics(self.env, self.policy)
        strategy = self.strategy.init(strategy_key, params, hyper)
        return PopulationState(
            key=run_key,
            generation=jnp.zeros((), jnp.int32),
            strategy=strategy,
            center=self.strategy.center(strategy),
            particles=self.unroller.particles(self.sharding.local_slice(jnp.arange(self.pairs))),
            statistics=statistics,
        )

    def advance(self, state: PopulationState, limit: Limit) -> tuple[PopulationState, Rows]:
        """Runs generations until a limit is reached (none if it already is), or one diverges."""
        return run_generations(limit, self.generation, state)

    def snapshot(self, state: PopulationState) -> Snapshot:
        """Returns what is evaluated and saved."""
        return Snapshot(state.center, state.statistics)

    def generation(self, state: PopulationState) -> tuple[PopulationState, GenerationMetrics]:
        """Runs one generation: asks for the population, unrolls it, and tells its returns."""
        key = jax.random.fold_in(state.key, state.generation)
        ask_key, tell_key, reset_key, step_key = jax.random.split(key, 4)
        strategy, before = self.strategy, state.strategy
        population, asked_state = strategy.ask(ask_key, before)
        outcome = self._unroll(state, population, reset_key, step_key)
        pair_returns = self.sharding.gather(outcome.segment.returns).reshape(self.pairs, 2)
        fitness = finite_fitness(pair_returns.T.reshape(-1))
        after = strategy.tell(tell_key, asked_state, population, fitness.values)
        usable = fitness.finite.any()
        after = jax.tree.map(lambda new, old: jnp.where(usable, new, old), after, before)
        center = strategy.center(after)
        change = jax.tree.map(jnp.subtract, center, state.center)
        statistics = state.statistics
        if statistics is not None and outcome.moments is not None:
            statistics = merge_moments(statistics, self.sharding.sum_shards(outcome.moments))
        metrics = GenerationMetrics(
            env_steps=self.sharding.sum_shards(outcome.segment.steps),
            episodes=self.sharding.sum_shards(outcome.segment.episodes),
            population_mean=fitness.mean,
            population_best=fitness.best,
            update_norm=global_norm(change),
            nonfinite_members=fitness.nonfinite,
        )
        next_state = PopulationState(
            state.key, state.generation + 1, after, center, outcome.particles, statistics
        )
        return next_state, metrics

    def _unroll(
        self, state: PopulationState, population: Params, reset_key: Array, step_key: Array
    ) -> SegmentOutcome:
        """Unrolls this device's pairs, chunk by chunk. Consumes both keys.

        Args:
          state: The state that the generation started from.
          population: Leaves [P, ...].
          reset_key: The key of the resets.
          step_key: The key of the steps.
        """
        sharding, pairs = self.sharding, self.pairs

        def pair(leaf: Array) -> Array:
            return leaf.reshape(2, pairs, *leaf.shape[1:]).swapaxes(0, 1)

        members = jax.tree.map(lambda leaf: sharding.local_slice(pair(leaf)), population)
        keys = [sharding.local_keys(key, pairs) for key in (reset_key, step_key)]
        starts = self.strategy.starts_episodes(state.strategy)

        def unroll(chunk: Any) -> SegmentOutcome:
            params, particles, reset_keys, step_keys = chunk
            (leaf, *_) = jax.tree.leaves(params)
            fresh = jnp.broadcast_to(starts, leaf.shape[:1])
            start = SegmentStart(particles, fresh, state.statistics)
            return self.unroller.run(SeparateMembers(params), start, reset_keys, step_keys)

        work = (members, state.particles, *keys)
        if sharding.chunks == 1:
            return unroll(work)
        chunks = jax.lax.map(unroll, sharding.split_chunks(work))
        segment = Segment(
            returns=sharding.join_chunks(chunks.segment.returns),
            ended=sharding.join_chunks(chunks.segment.ended),
            steps=sum_chunks(chunks.segment.steps),
            episodes=sum_chunks(chunks.segment.episodes),
        )
        particles = sharding.join_chunks(chunks.particles)
        return SegmentOutcome(segment, particles, sum_chunks(chunks.moments))
