"""Minibatches of images, as a function of a random key."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from envs.unrolled._data import Images, Split


class Batch(NamedTuple):
    """Images and their labels."""

    images: Array  # [B, D] float32, standardised
    labels: Array  # [B] int32


class Minibatches:
    """Minibatches of a split: `size` neighbours in its shuffled order, which closes to a circle.

    Where they start is uniform, so every image is as likely as any other. To gather images one by
    one would make a whole training step on CPU slower by a quarter (digits, a layer of 32 units).
    """

    def __init__(self, split: Split, size: int, data: Images):
        self._count, self._size = len(split.labels), size
        self._images = np.concatenate([split.images, split.images[: size - 1]])
        self._labels = np.concatenate([split.labels, split.labels[: size - 1]])
        self._mean, self._deviation = data.mean, data.deviation

    def __call__(self, key: Array) -> Batch:
        """One minibatch. Consumes `key`."""
        first = jax.random.randint(key, (), 0, self._count, dtype=jnp.int32)
        images = jax.lax.dynamic_slice_in_dim(jnp.asarray(self._images), first, self._size)
        labels = jax.lax.dynamic_slice_in_dim(jnp.asarray(self._labels), first, self._size)
        return self._batch(images, labels)

    def first(self, most: int) -> Batch:
        """The first images of the split, at most so many: always the same."""
        end = min(most, self._count)
        return self._batch(jnp.asarray(self._images[:end]), jnp.asarray(self._labels[:end]))

    def _batch(self, images: Array, labels: Array) -> Batch:
        standardised = (images.astype(jnp.float32) - self._mean) / self._deviation
        return Batch(standardised, labels.astype(jnp.int32))
