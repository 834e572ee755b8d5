"""Evolution: an agent, an environment and a policy as one learner of compiled generations.

A generation is: ask for noise, unroll the population, shape the returns, contract them with the
noise, tell the agent. Between the returns of all members and the sum of all updates, each device
and each chunk of the population is on its own.

Agents see finite returns only: a member whose return is not finite counts as the worst of its
generation. A generation that has no finite return at all tells the agent nothing, and leaves it as
it was, momentum and decays included: of an update of zeros an optimiser would still make a step.
The next one draws other noise around the same centre.

Generation after generation inside one compiled call.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

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
    Policy,
    Rows,
    Segment,
    Snapshot,
    Update,
)
from rl_es.rollout.normalisation import Statistics, empty_statistics, merge_moments
from rl_es.rollout.segments import SegmentOutcome, SegmentStart, Unroller, make_unroller
from rl_es.rollout.unroll import time_limit
from rl_es.training.sharding import UNSHARDED, PopulationSharding, sum_chunks


class GenerationMetrics(NamedTuple):
    """What is counted and reported of one generation."""

    env_steps: Array  # [] int32
    episodes: Array  # [] int32, finished
    population_mean: Array  # [] float32
    population_best: Array  # [] float32
    update_norm: Array  # [] float32, of the change of the policy's parameters
    nonfinite_members: Array  # [] int32, whose return is not finite


def run_generations(
    limit: Limit, generation: Callable[[Any], tuple[Any, GenerationMetrics]], state: Any
) -> tuple[Any, Rows]:
    """Generations until either limit is reached (none if it already is), or one diverges.

    Args:
      limit: of this call.
      generation: state -> the next state, and what is reported of it.
      state: any pytree of arrays.
    """
    none, unknown = jnp.zeros((), jnp.int32), jnp.full((), jnp.nan)
    rows = Rows(none, none, none, unknown, unknown, unknown, none)

    def unfinished(carry: tuple[Any, Rows]) -> Array:
        _, rows = carry
        within = (rows.generations < limit.generations) & (rows.env_steps < limit.env_steps)
        return within & ((rows.generations == 0) | jnp.isfinite(rows.update_norm))

    def one(carry: tuple[Any, Rows]) -> tuple[Any, Rows]:
        state, rows = carry
        state, done = generation(state)
        return state, Rows(
            generations=rows.generations + 1,
            env_steps=rows.env_steps + done.env_steps,
            episodes=rows.episodes + done.episodes,
            population_mean=done.population_mean,
            population_best=done.population_best,
            update_norm=done.update_norm,
            nonfinite_members=rows.nonfinite_members + done.nonfinite_members,  # pyright: ignore
        )

    return jax.lax.while_loop(unfinished, one, (state, rows))


@struct.dataclass
class TrainState:
    """Everything that a run is, between two generations.

    Attributes:
      key: [] the run's key; generations fold their number into it.
      generation: [] int32.
      agent: the agent's state.
      memory: [H, ...] what the agent remembers of each pair.
      particles: those of persistent segments, else None.
      fresh: [H] bool, pairs whose episode starts with the next generation.
      statistics: of observations, or None where they are not normalised.
    """

    key: Array
    generation: Array
    agent: Any
    memory: Memory
    particles: Any
    fresh: Array
    statistics: Statistics | None


# memory, what the rollout leaves behind, and weights [2H] -> the sum of their update
EvaluatedPopulation = tuple[Memory, SegmentOutcome, Callable[[Array], Update]]


class PopulationSlice(NamedTuple):
    """What a part of a population starts a generation from: block keys [blocks], the rest [H]."""

    noise_keys: Array
    reset_keys: Array
    step_keys: Array
    memory: Memory
    particles: Any
    fresh: Array


@dataclass(frozen=True, eq=False)
class Evolution:
    """The learner of every evolution strategy.

    Attributes:
      normalise_observations: keep running statistics of observations and apply them.
      lanes: name of the vmapped axis around `advance`, if it is vmapped over runs.
      spread: of the population over devices and chunks. With more than one shard, all functions
        run inside a `shard_map` over its axis, and see their own part of the state's pairs.
    """

    agent: Agent
    env: Environment
    policy: Policy
    normalise_observations: bool = False
    lanes: str | None = None
    spread: PopulationSharding = UNSHARDED

    @property
    def pairs(self) -> int:
        """H, antithetic pairs of the population."""
        return self.agent.population // 2

    @property
    def generation_steps(self) -> int:
        """Most steps of a generation, of the agent's."""
        segment, population = self.agent.segment, self.agent.population
        if isinstance(segment, Episode):
            return population * segment.episodes * time_limit(self.env)
        centres = population // 2 if segment.start == "centre" else 0
        return (population + centres) * segment.steps

    def placed(self, lanes: str | None, spread: PopulationSharding) -> "Evolution":
        """The same for lanes vmapped under this axis name, and a population so spread."""
        return replace(self, lanes=lanes, spread=spread)

    @cached_property
    def unfolding(self) -> Unroller:
        """How a generation's population is unrolled."""
        return make_unroller(self.agent.segment, self.env, self.policy, self.lanes)

    @property
    def pairwise(self) -> Any:
        """Which parts of the state lead with the pair axis, and are spread over shards."""
        spread = {"memory", "particles", "fresh"}
        marks: dict[str, Any] = {name: name in spread for name in TrainState.__dataclass_fields__}
        return TrainState(**marks)

    def init(self, key: Array, hyper: Hyper) -> TrainState:
        """The state before the first generation. Consumes `key`."""
        params_key, run_key = jax.random.split(key)
        shape = self.env.spec.observation_shape
        pairs = self.spread.local(self.pairs)
        return TrainState(
            key=run_key,
            generation=jnp.zeros((), jnp.int32),
            agent=self.agent.init(self.policy.init(params_key), hyper),
            memory=self.agent.remember(pairs),
            particles=self.unfolding.particles(self.spread.own(jnp.arange(self.pairs))),
            fresh=jnp.ones((pairs,), bool),
            statistics=empty_statistics(shape) if self.normalise_observations else None,
        )

    def advance(self, state: TrainState, limit: Limit) -> tuple[TrainState, Rows]:
        """Generations until either limit is reached (none if it already is), or one diverges."""

        def generation(state: TrainState) -> tuple[TrainState, GenerationMetrics]:
            state, _, done = self.generation(state)
            return state, done

        return run_generations(limit, generation, state)

    def snapshot(self, state: TrainState) -> Snapshot:
        """What is evaluated and saved."""
        return Snapshot(self.agent.center(state.agent), state.statistics)

    def generation(self, state: TrainState) -> tuple[TrainState, Segment, GenerationMetrics]:
        """One generation: the next state, the segment that the agent saw, what is reported."""
        agent, spread = self.agent, self.spread
        key = jax.random.fold_in(state.key, state.generation)
        noise, reset, step = (spread.keys(part, self.pairs) for part in jax.random.split(key, 3))
        part = PopulationSlice(noise, reset, step, state.memory, state.particles, state.fresh)
        evaluate = self._at_once if spread.chunks == 1 else self._in_chunks
        memory, unfolded, contract = evaluate(state, part)
        found = unfolded.segment
        judged = finite_fitness(spread.gather(found.returns))
        segment = Segment(
            returns=judged.values,
            ended=spread.gather(found.ended),
            steps=spread.total(found.steps),
            episodes=spread.total(found.episodes),
        )
        weights = agent.shape(state.agent, segment)
        update = spread.total(contract(spread.own(weights)))
        agent_state, change = self._told(state.agent, update, segment, judged)
        statistics = state.statistics
        if statistics is not None and unfolded.moments is not None:
            statistics = merge_moments(statistics, spread.total(unfolded.moments))
        after = TrainState(
            key=state.key,
            generation=state.generation + 1,
            agent=agent_state,
            memory=memory,
            particles=unfolded.particles,
            fresh=found.ended,
            statistics=statistics,
        )
        done = GenerationMetrics(
            env_steps=segment.steps,
            episodes=segment.episodes,
            population_mean=judged.mean,
            population_best=judged.best,
            update_norm=change,
            nonfinite_members=judged.nonfinite,
        )
        return after, segment, done

    def _told(
        self, agent_state: Any, update: Update, segment: Segment, judged: Fitness
    ) -> tuple[Any, Array]:
        """The agent's next state, and [] the norm of the change; as it was where no return is."""
        after, change = self.agent.tell(agent_state, update, segment)
        known = judged.finite.any()
        kept = jax.tree.map(lambda new, old: jnp.where(known, new, old), after, agent_state)
        return kept, jnp.where(known, change, 0.0)

    def _evaluate(
        self, state: TrainState, part: PopulationSlice
    ) -> tuple[Noise, Memory, SegmentOutcome]:
        """Draws a part's noise and unrolls its members."""
        noise, memory = self.agent.ask(part.noise_keys, state.agent, part.memory, part.fresh)
        members = self.agent.members(state.agent, noise)
        held = SegmentStart(part.particles, part.fresh, state.statistics)
        return noise, memory, self.unfolding.run(members, held, part.reset_keys, part.step_keys)

    def _at_once(self, state: TrainState, part: PopulationSlice) -> EvaluatedPopulation:
        """All of a device's pairs; their noise is kept for the update."""
        noise, memory, unfolded = self._evaluate(state, part)
        return (
            memory,
            unfolded,
            lambda weights: self.agent.contract(state.agent, noise, memory, weights),
        )

    def _in_chunks(self, state: TrainState, part: PopulationSlice) -> EvaluatedPopulation:
        """Chunk after chunk; the noise of each is drawn again for the update."""
        spread, parts = self.spread, self.spread.cut(part)
        memory, unfolded = jax.lax.map(lambda part: self._evaluate(state, part)[1:], parts)
        found = unfolded.segment
        whole = SegmentOutcome(
            Segment(
                returns=spread.join(found.returns),
                ended=spread.join(found.ended),
                steps=sum_chunks(found.steps),
                episodes=sum_chunks(found.episodes),
            ),
            spread.join(unfolded.particles),
            sum_chunks(unfolded.moments),
        )

        def contract(weights: Array) -> Update:
            def add_up(part: PopulationSlice, memory: Memory, weights: Array) -> Update:
                # What was remembered is there; where only that is read, XLA draws nothing anew.
                noise, _ = self.agent.ask(part.noise_keys, state.agent, part.memory, part.fresh)
                return self.agent.contract(state.agent, noise, memory, weights)

            def add(
                total: Update, chunk: tuple[PopulationSlice, Memory, Array]
            ) -> tuple[Update, None]:
                return jax.tree.map(jnp.add, total, add_up(*chunk)), None

            chunks = parts, memory, spread.cut(weights)
            one = jax.tree.map(lambda leaf: leaf[0], chunks)
            shapes = jax.eval_shape(lambda chunk: add_up(*chunk), one)
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            return jax.lax.scan(add, zeros, chunks)[0]

        return spread.join(memory), whole, contract
