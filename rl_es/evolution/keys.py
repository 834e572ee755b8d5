"""Keys by block of 64 antithetic pairs, so that no result depends on chunks, shards or devices."""

import jax
import jax.numpy as jnp
from jax import Array

PAIRS_PER_KEY = 64


def block_keys(key: Array, pairs: int, first: Array | int = 0) -> Array:
    """[blocks] keys for `pairs` pairs from block `first` on. Consumes `key`."""
    blocks = -(-pairs // PAIRS_PER_KEY)
    numbers = jnp.asarray(first, jnp.uint32) + jnp.arange(blocks, dtype=jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def pair_keys(keys: Array, pairs: int, episodes: int) -> Array:
    """[H, E] keys, one per pair and episode, which partners share. Consumes `keys` [blocks]."""
    split = jax.vmap(lambda key: jax.random.split(key, (PAIRS_PER_KEY, episodes)))(keys)
    return split.reshape(-1, episodes)[:pairs]
