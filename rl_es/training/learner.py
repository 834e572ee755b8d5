"""Evolution: an agent, an environment and a policy as one learner of compiled generations.

A generation is: ask for noise, unroll the population, shape the returns, contract them with the
noise, tell the agent.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.evolution.keys import block_keys
from rl_es.interfaces import (
    Agent,
    Environment,
    Hyper,
    Limit,
    Memory,
    Policy,
    Rows,
    Segment,
    Snapshot,
)
from rl_es.rollout.normalisation import Statistics, empty, merge
from rl_es.rollout.unroll import Particle
from rl_es.training.segments import Held, Unfolding, unfolding


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
    particles: Particle | None
    fresh: Array
    statistics: Statistics | None


@dataclass(frozen=True, eq=False)
class Evolution:
    """The learner of every evolution strategy.

    Attributes:
      normalise_observations: keep running statistics of observations and apply them.
      lanes: name of the vmapped axis around `advance`, if it is vmapped over runs.
    """

    agent: Agent
    env: Environment
    policy: Policy
    normalise_observations: bool = False
    lanes: str | None = None

    @property
    def pairs(self) -> int:
        """H, antithetic pairs of the population."""
        return self.agent.population // 2

    @cached_property
    def unfolding(self) -> Unfolding:
        """How a generation's population is unrolled."""
        return unfolding(self.agent.segment, self.env, self.policy, self.pairs, self.lanes)

    def init(self, key: Array, hyper: Hyper) -> TrainState:
        """The state before the first generation. Consumes `key`."""
        params_key, run_key = jax.random.split(key)
        shape = self.env.spec.observation_shape
        return TrainState(
            key=run_key,
            generation=jnp.zeros((), jnp.int32),
            agent=self.agent.init(self.policy.init(params_key), hyper),
            memory=self.agent.remember(self.pairs),
            particles=self.unfolding.particles(),
            fresh=jnp.ones((self.pairs,), bool),
            statistics=empty(shape) if self.normalise_observations else None,
        )

    def advance(self, state: TrainState, limit: Limit) -> tuple[TrainState, Rows]:
        """Generations until either limit is reached (none if it already is), or one diverges."""
        none = jnp.zeros((), jnp.int32)
        unknown = jnp.full((), jnp.nan)
        rows = Rows(none, none, none, unknown, unknown, unknown)

        def unfinished(carry: tuple[TrainState, Rows]) -> Array:
            _, rows = carry
            within = (rows.generations < limit.generations) & (rows.env_steps < limit.env_steps)
            return within & ((rows.generations == 0) | jnp.isfinite(rows.update_norm))

        def generation(carry: tuple[TrainState, Rows]) -> tuple[TrainState, Rows]:
            state, rows = carry
            state, segment, change = self.generation(state)
            return state, Rows(
                generations=rows.generations + 1,
                env_steps=rows.env_steps + segment.steps,
                episodes=rows.episodes + segment.episodes,
                population_mean=segment.returns.mean(),
                population_best=segment.returns.max(),
                update_norm=change,
            )

        return jax.lax.while_loop(unfinished, generation, (state, rows))

    def snapshot(self, state: TrainState) -> Snapshot:
        """What is evaluated and saved."""
        return Snapshot(self.agent.center(state.agent), state.statistics)

    def generation(self, state: TrainState) -> tuple[TrainState, Segment, Array]:
        """One generation: the next state, its segment, and [] the norm of the change."""
        agent = self.agent
        key = jax.random.fold_in(state.key, state.generation)
        noise_keys, reset_keys, step_keys = (
            block_keys(part, self.pairs) for part in jax.random.split(key, 3)
        )
        noise, memory = agent.ask(noise_keys, state.agent, state.memory, state.fresh)
        members = agent.members(state.agent, noise)
        segment, particles, moments = self.unfolding.run(
            members,
            Held(state.particles, state.fresh, state.statistics),
            reset_keys,
            step_keys,
        )
        weights = agent.shape(state.agent, segment)
        update = agent.contract(state.agent, noise, memory, weights)
        agent_state, change = agent.tell(state.agent, update, segment)
        statistics = state.statistics
        if statistics is not None and moments is not None:
            statistics = merge(statistics, moments)
        after = TrainState(
            key=state.key,
            generation=state.generation + 1,
            agent=agent_state,
            memory=memory,
            particles=particles,
            fresh=segment.ended,
            statistics=statistics,
        )
        return after, segment, change
