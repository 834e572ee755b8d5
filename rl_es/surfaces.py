"""The file of a surface: the objective on a grid of a policy's two parameters.

`surfaces/<environment>.parquet` has one row a grid point; its metadata holds what it was made from.
A run of a sweep writes it, its report reads it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rl_es.parquet import read_with_record, write_with_record

SCHEMA_VERSION = 1
POINT = {
    "first": pa.float32(),  # the parameters, in the tree's order
    "second": pa.float32(),
    "return_mean": pa.float64(),  # over episodes; null where it is not finite
    "return_std": pa.float64(),
}
_RECORD = b"rl_es.surface"


@dataclass(frozen=True)
class Surface:
    """A surface that was evaluated.

    Attributes:
      env: the environment's label.
      first: [X] of the first parameter, rising.
      second: [Y] of the second parameter, rising.
      returns: [X, Y] mean returns, NaN where they are not finite.
      episodes: at each point.
      settings: a hash of all that determines the numbers.
    """

    env: str
    first: np.ndarray
    second: np.ndarray
    returns: np.ndarray
    episodes: int
    settings: str

    def table(self) -> pd.DataFrame:
        """One row a grid point."""
        first, second = np.meshgrid(self.first, self.second, indexing="ij")
        values = {"first": first, "second": second, "return_mean": self.returns}
        return pd.DataFrame({"env": self.env, **{n: v.ravel() for n, v in values.items()}})


def path_of(folder: Path, env: str) -> Path:
    """The file of an environment's surface; a label has no `+` of its own."""
    return folder / "surfaces" / f"{env.replace('/', '+')}.parquet"


def write(path: Path, points: Iterable[Mapping[str, Any]], record: Mapping[str, Any]) -> None:
    """Writes a surface, whole or not at all.

    Args:
      path: `path_of` the environment.
      points: the `POINT` values of each, the second parameter fastest.
      record: `env`, `settings`, `points` (of each axis), `episodes`, and where it comes from.
    """
    whole = {"schema_version": SCHEMA_VERSION, **record}
    write_with_record(path, POINT, points, _RECORD, whole)


def read(path: Path) -> Surface:
    """Reads a surface.

    Raises:
      UserError: the file is damaged or was not written by this suite.
    """
    rows, record = read_with_record(path, _RECORD, SCHEMA_VERSION, "surface")

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows], np.float64).reshape(record["points"])

    first, second, returns = map(column, ("first", "second", "return_mean"))
    about = {name: record[name] for name in ("env", "episodes", "settings")}
    return Surface(first=first[:, 0], second=second[0], returns=returns, **about)


def load(folder: Path) -> dict[str, Surface]:
    """The surfaces of a results folder by environment, sorted.

    Raises:
      UserError: a file is damaged.
    """
    paths = sorted(folder.glob("surfaces/*.parquet"))
    found = (read(path) for path in paths if path.name[0] != ".")
    return {surface.env: surface for surface in found}
