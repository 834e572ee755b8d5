"""Running statistics of observations, from the population's own rollouts.

They are frozen during a segment. Moments of the observations of particles that are alive are summed
over the segment, and over shards, and merged into the statistics after it, by the parallel rule of
Chan, Golub and LeVeque (1979). The sums of a segment are taken about the running mean, and those of
the first segment about an observation of a reset: about zero, the squares of values far from zero
would absorb their variance in float32.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.interfaces import Environment, Observation, Policy, Snapshot

CLIP = 10.0  # standard deviations
MAX_DEVIATION = 1e15  # from the mean; float32 sums of its square stay below inf


@struct.dataclass
class Statistics:
    """Running statistics, or the sums of one segment (see `batch_moments`)."""

    count: Array  # [] float32
    mean: Array  # [*observation_shape]
    m2: Array  # [*observation_shape] sum of squared deviations from the mean


def empty_statistics(shape: tuple[int, ...]) -> Statistics:
    """Returns statistics of no observations, which normalise nothing."""
    return Statistics(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))


def initial_statistics(env: Environment, policy: Policy) -> Statistics:
    """Returns the statistics that a run starts with.

    They are those of the saved policy that the run starts from; else of no observations, with an
    observation that an episode starts with as mean.
    """
    start: Snapshot | None = getattr(policy, "start_snapshot", None)
    if start is not None:
        return jax.tree.map(jnp.asarray, start.statistics)
    values = env.reset(jax.random.key(0))[1].values
    usable = jnp.abs(values) < MAX_DEVIATION
    zeros = jnp.zeros_like(values)
    return Statistics(jnp.zeros(()), jnp.where(usable, values, zeros), zeros)


def normalise(statistics: Statistics | None, observation: Observation) -> Observation:
    """Returns (x - mean) / std, clipped at 10 standard deviations; x itself without statistics."""
    if statistics is None:
        return observation
    variance = statistics.m2 / jnp.maximum(statistics.count, 1.0)
    z_scores = (observation.values - statistics.mean) / jnp.sqrt(variance + 1e-8)
    enough = statistics.count >= 2
    values = jnp.where(enough, jnp.clip(z_scores, -CLIP, CLIP), observation.values)
    return observation._replace(values=values)


def batch_moments(statistics: Statistics, values: Array, alive: Array) -> Statistics:
    """Returns the sums of one step about the frozen mean: count, sum, sum of squares.

    Args:
      statistics: The frozen statistics. Only their mean is read: an origin that keeps sums small.
      values: [..., *observation_shape]. An observation with a number that is not finite, or too
        large to be squared, is not counted: it would spoil the statistics for good.
      alive: [...] bool, observations that are counted.
    """
    axes = tuple(range(alive.ndim))
    origin = statistics.mean.reshape((1,) * alive.ndim + statistics.mean.shape)
    deviation = values - origin
    usable = (jnp.abs(deviation) < MAX_DEVIATION).all(tuple(range(alive.ndim, values.ndim)))
    is_counted = alive & usable
    mask = is_counted.reshape(*alive.shape, *(1,) * statistics.mean.ndim)
    deviation = jnp.where(mask, deviation, 0.0)
    return Statistics(
        count=jnp.sum(is_counted, dtype=jnp.float32),
        mean=deviation.sum(axes),
        m2=jnp.square(deviation).sum(axes),
    )


def merge_moments(statistics: Statistics, sums: Statistics) -> Statistics:
    """Returns the running statistics, merged with a segment's summed `batch_moments`."""
    count = statistics.count + sums.count
    safe = jnp.maximum(count, 1.0)
    shift = sums.mean / jnp.maximum(sums.count, 1.0)  # segment mean minus the running mean
    segment_m2 = sums.m2 - sums.count * jnp.square(shift)
    return Statistics(
        count=count,
        mean=statistics.mean + shift * sums.count / safe,
        m2=statistics.m2
        + jnp.maximum(segment_m2, 0.0)
        + jnp.square(shift) * statistics.count * sums.count / safe,
    )


def add_moments(a: Statistics, b: Statistics) -> Statistics:
    """Returns the sum of two `batch_moments`."""
    return jax.tree.map(jnp.add, a, b)
