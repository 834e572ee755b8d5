"""How a population is unrolled in a generation: whole episodes, or windows of lasting particles.

Persistent segments go by this rule:

- A member whose episode is over idles at zero reward to the end of the window. A pair's episode is
  over when both its members' are, and the pair starts afresh, with a fresh accumulator, only at the
  next window boundary. So each reward is weighted by the noises of its own episode up to its own
  window. Resetting inside a window, or both members when either ends, biases the estimate where
  termination depends on the state.
- From the centre (truncated ES) a pair keeps one particle: both members start each window from it,
  then it advances a window under the unperturbed parameters, and those steps are counted.
- A particle whose return in a window is not finite has broken down, and does not go on: its episode
  is over. A member's returns stay not finite until its pair starts afresh, as that of a whole
  episode would be: idling at zero must not be better than what the others go through. Where
  episodes never end, the pair's is over with its first member that broke down.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.evolution.perturbation import pair_keys, select_fresh
from rl_es.interfaces import Environment, Episode, Members, Persistent, Policy, Segment
from rl_es.rollout.normalisation import Statistics, add_moments
from rl_es.rollout.unroll import (
    Particle,
    population_step,
    single_step,
    start_particle,
    time_limit,
    unroll_episodes,
    unroll_window,
)


class SegmentStart(NamedTuple):
    """What a segment starts from.

    Attributes:
      particles: those of persistent segments, or None.
      fresh: [H] bool, pairs that start an episode.
      statistics: of observations, frozen, or None.
    """

    particles: Any
    fresh: Array
    statistics: Statistics | None


class SegmentOutcome(NamedTuple):
    """What a segment's rollout leaves behind.

    Attributes:
      segment: what the agent is told.
      particles: those that live on, or None.
      moments: of the observations seen, or None.
    """

    segment: Segment
    particles: Any
    moments: Statistics | None


class Unroller(Protocol):
    """The rollout of one segment of the H pairs that are held."""

    def particles(self, numbers: Array) -> Any:
        """What is held of pairs, by their numbers [H], before the first segment.

        Every pair is fresh in that one.
        """
        ...

    def run(
        self, members: Members, held: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        """Unrolls the population. Consumes the block keys."""
        ...


@dataclass(frozen=True, eq=False)
class WholeEpisodes:
    """Fresh particles each generation, run to their end."""

    env: Environment
    policy: Policy
    count: int  # episodes a member
    lanes: str | None = None

    def particles(self, numbers: Array) -> None:
        return None

    def run(
        self, members: Members, held: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        (pairs,) = held.fresh.shape
        first = _for_both(_start(self.env, self.policy, reset_keys, pairs, self.count))
        step = population_step(self.env, self.policy, members, held.statistics)
        keys = pair_keys(step_keys, pairs, self.count)
        unrolled = unroll_episodes(
            step, first, keys, time_limit(self.env), held.statistics, self.lanes
        )
        segment = Segment(
            returns=unrolled.returns.mean(-1).reshape(-1),
            ended=jnp.ones((pairs,), bool),
            steps=unrolled.lengths.sum(),
            episodes=jnp.asarray(unrolled.returns.size, jnp.int32),
        )
        return SegmentOutcome(segment, None, unrolled.moments)


class PersistentParticles(NamedTuple):
    """The particles of members that live on.

    Attributes:
      particles: leaves [H, 2, 1, ...].
      broken: [H, 2, 1] bool, those that have broken down in their pair's episode.
    """

    particles: Particle
    broken: Array


@dataclass(frozen=True, eq=False)
class ParticleWindows:
    """Windows in which every member goes on from its own particle."""

    env: Environment
    policy: Policy
    steps: int

    def particles(self, numbers: Array) -> PersistentParticles:
        lead = (*numbers.shape, 2, 1)
        return PersistentParticles(
            _placeholders(self.env, self.policy, lead), jnp.zeros(lead, bool)
        )

    def run(
        self, members: Members, held: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        (pairs,) = held.fresh.shape
        reset = _start(self.env, self.policy, reset_keys, pairs, 1)
        anew = PersistentParticles(_for_both(reset), jnp.zeros((pairs, 2, 1), bool))
        first, broken = select_fresh(held.fresh, anew, held.particles)
        step = population_step(self.env, self.policy, members, held.statistics)
        unrolled = unroll_window(
            step, first, pair_keys(step_keys, pairs, 1), self.steps, held.statistics
        )
        broken |= ~jnp.isfinite(unrolled.returns)
        done = unrolled.particles.done | broken
        endless = self.env.spec.episode_length is None
        segment = Segment(
            returns=jnp.where(broken, jnp.nan, unrolled.returns).reshape(-1),
            ended=broken.any((1, 2)) | done.all((1, 2)) if endless else done.all((1, 2)),
            steps=unrolled.lengths.sum(),
            episodes=(done & ~first.done).sum(dtype=jnp.int32),
        )
        lasting = PersistentParticles(unrolled.particles._replace(done=done), broken)
        return SegmentOutcome(segment, lasting, unrolled.moments)


@dataclass(frozen=True, eq=False)
class CentreWindows:
    """Windows in which both members start from the pair's centre particle, [H, 1]."""

    env: Environment
    policy: Policy
    steps: int

    def particles(self, numbers: Array) -> Particle:
        return _placeholders(self.env, self.policy, (*numbers.shape, 1))

    def run(
        self, members: Members, held: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        (pairs,) = held.fresh.shape
        reset = _start(self.env, self.policy, reset_keys, pairs, 1)
        centre = select_fresh(held.fresh, reset, held.particles)
        keys = pair_keys(step_keys, pairs, 1)
        step = population_step(self.env, self.policy, members, held.statistics)
        unrolled = unroll_window(step, _for_both(centre), keys, self.steps, held.statistics)
        alone = jax.vmap(single_step(self.env, self.policy, members.shared, held.statistics))
        ahead = unroll_window(alone, centre, keys, self.steps, held.statistics)
        done = ahead.particles.done | ~jnp.isfinite(ahead.returns)
        segment = Segment(
            returns=unrolled.returns.reshape(-1),
            ended=done[:, 0],
            steps=unrolled.lengths.sum() + ahead.lengths.sum(),
            episodes=(done & ~centre.done).sum(dtype=jnp.int32),
        )
        moments = unrolled.moments
        if moments is not None and ahead.moments is not None:
            moments = add_moments(moments, ahead.moments)
        return SegmentOutcome(segment, ahead.particles, moments)


@dataclass(frozen=True, eq=False)
class StaggeredWindows:
    """Windows whose pairs are in all phases of an episode at once.

    The first episode of pair n is cut short to 1 + n mod W windows, wherever its members are; all
    later ones end as they do. Held beside the particles: [H] windows that are left of the first
    episode, 0 once it is over.
    """

    windows: ParticleWindows | CentreWindows
    cycle: int  # windows of an episode (W)

    def particles(self, numbers: Array) -> tuple[PersistentParticles | Particle, Array]:
        return self.windows.particles(numbers), 1 + numbers % self.cycle

    def run(
        self, members: Members, held: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        particles, left = held.particles
        found = self.windows.run(members, held._replace(particles=particles), reset_keys, step_keys)
        ended = found.segment.ended | (left == 1)
        segment = found.segment.replace(ended=ended)  # pyright: ignore[reportAttributeAccessIssue]
        left = jnp.where(ended, 0, jnp.maximum(left - 1, 0))
        return SegmentOutcome(segment, (found.particles, left), found.moments)


def make_unroller(
    segment: Episode | Persistent,
    env: Environment,
    policy: Policy,
    lanes: str | None = None,
) -> Unroller:
    """The rollout that an agent's segment asks for; `lanes` names a vmapped axis around it."""
    if isinstance(segment, Episode):
        return WholeEpisodes(env, policy, segment.episodes, lanes)
    kind = CentreWindows if segment.start == "centre" else ParticleWindows
    windows = kind(env, policy, segment.steps)
    if segment.staggered:
        return StaggeredWindows(windows, segment.windows(time_limit(env)))
    return windows


def _start(env: Environment, policy: Policy, keys: Array, pairs: int, count: int) -> Particle:
    """Fresh particles [H, E], from block keys."""
    each = pair_keys(keys, pairs, count)
    return jax.vmap(jax.vmap(lambda key: start_particle(env, policy, key)))(each)


def _placeholders(env: Environment, policy: Policy, lead: tuple[int, ...]) -> Particle:
    """Particles of the right shapes, of which nothing is read: every pair is fresh at first."""
    shapes = jax.eval_shape(lambda key: start_particle(env, policy, key), jax.random.key(0))

    def blank(leaf: jax.ShapeDtypeStruct) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.split(jax.random.key(0), (*lead, *leaf.shape))
        return jnp.zeros((*lead, *leaf.shape), leaf.dtype)

    return jax.tree.map(blank, shapes)


def _for_both(particles: Particle) -> Particle:
    """[H, E] -> [H, 2, E]: both members of a pair start alike."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], axis=1), particles)
