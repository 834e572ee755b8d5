"""The expectations of a cell's estimates, where its environment knows them."""

from collections.abc import Mapping
from typing import Any, cast

import jax
import numpy as np

from rl_es.interfaces import Environment, Params, Solved
from rl_es.sweep.cells import Cell


def expectations(cell: Cell, env: Environment, params: Params) -> Mapping[str, Any]:
    """The columns `rank`, `exact` and `exact_full` of a cell's row, at unperturbed parameters.

    The last two are None where the environment does not know them or is wrapped, and where the
    policy or the settings change the expectations.
    """
    settings, rank = cell.settings, cell.settings.get("rank")
    found: dict[str, Any] = {"rank": rank, "exact": None, "exact_full": None}
    plain = (
        settings["shaping"] == "raw"
        and settings["sigma_decay"] == 1
        and cell.policy.network in ("linear", "parameters")
        and cell.policy.head == "deterministic"
        and not cell.policy.normalise_observations
    )
    if plain and hasattr(env, "expected"):
        for name, own in (("exact", rank), ("exact_full", None)):
            update = cast(Solved, env).expected(params, settings["sigma"], own)
            found[name] = None if update is None else flat(update)
    return found


def flat(update: Any) -> list[float]:
    """All numbers of an update, in the order of `ravel_pytree`."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(update)]).tolist()
