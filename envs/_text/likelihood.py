"""The log2-likelihood of one token under logits in 1/16 bit: exactly, and by integer tables.

Logits l stand for the distribution 2^(l / 16) / sum 2^(l / 16), or e^l / sum e^l in nats. The
integer form is that of EGG (Sarkar et al. 2025, arXiv 2511.16652, appendix G): with i = l + 128 in
0 .. 255,

    EXP2[i] = floor(16 2^(i / 16)),  LOG2[s] = floor(16 log2(s / 16)),
    16 log2 p = i - LOG2[sum EXP2].

LOG2 would be a table of 2^28 entries. Its value is the position of s among thresholds, which are
the same in every octave: s is shifted up to 27 binary places, and compared with 15 integers. Both
floors make the sum of the probabilities larger than 1, so that the tables' likelihood exceeds the
exact one: by half a step of 1/16 bit on average, 0.031 bits.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

UNIT = 16  # logits of one bit
UNITS = {"sixteenths": UNIT, "nats": math.log(2)}
ZERO = 128  # the index of a logit of 0
_TOP = 27  # a sum of 256 entries is below 2^28
# Doubles suffice: each number is at least 1e-7 of its size away from the next integer, or exact.
EXP2 = np.floor(UNIT * 2.0 ** (np.arange(2 * ZERO) / UNIT)).astype(np.int32)  # [256]
THRESHOLDS = np.ceil(2.0 ** (_TOP + np.arange(1, UNIT) / UNIT)).astype(np.int32)  # [15]


def log2_of_total(total: Array) -> Array:
    """Returns floor(16 log2(total / 16)) [] of an integer 1 <= total < 2^28 [] int32."""
    octave = 31 - jax.lax.clz(total)
    mantissa = total << (_TOP - octave)
    steps = (mantissa >= THRESHOLDS).sum(dtype=jnp.int32)
    return UNIT * octave + steps - UNIT * int(math.log2(UNIT))


def table_log2_likelihood(logits: Array, token: Array) -> Array:
    """Returns the log2-likelihood [] of a token under logits [V], a multiple of 1/16.

    Logits are rounded down to integers and clipped to -128 .. 127.
    """
    index = jnp.clip(jnp.floor(logits), -ZERO, ZERO - 1).astype(jnp.int32) + ZERO
    total = jnp.take(EXP2, index, mode="clip").sum(dtype=jnp.int32)
    return (index[token] - log2_of_total(total)).astype(jnp.float32) / UNIT


def exact_log2_likelihood(logits: Array, token: Array, unit: float = UNIT) -> Array:
    """Returns the log2-likelihood [] of a token under the softmax of logits [V] of this unit."""
    bits = (logits - _largest(jax.lax.stop_gradient(logits))) / unit
    return bits[token] - jnp.log2(jnp.exp2(bits).sum())


def _largest(values: Array) -> Array:
    """Returns the largest of values [V].

    XLA's maximum passes on what is no number, which makes the likelihood four times as slow on CPU.
    """
    low = np.float32(-np.inf)
    return jax.lax.reduce(values, low, lambda a, b: jax.lax.select(a > b, a, b), (0,))
