"""Files of surfaces: the objective on a grid over a policy's two parameters.

`surfaces/<environment>.parquet` has one row per grid point; its metadata holds the settings of the
evaluation. A run of a sweep writes it, and the report reads it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from rl_es.errors import brief
from rl_es.results import files
from rl_es.results.parquet import (
    check_record,
    check_rows,
    damage_error,
    read_with_record,
    write_with_record,
)
from rl_es.results.text_files import FileModel

SCHEMA_VERSION = 1
POINT = {
    "first": pa.float32(),  # the parameters, in the tree's order
    "second": pa.float32(),
    "return_mean": pa.float64(),  # over episodes; null where it is not finite
    "return_std": pa.float64(),
}
_RECORD = b"rl_es.surface"


class _SurfaceRecord(FileModel):
    env: str
    settings: str
    episodes: int
    points: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Surface:
    """Returns of an environment on a grid of two parameters.

    Attributes:
      env: Label of the environment.
      first: [X] Values of the first parameter, rising.
      second: [Y] Values of the second parameter, rising.
      returns: [X, Y] Mean returns, NaN where they are not finite.
      episodes: Number of episodes per point.
      settings: Hash of everything that determines the numbers.
    """

    env: str
    first: np.ndarray
    second: np.ndarray
    returns: np.ndarray
    episodes: int
    settings: str

    def table(self) -> pd.DataFrame:
        """Returns a table of one row per grid point."""
        first, second = np.meshgrid(self.first, self.second, indexing="ij")
        values = {"first": first, "second": second, "return_mean": self.returns}
        return pd.DataFrame({"env": self.env, **{n: v.ravel() for n, v in values.items()}})


def path_of(folder: Path, env: str) -> Path:
    """Returns the path of an environment's surface.

    Raises:
      UserError: `env` is no label of an environment.
    """
    return folder / "surfaces" / f"{files.env_part(env)}.parquet"


def write(path: Path, points: Iterable[Mapping[str, Any]], record: Mapping[str, Any]) -> None:
    """Writes a surface atomically.

    Args:
      path: `path_of` the environment.
      points: the `POINT` values of each, the second parameter fastest.
      record: `env`, `settings`, `points` (of each axis), `episodes`, versions and machine.
    """
    record = {"schema_version": SCHEMA_VERSION, **record}
    write_with_record(path, POINT, points, _RECORD, record)


def read(path: Path) -> Surface:
    """Reads a surface.

    Raises:
      UserError: the file is damaged, or another program wrote it.
    """
    kind = "surface"
    rows, record = read_with_record(path, _RECORD, SCHEMA_VERSION, kind)
    about = check_record(path, record, _SurfaceRecord, kind)
    check_rows(path, rows, POINT, ("first", "second"), kind)
    if path.stem != about.env.replace("/", "+"):
        raise damage_error(path, kind, f"it is of environment '{brief(about.env)}'")
    if about.points[0] * about.points[1] != len(rows):
        raise damage_error(path, kind, f"it has {len(rows)} points, not {about.points}")

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows], np.float64).reshape(about.points)

    first, second, returns = map(column, ("first", "second", "return_mean"))
    axes = first[:, 0], second[0]
    if not all(np.isfinite(axis).all() and (np.diff(axis) > 0).all() for axis in axes):
        raise damage_error(path, kind, "its axes do not rise")
    return Surface(about.env, *axes, returns, about.episodes, about.settings)


def load(folder: Path) -> dict[str, Surface]:
    """Returns the surfaces of a results folder by environment, sorted.

    Raises:
      UserError: a file is damaged.
    """
    paths = sorted(folder.glob("surfaces/*.parquet"))
    surfaces = (read(path) for path in paths if path.name[0] != ".")
    return {surface.env: surface for surface in surfaces}
