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


def norm(params: Any) -> Array:
    """[] the Euclidean norm over all leaves."""
    return jnp.sqrt(
        sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)), jnp.zeros(()))
    )
