"""Evolution: an agent, an environment and a policy as one learner of compiled generations.

A generation is ask (noise), unroll, shape, contract, tell. Segments of whole episodes start fresh
particles each generation; persistent segments keep theirs, by this rule:

- A member whose episode is over idles at zero reward to the end of the window. A pair's episode is
  over when both its members' are, and the pair starts afresh, with a fresh accumulator, only at the
  next window boundary. So each reward is weighted by the noises of its own episode up to its own
  window. Resetting inside a window, or both members when either ends, biases the estimate where
  termination depends on the state.
- With `start="centre"` (truncated ES) a pair keeps one particle: both members start each window from
  it, then it advances a window under the unperturbed parameters, and those steps are counted.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.evolution.keys import block_keys, pair_keys
from rl_es.interfaces import (
    Agent,
    Environment,
    Episode,
    Hyper,
    Limit,
    Members,
    Memory,
    Policy,
    Rows,
    Segment,
    Snapshot,
)
from rl_es.rollout.evaluation import horizon
from rl_es.rollout.normalisation import Statistics, add, empty, merge
from rl_es.rollout.unroll import (
    Particle,
    Unrolled,
    episodes,
    population_step,
    single_step,
    start,
    window,
)


@struct.dataclass
class TrainState:
    """Everything that a run is, between two generations.

    Attributes:
      key: [] the run's key; generations fold their number into it.
      generation: [] int32.
      agent: the agent's state.
      memory: [H, ...] what the agent remembers of each pair.
      particles: of persistent segments, [H, 2, 1] or, from the centre, [H, 1]; otherwise None.
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
        return self.agent.population // 2

    def init(self, key: Array, hyper: Hyper) -> TrainState:
        """The state before the first generation. Consumes `key`."""
        params_key, run_key = jax.random.split(key)
        shape = self.env.spec.observation_shape
        return TrainState(
            key=run_key,
            generation=jnp.zeros((), jnp.int32),
            agent=self.agent.init(self.policy.init(params_key), hyper),
            memory=self.agent.remember(self.pairs),
            particles=self._no_particles(),
            fresh=jnp.ones((self.pairs,), bool),
            statistics=empty(shape) if self.normalise_observations else None,
        )

    def advance(self, state: TrainState, limit: Limit) -> tuple[TrainState, Rows]:
        """Generations until either limit is reached (none if it already is)."""
        none = jnp.zeros((), jnp.int32)
        unknown = jnp.full((), jnp.nan)
        rows = Rows(none, none, none, unknown, unknown, unknown)

        def unfinished(carry: tuple[TrainState, Rows]) -> Array:
            _, rows = carry
            return (rows.generations < limit.generations) & (rows.env_steps < limit.env_steps)

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
        return Snapshot(self.agent.center(state.agent), state.statistics)

    def generation(self, state: TrainState) -> tuple[TrainState, Segment, Array]:
        """One generation: the next state, its segment, and [] the norm of the parameters' change."""
        agent = self.agent
        key = jax.random.fold_in(state.key, state.generation)
        noise_keys, reset_keys, step_keys = (
            block_keys(part, self.pairs) for part in jax.random.split(key, 3)
        )
        noise, memory = agent.ask(noise_keys, state.agent, state.memory, state.fresh)
        members = agent.members(state.agent, noise)
        if isinstance(agent.segment, Episode):
            unrolled, segment = self._episodes(state, members, reset_keys, step_keys)
            particles, fresh = None, state.fresh
        else:
            unrolled, segment, particles = self._window(state, members, reset_keys, step_keys)
            fresh = segment.ended
        weights = agent.shape(state.agent, segment)
        update = agent.contract(state.agent, noise, memory, weights)
        agent_state, change = agent.tell(state.agent, update, segment)
        statistics = state.statistics
        if statistics is not None and unrolled.moments is not None:
            statistics = merge(statistics, unrolled.moments)
        state = TrainState(
            key=state.key,
            generation=state.generation + 1,
            agent=agent_state,
            memory=memory,
            particles=particles,
            fresh=fresh,
            statistics=statistics,
        )
        return state, segment, change

    # Whole episodes.

    def _episodes(
        self, state: TrainState, members: Members, reset_keys: Array, step_keys: Array
    ) -> tuple[Unrolled, Segment]:
        count = self.agent.segment.episodes
        particles = self._start(pair_keys(reset_keys, self.pairs, count))
        particles = _for_both(particles)
        step = population_step(self.env, self.policy, members, state.statistics)
        keys = pair_keys(step_keys, self.pairs, count)
        unrolled = episodes(step, particles, keys, horizon(self.env), state.statistics, self.lanes)
        return unrolled, Segment(
            returns=unrolled.returns.mean(-1).reshape(-1),
            ended=jnp.ones((self.pairs,), bool),
            steps=unrolled.lengths.sum(),
            episodes=jnp.asarray(unrolled.returns.size, jnp.int32),
        )

    # Persistent particles.

    def _window(
        self, state: TrainState, members: Members, reset_keys: Array, step_keys: Array
    ) -> tuple[Unrolled, Segment, Particle]:
        segment, statistics = self.agent.segment, state.statistics
        reset = self._start(pair_keys(reset_keys, self.pairs, 1))  # [H, 1]
        keys = pair_keys(step_keys, self.pairs, 1)
        step = population_step(self.env, self.policy, members, statistics)
        if segment.start == "centre":
            centre = _where(state.fresh, reset, state.particles)
            unrolled = window(step, _for_both(centre), keys, segment.steps, statistics)
            unperturbed = jax.vmap(single_step(self.env, self.policy, members.shared, statistics))
            ahead = window(unperturbed, centre, keys, segment.steps, statistics)
            particles, ended = ahead.particles, ahead.particles.done[:, 0]
            before = centre.done
            steps = unrolled.lengths.sum() + ahead.lengths.sum()
            if statistics is not None:
                unrolled = unrolled._replace(moments=add(unrolled.moments, ahead.moments))
        else:
            first = _where(state.fresh, _for_both(reset), state.particles)
            unrolled = window(step, first, keys, segment.steps, statistics)
            particles, ended = unrolled.particles, unrolled.particles.done.all((1, 2))
            before = first.done
            steps = unrolled.lengths.sum()
        finished = particles.done & ~before
        told = Segment(
            returns=unrolled.returns.reshape(-1),
            ended=ended,
            steps=steps,
            episodes=finished.sum(dtype=jnp.int32),
        )
        return unrolled, told, particles

    def _start(self, keys: Array) -> Particle:
        """Fresh particles [H, E] for keys [H, E]."""
        return jax.vmap(jax.vmap(lambda key: start(self.env, self.policy, key)))(keys)

    def _no_particles(self) -> Particle | None:
        """Placeholders of the right shapes: every pair is fresh before the first generation."""
        segment = self.agent.segment
        if isinstance(segment, Episode):
            return None
        shapes = jax.eval_shape(lambda key: start(self.env, self.policy, key), jax.random.key(0))
        lead = (self.pairs, 1) if segment.start == "centre" else (self.pairs, 2, 1)
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(_blank(leaf), (*lead, *leaf.shape)), shapes
        )


def _blank(leaf: jax.ShapeDtypeStruct) -> Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), leaf.shape)
    return jnp.zeros(leaf.shape, leaf.dtype)


def _for_both(particles: Particle) -> Particle:
    """[H, E] -> [H, 2, E]: both members of a pair start alike."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], axis=1), particles)


def _where(fresh: Array, new: Particle, old: Particle) -> Particle:
    """Per pair: the new particle where `fresh` [H], else the old one."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(fresh.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)
