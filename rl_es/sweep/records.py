"""What is written of a run, beside its numbers: who it is, and what came out."""

from collections.abc import Mapping, Sequence
from typing import Any

from rl_es import registry, tables
from rl_es.errors import UserError, raised_at
from rl_es.files import json_files
from rl_es.files.whole import read_whole
from rl_es.plugins import is_reference
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.sweep import provenance
from rl_es.sweep.cells import Cell
from rl_es.sweep.store import Store
from rl_es.training import saved


def identity(cell: Cell) -> dict[str, Any]:
    """The `tables.IDENTITY` of a run."""
    return {
        "sweep": cell.sweep,
        "run_id": cell.run_id,
        "env": cell.env,
        "agent": cell.agent,
        "label": cell.label,
        "seed": cell.seed,
    }


def origin(cell: Cell) -> dict[str, Any]:
    """What a run's environment and policy are built from, and by which code."""
    content = made_of(cell.env_name, cell.env_options, cell.wrappers, cell.policy)
    loads = {cell.agent: registry.agents.load, cell.env_name: registry.environment_suite}
    code = {name: str(load(name).NUMERICS) for name, load in loads.items() if is_reference(name)}
    return {**content, "versions": {**content["versions"], **code}}


def made_of(
    name: str, options: Mapping[str, Any], wrappers: WrapperConfig, policy: PolicyConfig
) -> dict[str, Any]:
    """What an environment and a policy are built from, and by which code."""
    wrapped = wrappers.model_dump(mode="json")
    return {
        "environment": {"name": name, "options": dict(options), "wrappers": wrapped},
        "policy": policy.model_dump(mode="json"),
        "versions": provenance.versions(),
        "git_revision": provenance.revision(),
    }


def reason(error: Exception) -> str:
    """Why something failed, on one line."""
    place = "" if isinstance(error, UserError) else raised_at(error)
    return f"{type(error).__name__}: {error}".splitlines()[0][:500] + place


def outcome(rows: Sequence[Mapping[str, Any]], threshold: float | None) -> dict[str, Any]:
    """Final and best return of a curve, and when it first reached the threshold."""
    means = [row["return_mean"] for row in rows]
    reached = [
        row["env_steps"]
        for row in rows
        if None not in (threshold, row["return_mean"]) and row["return_mean"] >= threshold
    ]
    return {
        "final_return": means[-1] if means else None,
        "best_return": max((mean for mean in means if mean is not None), default=None),
        "threshold": threshold,
        "steps_to_threshold": min(reached, default=None),
    }


def write(
    cell: Cell, store: Store, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]
) -> None:
    """Writes a run's curve and record."""
    if not store.mine:
        return
    curve = [{name: row.get(name) for name in tables.MEASURES} for row in rows]
    whole = {**record, **outcome(rows, cell.threshold)}
    tables.write_cell(store.cell(cell), identity(cell), cell.settings, curve, whole)


def refresh(cell: Cell, store: Store) -> None:
    """Gives a finished run the labels and the threshold that the sweep has now.

    Raises:
      UserError: a manifest of its policies is damaged.
    """
    rows, record = store.read(cell)
    named = identity(cell)
    if {**named, "threshold": cell.threshold}.items() <= record.items():
        return
    for path in store.policies(cell).glob("*.json"):
        manifest = read_whole(
            store.folder, path, lambda path: json_files.read(path, saved.WHAT), store.note
        )
        if manifest is not None:
            json_files.write(path, {**manifest, **named})
    write(cell, store, rows, {name: record[name] for name in tables.RUN})
