"""What is recorded of an evaluation, and whether the run can go on after it."""

from typing import Any

import jax
import numpy as np

from rl_es import tables
from rl_es.interfaces import Snapshot


def _finite(tree: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def statistics(returns: np.ndarray, snapshot: Snapshot) -> dict[str, float | None]:
    """Of an evaluation's returns [E]: None where they are not finite, or the policy is not.

    A policy that is not finite may have finite returns: the index of the greatest of outputs that
    are not numbers is an action like any other. They would say nothing of it.
    """
    known = returns if _finite(snapshot) else np.full_like(returns, np.nan)
    with np.errstate(invalid="ignore"):
        found = {
            "return_mean": known.mean(),
            "return_std": known.std(),
            "return_min": known.min(),
            "return_max": known.max(),
        }
    return {name: tables.finite(float(value)) for name, value in found.items()}


def diverged(generation: int, returns: np.ndarray, snapshot: Snapshot) -> str | None:
    """Why a run cannot go on after an evaluation; None where it can."""
    if not _finite(snapshot):
        return f"the policy after generation {generation} is not finite"
    if not np.isfinite(returns).all():
        return f"a return after generation {generation} is not finite"
    return None


def center(snapshot: Snapshot) -> list[float] | None:
    """The parameters as one list, in the tree's order; None of too many, or not finite ones."""
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(snapshot.params)]
    if sum(leaf.size for leaf in leaves) > tables.MOST_CENTER:
        return None
    whole = np.concatenate(leaves).astype(np.float64)
    return whole.tolist() if np.isfinite(whole).all() else None
