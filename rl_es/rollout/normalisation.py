"""Running statistics of observations, gathered from the population's own rollouts.

They are frozen during a segment; the segment's alive-masked moments are merged after it, by the
parallel rule of Chan, Golub and LeVeque (1979), which shards can sum as well.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from rl_es.interfaces import Observation

CLIP = 10.0  # standard deviations
FARTHEST = 1e15  # from the mean: of so many as float32 can count, squares add up to less than inf


@struct.dataclass
class Statistics:
    """Running statistics, or the moments of one segment."""

    count: Array  # [] float32
    mean: Array  # [*observation_shape]
    m2: Array  # [*observation_shape] sum of squared deviations from the mean


def empty_statistics(shape: tuple[int, ...]) -> Statistics:
    """Statistics of nothing: they leave observations as they are."""
    return Statistics(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))


def normalise(statistics: Statistics | None, observation: Observation) -> Observation:
    """(x - mean) / std, clipped at 10 standard deviations; without statistics, as it is."""
    if statistics is None:
        return observation
    variance = statistics.m2 / jnp.maximum(statistics.count, 1.0)
    scaled = (observation.values - statistics.mean) / jnp.sqrt(variance + 1e-8)
    known = statistics.count >= 2
    values = jnp.where(known, jnp.clip(scaled, -CLIP, CLIP), observation.values)
    return observation._replace(values=values)


def batch_moments(statistics: Statistics, values: Array, alive: Array) -> Statistics:
    """Sums of one step about the frozen mean: count, sum, sum of squares.

    Args:
      statistics: the frozen ones; only the mean is read, as an origin that keeps the sums small.
      values: [..., *observation_shape]. One with a number that is not finite, or too large to be
        squared, is not counted: the statistics would be of no use to any later observation.
      alive: [...] bool; the rest is not counted.
    """
    axes = tuple(range(alive.ndim))
    origin = statistics.mean.reshape((1,) * alive.ndim + statistics.mean.shape)
    deviation = values - origin
    usable = (jnp.abs(deviation) < FARTHEST).all(tuple(range(alive.ndim, values.ndim)))
    counted = alive & usable
    mask = counted.reshape(*alive.shape, *(1,) * statistics.mean.ndim)
    deviation = jnp.where(mask, deviation, 0.0)
    return Statistics(
        count=jnp.sum(counted, dtype=jnp.float32),
        mean=deviation.sum(axes),
        m2=jnp.square(deviation).sum(axes),
    )


def merge_moments(statistics: Statistics, sums: Statistics) -> Statistics:
    """The running statistics with a segment's `moments` (summed over its steps) taken in."""
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
    """Adds two sets of `moments`."""
    return jax.tree.map(jnp.add, a, b)
