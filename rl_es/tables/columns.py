"""The columns of results, and their types."""

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1  # a new column that may be null does not raise it
MOST_CENTER = 64  # scalars of a `center`: so few can be looked at

IDENTITY = {
    "schema_version": pa.int64(),
    "sweep": pa.string(),
    "run_id": pa.string(),
    "env": pa.string(),  # the environment's name, or the label its sweep entry gives it
    "agent": pa.string(),  # the registry's name
    "label": pa.string(),  # unique a variant; the agent's name unless the sweep gives one
    "seed": pa.int64(),
}
MEASURES = {
    "generation": pa.int64(),
    "env_steps": pa.int64(),  # real ones, of training only
    "episodes": pa.int64(),
    "wall_seconds": pa.float64(),  # of training, without compilation and evaluation
    "lanes": pa.int64(),  # runs that shared that time
    "compile_seconds": pa.float64(),
    "return_mean": pa.float64(),  # of the unperturbed policy, over evaluation episodes
    "return_std": pa.float64(),
    "return_min": pa.float64(),
    "return_max": pa.float64(),
    "population_mean": pa.float64(),  # of the last generation before it; null before any
    "population_best": pa.float64(),
    "update_norm": pa.float64(),
    "nonfinite_members": pa.int64(),  # so far, whose return was not finite; null before any
    "center": pa.list_(pa.float32()),  # the evolved parameters; null of more than `MOST_CENTER`
}
RUN = {
    "status": pa.string(),  # running, finished, diverged or failed
    "reason": pa.string(),  # why it diverged or failed
    "final_return": pa.float64(),
    "best_return": pa.float64(),
    "threshold": pa.float64(),  # null where the sweep names none
    "steps_to_threshold": pa.int64(),  # null where it was not reached
    "generations": pa.int64(),
    "env_steps": pa.int64(),
    "episodes": pa.int64(),
    "nonfinite_members": pa.int64(),  # null where none were counted
    "wall_seconds": pa.float64(),
    "lanes": pa.int64(),
    "devices": pa.int64(),  # that were used
    "chunks": pa.int64(),  # parts of a device's population, evaluated one after the other
    "compile_seconds": pa.float64(),
    "peak_memory_bytes": pa.int64(),
    "parameters": pa.int64(),  # scalars evolved
    "device": pa.string(),
    "git_revision": pa.string(),
    "versions": pa.string(),  # JSON: package -> version
    "environment": pa.string(),  # JSON: name, options and wrappers
    "policy": pa.string(),  # JSON
}
NEEDED = (*IDENTITY, "generation", "env_steps")  # in each row of a curve
TIMING = ("wall_seconds", "compile_seconds", "peak_memory_bytes")  # differ between equal runs


def hyper_columns(hyper: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as `hyper.*` columns: numbers as float64, switches as bool, the rest as text."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        return float(value) if isinstance(value, int | float) else str(value)

    return {f"hyper.{name}": plain(value) for name, value in sorted(hyper.items())}


def hyper_type(value: Any) -> pa.DataType:
    """The type of a setting's column, by a value of it."""
    if isinstance(value, bool):
        return pa.bool_()
    return pa.float64() if isinstance(value, int | float) else pa.string()


def finite(number: float | None) -> float | None:
    """A number that JSON and Parquet can hold: None where it is not finite."""
    return number if number is not None and math.isfinite(number) else None
