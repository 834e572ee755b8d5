"""The learner of evolution strategies: one generation in five stages, and many in one call.

A generation is five stages, pure methods of `Evolution` that `Evolution.generation` composes:

  ask       draws the noise of antithetic pairs around the agent's centre
  unroll    runs the perturbed members in the environment for a segment
  shape     gathers all members' returns, makes them finite, and turns them into weights
  contract  sums weights times noise over pairs: the update
  tell      moves the agent along the update, and merges the observation statistics

`ask`, `unroll` and `contract` act on a `PopulationSlice`: all pairs of a device, or one chunk of
them. `shape` and `tell` see the whole population. Devices communicate twice a generation, when
returns are gathered and when updates are summed.

Agents see finite returns only: a member whose return is not finite counts as the worst of its
generation. A generation without any finite return leaves the agent as it was, momentum and decays
included: even for an update of zeros an optimiser would make a step. The next generation draws
other noise around the same centre.

`advance` runs generation after generation inside one compiled call.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.evolution.fitness_shaping import Fitness, finite_fitness
from rl_es.interfaces import (
    Agent,
    Environment,
    Episode,
    Hyper,
    Limit,
    Memory,
    Noise,
    Params,
    Policy,
    Rows,
    Segment,
    Snapshot,
    Update,
)
from rl_es.rollout.normalisation import Statistics, initial_statistics, merge_moments
from rl_es.rollout.segments import SegmentOutcome, SegmentStart, Unroller, make_unroller
from rl_es.rollout.unroll import time_limit
from rl_es.training.sharding import UNSHARDED, PopulationSharding, sum_chunks


@struct.dataclass
class TrainState:
    """The complete state of a run between two generations.

    Attributes:
      key: [] the run's key; each generation folds its number into it.
      generation: [] int32, number of generations so far.
      agent: the agent's state.
      memory: [H, ...] what the agent remembers of each pair.
      particles: [H, ...] the particles of persistent segments, else None.
      fresh: [H] bool, pairs whose episode starts with the next generation.
      statistics: running statistics of observations; None where they are not normalised.
    """

    key: Array
    generation: Array
    agent: Any
    memory: Memory
    particles: Any
    fresh: Array
    statistics: Statistics | None


class PopulationSlice(NamedTuple):
    """Some pairs of a population at the start of a generation: a device's pairs, or one chunk.

    Attributes:
      noise_keys: [blocks] the keys of the noise, one per block of 64 pairs.
      reset_keys: [blocks] the keys of the resets.
      step_keys: [blocks] the keys of the steps.
      memory: [H, ...] what the agent remembers of each pair.
      particles: [H, ...] the particles of persistent segments, else None.
      fresh: [H] bool, pairs whose episode starts now.
    """

    noise_keys: Array
    reset_keys: Array
    step_keys: Array
    memory: Memory
    particles: Any
    fresh: Array


class PopulationNoise(NamedTuple):
    """The noise of a `PopulationSlice`.

    Attributes:
      noise: [H, ...] the agent's noise of the plus members.
      memory: [H, ...] what the agent remembers of each pair after the draw.
    """

    noise: Noise
    memory: Memory


class ShapedReturns(NamedTuple):
    """The returns of a whole population and the weights made of them.

    Attributes:
      segment: the segment that the agent sees: finite returns [P], sums over all devices.
      fitness: the same returns [P], with a mask of those that were finite.
      weights: [P] the agent's weight of each member.
    """

    segment: Segment
    fitness: Fitness
    weights: Array


class GenerationMetrics(NamedTuple):
    """Counters and metrics of one generation."""

    env_steps: Array  # [] int32
    episodes: Array  # [] int32, finished
    population_mean: Array  # [] float32
    population_best: Array  # [] float32
    update_norm: Array  # [] float32, of the change of the policy's parameters
    nonfinite_members: Array  # [] int32, whose return is not finite


def run_generations(
    limit: Limit, generation: Callable[[Any], tuple[Any, GenerationMetrics]], state: Any
) -> tuple[Any, Rows]:
    """Runs generations until either limit is reached (none if it already is), or one diverges.

    Args:
      limit: of this call.
      generation: state -> (next state, metrics).
      state: any pytree of arrays.
    """
    zero, nan = jnp.zeros((), jnp.int32), jnp.full((), jnp.nan)
    rows = Rows(zero, zero, zero, nan, nan, nan, zero)

    def is_unfinished(carry: tuple[Any, Rows]) -> Array:
        _, rows = carry
        within = (rows.generations < limit.generations) & (rows.env_steps < limit.env_steps)
        return within & ((rows.generations == 0) | jnp.isfinite(rows.update_norm))

    def step(carry: tuple[Any, Rows]) -> tuple[Any, Rows]:
        state, rows = carry
        state, metrics = generation(state)
        return state, Rows(
            generations=rows.generations + 1,
            env_steps=rows.env_steps + metrics.env_steps,
            episodes=rows.episodes + metrics.episodes,
            population_mean=metrics.population_mean,
            population_best=metrics.population_best,
            update_norm=metrics.update_norm,
            nonfinite_members=rows.nonfinite_members + metrics.nonfinite_members,  # pyright: ignore
        )

    return jax.lax.while_loop(is_unfinished, step, (state, rows))


class PairlessLearner:
    """Base of learners without pairs of members: devices and chunks divide nothing of theirs."""

    @property
    def pairs(self) -> None:
        """None: there are no pairs."""
        return None

    @property
    def pairwise(self) -> bool:
        """False: no array of the state leads with a pair axis."""
        return False

    def with_placement(self, lane_axis: str | None, sharding: PopulationSharding) -> Self:
        """Returns the learner itself: lanes share nothing."""
        return self


@dataclass(frozen=True, eq=False)
class Evolution:
    """The learner of every evolution strategy.

    Attributes:
      agent: the strategy.
      env: the environment that members are evaluated on.
      policy: the network and its head.
      normalise_observations: keep running statistics of observations and apply them.
      lane_axis: name of the vmapped axis around `advance`, if it is vmapped over runs.
      sharding: of the population over devices and chunks. With more than one shard, all methods
        run inside a `shard_map` over its axis, and see their own device's pairs of the state.
    """

    agent: Agent
    env: Environment
    policy: Policy
    normalise_observations: bool = False
    lane_axis: str | None = None
    sharding: PopulationSharding = UNSHARDED

    @property
    def pairs(self) -> int:
        """Number of antithetic pairs of the population (H)."""
        return self.agent.population // 2

    @property
    def generation_steps(self) -> int:
        """Most environment steps of a generation, an action that is repeated counted once."""
        segment, population = self.agent.segment, self.agent.population
        if isinstance(segment, Episode):
            return population * segment.episodes * time_limit(self.env)
        centres = population // 2 if segment.start == "centre" else 0
        return (population + centres) * segment.steps

    def with_placement(self, lane_axis: str | None, sharding: PopulationSharding) -> "Evolution":
        """Returns the same learner for lanes vmapped under this axis name and sharded pairs."""
        return replace(self, lane_axis=lane_axis, sharding=sharding)

    @cached_property
    def unroller(self) -> Unroller:
        """The rollout of a generation's segment."""
        return make_unroller(self.agent.segment, self.env, self.policy, self.lane_axis)

    @property
    def pairwise(self) -> Any:
        """A tree prefix of the state: True for arrays that lead with the pair axis."""
        names = {"memory", "particles", "fresh"}
        marks: dict[str, Any] = {name: name in names for name in TrainState.__dataclass_fields__}
        return TrainState(**marks)

    def initial_params(self, key: Array) -> Params:
        """Returns the policy's parameters that `init` draws of the same key."""
        return self.policy.init(jax.random.split(key)[0])

    def init(self, key: Array, hyper: Hyper, params: Params | None = None) -> TrainState:
        """Returns the state before the first generation. Consumes `key`.

        Args:
          key: the run's key.
          hyper: the traced settings.
          params: what `initial_params` returns of the key, if it is known.
        """
        run_key = jax.random.split(key)[1]
        params = self.initial_params(key) if params is None else params
        pairs = self.sharding.local_pairs(self.pairs)
        statistics = None
        if self.normalise_observations:
            statistics = initial_statistics(self.env, self.policy)
        return TrainState(
            key=run_key,
            generation=jnp.zeros((), jnp.int32),
            agent=self.agent.init(params, hyper),
            memory=self.agent.remember(pairs),
            particles=self.unroller.particles(self.sharding.local_slice(jnp.arange(self.pairs))),
            fresh=jnp.ones((pairs,), bool),
            statistics=statistics,
        )

    def advance(self, state: TrainState, limit: Limit) -> tuple[TrainState, Rows]:
        """Runs generations until a limit is reached (none if it already is), or one diverges."""

        def generation(state: TrainState) -> tuple[TrainState, GenerationMetrics]:
            state, _, metrics = self.generation(state)
            return state, metrics

        return run_generations(limit, generation, state)

    def snapshot(self, state: TrainState) -> Snapshot:
        """Returns what is evaluated and saved."""
        return Snapshot(self.agent.center(state.agent), state.statistics)

    def generation(self, state: TrainState) -> tuple[TrainState, Segment, GenerationMetrics]:
        """Runs one generation: returns the next state, the segment that the agent saw, metrics."""
        sharding, pairs = self.sharding, self.population_slice(state)
        if sharding.chunks == 1:
            noise = self.ask(state, pairs)
            memory, outcome = noise.memory, self.unroll(state, pairs, noise)
            shaping = self.shape(state, outcome)
            update = self.contract(state, noise, sharding.local_slice(shaping.weights))
        else:
            memory, outcome = self._unroll_chunks(state, pairs)
            shaping = self.shape(state, outcome)
            weights = sharding.local_slice(shaping.weights)
            update = self._contract_chunks(state, pairs, memory, weights)
        update = sharding.sum_shards(update)
        state, metrics = self.tell(state, update, shaping, memory, outcome)
        return state, shaping.segment, metrics

    def population_slice(self, state: TrainState) -> PopulationSlice:
        """Returns all of this device's pairs, with the keys of the state's next generation."""
        key = jax.random.fold_in(state.key, state.generation)
        noise_keys, reset_keys, step_keys = (
            self.sharding.local_keys(part, self.pairs) for part in jax.random.split(key, 3)
        )
        return PopulationSlice(
            noise_keys, reset_keys, step_keys, state.memory, state.particles, state.fresh
        )

    def ask(self, state: TrainState, pairs: PopulationSlice) -> PopulationNoise:
        """Draws the noise of some pairs. Consumes their `noise_keys`.

        Returns:
          Noise and memory, leaves [H, ...].
        """
        agent = self.agent
        return PopulationNoise(*agent.ask(pairs.noise_keys, state.agent, pairs.memory, pairs.fresh))

    def unroll(
        self, state: TrainState, pairs: PopulationSlice, noise: PopulationNoise
    ) -> SegmentOutcome:
        """Unrolls the members of some pairs. Consumes their `reset_keys` and `step_keys`.

        Returns:
          Returns [2H], the pairs' particles [H, ...], and the moments of what was observed.
        """
        members = self.agent.members(state.agent, noise.noise)
        start = SegmentStart(pairs.particles, pairs.fresh, state.statistics)
        return self.unroller.run(members, start, pairs.reset_keys, pairs.step_keys)

    def shape(self, state: TrainState, outcome: SegmentOutcome) -> ShapedReturns:
        """Gathers the returns of all devices, makes them finite, and weighs the members.

        Args:
          state: the state that the generation started from.
          outcome: of this device's pairs: returns [2H].

        Returns:
          Returns and weights of the whole population [P].
        """
        sharding, segment = self.sharding, outcome.segment
        fitness = finite_fitness(sharding.gather(segment.returns))
        segment = Segment(
            returns=fitness.values,
            ended=sharding.gather(segment.ended),
            steps=sharding.sum_shards(segment.steps),
            episodes=sharding.sum_shards(segment.episodes),
        )
        return ShapedReturns(segment, fitness, self.agent.shape(state.agent, segment))

    def contract(self, state: TrainState, noise: PopulationNoise, weights: Array) -> Update:
        """Sums weights [2H] times the signed noise of their pairs; not yet over devices."""
        return self.agent.contract(state.agent, noise.noise, noise.memory, weights)

    def tell(
        self,
        state: TrainState,
        update: Update,
        shaping: ShapedReturns,
        memory: Memory,
        outcome: SegmentOutcome,
    ) -> tuple[TrainState, GenerationMetrics]:
        """Updates the agent and the statistics; without any finite return the agent stays.

        Args:
          state: the state that the generation started from.
          update: summed over the whole population.
          shaping: the whole population's returns.
          memory: [H, ...] what the agent remembers of this device's pairs.
          outcome: of this device's pairs.
        """
        fitness, segment = shaping.fitness, shaping.segment
        after, change = self.agent.tell(state.agent, update, segment)
        usable = fitness.finite.any()
        agent = jax.tree.map(lambda new, old: jnp.where(usable, new, old), after, state.agent)
        statistics = state.statistics
        if statistics is not None and outcome.moments is not None:
            moments = self.sharding.sum_shards(outcome.moments)
            statistics = merge_moments(statistics, moments)
        state = TrainState(
            key=state.key,
            generation=state.generation + 1,
            agent=agent,
            memory=memory,
            particles=outcome.particles,
            fresh=outcome.segment.ended,
            statistics=statistics,
        )
        metrics = GenerationMetrics(
            env_steps=segment.steps,
            episodes=segment.episodes,
            population_mean=fitness.mean,
            population_best=fitness.best,
            update_norm=jnp.where(usable, change, 0.0),
            nonfinite_members=fitness.nonfinite,
        )
        return state, metrics

    def _unroll_chunks(
        self, state: TrainState, pairs: PopulationSlice
    ) -> tuple[Memory, SegmentOutcome]:
        """Asks for and unrolls a device's pairs chunk by chunk; the noise is not kept.

        Returns:
          The memory [H, ...] and the outcome of all chunks.
        """
        sharding = self.sharding

        def evaluate(chunk: PopulationSlice) -> tuple[Memory, SegmentOutcome]:
            noise = self.ask(state, chunk)
            return noise.memory, self.unroll(state, chunk, noise)

        memory, chunks = jax.lax.map(evaluate, sharding.split_chunks(pairs))
        segment = Segment(
            returns=sharding.join_chunks(chunks.segment.returns),
            ended=sharding.join_chunks(chunks.segment.ended),
            steps=sum_chunks(chunks.segment.steps),
            episodes=sum_chunks(chunks.segment.episodes),
        )
        particles, moments = sharding.join_chunks(chunks.particles), sum_chunks(chunks.moments)
        return sharding.join_chunks(memory), SegmentOutcome(segment, particles, moments)

    def _contract_chunks(
        self, state: TrainState, pairs: PopulationSlice, memory: Memory, weights: Array
    ) -> Update:
        """Contracts a device's pairs chunk by chunk; the noise of each chunk is drawn again."""

        def contract(chunk: tuple[PopulationSlice, Memory, Array]) -> Update:
            pairs, memory, weights = chunk
            # An agent that contracts its memory alone needs no noise: XLA then draws none.
            noise = self.ask(state, pairs)._replace(memory=memory)
            return self.contract(state, noise, weights)

        def add(total: Update, chunk: Any) -> tuple[Update, None]:
            return jax.tree.map(jnp.add, total, contract(chunk)), None

        chunks = self.sharding.split_chunks((pairs, memory, weights))
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        shapes = jax.eval_shape(contract, first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(add, zeros, chunks)[0]
