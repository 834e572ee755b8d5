"""Unrolls of a population in one generation: whole episodes, or windows of persistent particles.

Persistent segments follow these rules:

- A member whose episode is over idles at zero reward to the end of the window. A pair's episode is
  over when both members' are. The pair starts a new one, with an empty accumulator, at the next
  window boundary only. So each reward is weighted by the noises of its own episode, up to its own
  window. To reset inside a window, or to reset both members when either ends, biases the estimate
  where termination depends on the state.
- From the centre (truncated ES), a pair keeps one particle. Both members start each window from it;
  then it advances a window under the unperturbed parameters, and these steps are counted.
- A particle whose return in a window is not finite has broken down: its episode is over. The
  member's returns stay not finite until its pair starts a new episode, as the return of a whole
  episode would be: idling at zero must not be better than continuing. Where episodes never end, the
  pair's episode is over when its first member has broken down.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rl_es.evolution.perturbation import pair_keys, select_fresh
from rl_es.interfaces import (
    Environment,
    Episode,
    Members,
    Persistent,
    Policy,
    Population,
    Segment,
)
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
    """The state that a segment starts from.

    Attributes:
      particles: Particles of a persistent segment, or None.
      fresh: [H] bool, pairs that start an episode.
      statistics: Frozen observation statistics, or None.
    """

    particles: Any
    fresh: Array
    statistics: Statistics | None


class SegmentOutcome(NamedTuple):
    """The outcome of a segment.

    Attributes:
      segment: The part of it that the agent gets.
      particles: Particles that live on, or None.
      moments: Moments of the segment's observations, or None.
    """

    segment: Segment
    particles: Any
    moments: Statistics | None


class Unroller(Protocol):
    """The rollout of one segment, for H pairs."""

    def particles(self, numbers: Array) -> Any:
        """Returns the particles of pairs with these numbers [H] before the first segment.

        Every pair is fresh in it.
        """
        ...

    def run(
        self, members: Population, start: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        """Unrolls the population. Consumes the block keys."""
        ...


@dataclass(frozen=True, eq=False)
class WholeEpisodes:
    """Whole episodes of fresh particles, E for each member and generation."""

    env: Environment
    policy: Policy
    episodes: int  # a member
    lanes: str | None = None

    def particles(self, numbers: Array) -> None:
        return None

    def run(
        self, members: Population, start: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        (pairs,) = start.fresh.shape
        first = _both_members(_start(self.env, self.policy, reset_keys, pairs, self.episodes))
        step = population_step(self.env, self.policy, members, start.statistics)
        keys = pair_keys(step_keys, pairs, self.episodes)
        rollout = unroll_episodes(
            step, first, keys, time_limit(self.env), start.statistics, self.lanes
        )
        segment = Segment(
            returns=rollout.returns.mean(-1).reshape(-1),
            ended=jnp.ones((pairs,), bool),
            steps=rollout.lengths.sum(),
            episodes=jnp.asarray(rollout.returns.size, jnp.int32),
        )
        return SegmentOutcome(segment, None, rollout.moments)


class PersistentParticles(NamedTuple):
    """The particles of members that live on between segments.

    Attributes:
      particles: Leaves [H, 2, 1, ...].
      broken: [H, 2, 1] bool, particles that have broken down in their pair's episode.
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
        self, members: Population, start: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        (pairs,) = start.fresh.shape
        reset = _start(self.env, self.policy, reset_keys, pairs, 1)
        fresh_particles = PersistentParticles(_both_members(reset), jnp.zeros((pairs, 2, 1), bool))
        first, broken = select_fresh(start.fresh, fresh_particles, start.particles)
        step = population_step(self.env, self.policy, members, start.statistics)
        rollout = unroll_window(
            step, first, pair_keys(step_keys, pairs, 1), self.steps, start.statistics
        )
        broken |= ~jnp.isfinite(rollout.returns)
        done = rollout.particles.done | broken
        endless = self.env.spec.episode_length is None
        segment = Segment(
            returns=jnp.where(broken, jnp.nan, rollout.returns).reshape(-1),
            ended=broken.any((1, 2)) | done.all((1, 2)) if endless else done.all((1, 2)),
            steps=rollout.lengths.sum(),
            episodes=(done & ~first.done).sum(dtype=jnp.int32),
        )
        particles = PersistentParticles(rollout.particles._replace(done=done), broken)
        return SegmentOutcome(segment, particles, rollout.moments)


@dataclass(frozen=True, eq=False)
class CentreWindows:
    """Windows in which both members start from the pair's centre particle, [H, 1]."""

    env: Environment
    policy: Policy
    steps: int

    def particles(self, numbers: Array) -> Particle:
        return _placeholders(self.env, self.policy, (*numbers.shape, 1))

    def run(
        self, members: Population, start: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        (pairs,) = start.fresh.shape
        reset = _start(self.env, self.policy, reset_keys, pairs, 1)
        centre = select_fresh(start.fresh, reset, start.particles)
        keys = pair_keys(step_keys, pairs, 1)
        step = population_step(self.env, self.policy, members, start.statistics)
        rollout = unroll_window(step, _both_members(centre), keys, self.steps, start.statistics)
        assert isinstance(members, Members)  # others have no centre
        centre_step = single_step(self.env, self.policy, members.shared, start.statistics)
        centre_rollout = unroll_window(
            jax.vmap(centre_step), centre, keys, self.steps, start.statistics
        )
        done = centre_rollout.particles.done | ~jnp.isfinite(centre_rollout.returns)
        segment = Segment(
            returns=rollout.returns.reshape(-1),
            ended=done[:, 0],
            steps=rollout.lengths.sum() + centre_rollout.lengths.sum(),
            episodes=(done & ~centre.done).sum(dtype=jnp.int32),
        )
        moments = rollout.moments
        if moments is not None and centre_rollout.moments is not None:
            moments = add_moments(moments, centre_rollout.moments)
        return SegmentOutcome(segment, centre_rollout.particles, moments)


@dataclass(frozen=True, eq=False)
class StaggeredWindows:
    """Windows whose pairs are in all phases of an episode at once.

    The first episode of pair n is cut short after 1 + n mod W windows, wherever its members are;
    all later episodes are not. Beside the particles it keeps the numbers of windows [H] that are
    left of first episodes, 0 once they are over.
    """

    windows: ParticleWindows | CentreWindows
    cycle: int  # windows of an episode (W)

    def particles(self, numbers: Array) -> tuple[PersistentParticles | Particle, Array]:
        return self.windows.particles(numbers), 1 + numbers % self.cycle

    def run(
        self, members: Population, start: SegmentStart, reset_keys: Array, step_keys: Array
    ) -> SegmentOutcome:
        particles, left = start.particles
        start = start._replace(particles=particles)
        outcome = self.windows.run(members, start, reset_keys, step_keys)
        ends = outcome.segment.ended | (left == 1)
        segment = outcome.segment.replace(ended=ends)  # pyright: ignore[reportAttributeAccessIssue]
        left = jnp.where(ends, 0, jnp.maximum(left - 1, 0))
        return SegmentOutcome(segment, (outcome.particles, left), outcome.moments)


def make_unroller(
    segment: Episode | Persistent,
    env: Environment,
    policy: Policy,
    lanes: str | None = None,
) -> Unroller:
    """Returns the rollout of an agent's segment; `lanes` names a vmapped axis around it, if any."""
    if isinstance(segment, Episode):
        return WholeEpisodes(env, policy, segment.episodes, lanes)
    kind = CentreWindows if segment.start == "centre" else ParticleWindows
    windows = kind(env, policy, segment.steps)
    if segment.staggered:
        return StaggeredWindows(windows, segment.windows(time_limit(env)))
    return windows


def _start(env: Environment, policy: Policy, keys: Array, pairs: int, episodes: int) -> Particle:
    """Returns fresh particles [H, E]. Consumes the block keys."""
    reset_keys = pair_keys(keys, pairs, episodes)
    return jax.vmap(jax.vmap(lambda key: start_particle(env, policy, key)))(reset_keys)


def _placeholders(env: Environment, policy: Policy, lead: tuple[int, ...]) -> Particle:
    """Returns particles of the right shapes, whose values are not read: all pairs are fresh."""
    shapes = jax.eval_shape(lambda key: start_particle(env, policy, key), jax.random.key(0))

    def blank(leaf: jax.ShapeDtypeStruct) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.split(jax.random.key(0), (*lead, *leaf.shape))
        return jnp.zeros((*lead, *leaf.shape), leaf.dtype)

    return jax.tree.map(blank, shapes)


def _both_members(particles: Particle) -> Particle:
    """Copies particles [H, E] to [H, 2, E]: both members of a pair start alike."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], axis=1), particles)
