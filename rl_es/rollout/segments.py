"""Unrolls of a population in one generation: whole episodes, or windows of persistent particles.

In whole episodes, pairs that are done cost little. Early in training most members fall at once,
while one or the other survives for many times as long, and a step of all members costs the same
until the last of them has ended. On a CPU the unroll therefore has two phases, both in chunks of
steps:

1. All pairs take steps until half of them are done.
2. Before each chunk the pairs that are alive are listed first. Pairs are stepped in blocks of equal
   size, and blocks without a pair that is alive are left out.

Two programs of a step are compiled, whatever the number of blocks: one for all pairs and one for a
block. On an accelerator the first phase is the whole unroll: there a step of few particles takes
nearly as long as one of many. Which pairs share a block changes no pair's keys or operations.
Returns are bit-equal wherever XLA's arithmetic of a row does not depend on the number of rows,
which holds for gymnax and not for Brax. Sums of observations' moments are taken in another order.

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

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
    SeparateMembers,
)
from rl_es.rollout.normalisation import Statistics, add_moments
from rl_es.rollout.unroll import (
    Particle,
    UnrollOutcome,
    chunk_length,
    initial_outcome,
    population_step,
    single_step,
    start_particle,
    take_steps,
    time_limit,
    unroll_episodes,
    unroll_window,
)

MOST_BLOCKS = 32  # more, and a block's step costs little but the calls of its operations
FEWEST_BLOCKS = 4  # fewer save too little for a second program
BLOCK_PARTICLES = 16  # fewest particles of a block: those that one vector instruction steps

# (number of blocks with a pair that is alive [], outcome, numbers of the steps [T]) -> outcome
_Advance = Callable[[Array, UnrollOutcome, Array], UnrollOutcome]
_Carry = tuple[Array, Array, UnrollOutcome]  # step number [], blocks [], outcome


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
        keys = pair_keys(step_keys, pairs, self.episodes)
        rollout = unroll_population(
            self.env, self.policy, members, first, keys, start.statistics, self.lanes
        )
        segment = Segment(
            returns=rollout.returns.mean(-1).reshape(-1),
            ended=jnp.ones((pairs,), bool),
            steps=rollout.lengths.sum(),
            episodes=jnp.asarray(rollout.returns.size, jnp.int32),
        )
        return SegmentOutcome(segment, None, rollout.moments)


def unroll_population(
    env: Environment,
    policy: Policy,
    members: Population,
    particles: Particle,
    keys: Array,
    statistics: Statistics | None = None,
    lanes: str | None = None,
) -> UnrollOutcome:
    """Takes steps of a population until every particle is done. Consumes `keys`.

    Args:
      env: The environment.
      policy: The policy.
      members: The population, of H pairs.
      particles: [H, 2, E] at the start of their episodes.
      keys: [H, E], which the members of a pair share; each step folds its number into them.
      statistics: Frozen observation statistics, or None; if given, moments are summed.
      lanes: Name of a vmapped axis around this call, if any. All lanes then stop together, and
        leave out as many blocks as each of them can.
    """
    pairs, _, episodes = particles.done.shape
    step, horizon = population_step(env, policy, members, statistics), time_limit(env)
    blocks = count_blocks(pairs, episodes)
    if blocks == 1:
        return unroll_episodes(step, particles, keys, horizon, statistics, lanes)
    size, length = pairs // blocks, chunk_length(horizon)

    def step_all(count: Array, outcome: UnrollOutcome, times: Array) -> UnrollOutcome:
        return take_steps(step, outcome, keys, times, statistics)[0]

    def step_blocks(count: Array, outcome: UnrollOutcome, times: Array) -> UnrollOutcome:
        order = jnp.argsort(jnp.all(outcome.particles.done, (1, 2)), stable=True)

        def step_block(block: Array, outcome: UnrollOutcome) -> UnrollOutcome:
            rows = jax.lax.dynamic_slice(order, (block * size,), (size,))
            of_block = population_step(env, policy, _select_pairs(members, rows), statistics)
            of_pairs = outcome._replace(moments=None)
            start = _take_rows(of_pairs, rows)._replace(moments=outcome.moments)
            end = take_steps(of_block, start, keys[rows], times, statistics)[0]
            written = jax.tree.map(
                lambda leaf, part: leaf.at[rows].set(part, unique_indices=True),
                of_pairs,
                end._replace(moments=None),
            )
            return written._replace(moments=end.moments)

        return jax.lax.fori_loop(0, count, step_block, outcome)

    def count_alive(outcome: UnrollOutcome) -> Array:
        """Returns the number of blocks that pairs that are alive fill."""
        alive = jnp.any(~outcome.particles.done, (1, 2)).sum(dtype=jnp.int32)
        count = (alive + size - 1) // size
        return count if lanes is None else jax.lax.pmax(count, lanes)

    def is_unfinished(fewest: int, carry: _Carry) -> Array:
        t, count, _ = carry
        return (count > fewest) & (t < horizon)

    def chunk(advance: _Advance, carry: _Carry) -> _Carry:
        t, count, outcome = carry
        outcome = advance(count, outcome, t + jnp.arange(length, dtype=jnp.int32))
        return t + length, count_alive(outcome), outcome

    outcome = initial_outcome(particles, statistics)
    carry = jnp.zeros((), jnp.int32), count_alive(outcome), outcome
    for fewest, advance in ((blocks // 2, step_all), (0, step_blocks)):
        carry = jax.lax.while_loop(partial(is_unfinished, fewest), partial(chunk, advance), carry)
    return carry[2]


def count_blocks(pairs: int, episodes: int) -> int:
    """Returns the number of blocks of a population: a divisor of its pairs, or 1 for no blocks.

    Args:
      pairs: Number of pairs (H).
      episodes: Episodes of a member (E).
    """
    if jax.default_backend() != "cpu":
        return 1
    most = min(MOST_BLOCKS, 2 * pairs * episodes // BLOCK_PARTICLES)
    divisors = [count for count in range(FEWEST_BLOCKS, most + 1) if pairs % count == 0]
    return max(divisors, default=1)


def _select_pairs(members: Population, rows: Array) -> Population:
    """Returns the pairs with these numbers of a population."""
    if isinstance(members, SeparateMembers):
        return SeparateMembers(_take_rows(members.params, rows))
    return Members(members.shared, *_take_rows((members.direct, members.products), rows))


def _take_rows(tree: Any, rows: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


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
