"""Nested dictionaries of parameters by path, and their arithmetic."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

Path = tuple[str, ...]


def by_path(params: Any) -> dict[Path, Any]:
    """Leaves by path, in sorted order, whatever order the dictionaries were built in."""
    return dict(sorted(flatten_dict(params).items()))


def nested(leaves: Mapping[Path, Any]) -> Any:
    """The inverse of `by_path`."""
    return unflatten_dict(dict(leaves))


def weighted(weights: Array, tree: Any) -> Any:
    """Sum over pairs of weights [H] times leaves [H, ...]."""
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), tree)


def where_new(fresh: Array, new: Any, old: Any) -> Any:
    """Of each pair, or copy: the new leaves [H, ...] where `fresh` [H], else the old ones."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(fresh.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def norm(params: Any) -> Array:
    """[] the Euclidean norm over all leaves."""
    return jnp.sqrt(
        sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)), jnp.zeros(()))
    )
