"""The surfaces that a sweep asks for: the objective on a grid of an environment's two parameters.

They are beside the cells: no cell's identity depends on them, and each is made once.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_es import surfaces, tables
from rl_es.errors import StorageError, UserError
from rl_es.files.whole import read_whole
from rl_es.places import Problem
from rl_es.rollout.config import SurfaceConfig
from rl_es.sweep import provenance, records, resolving
from rl_es.sweep.cells import digest, world
from rl_es.sweep.progress import Progress
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import Store
from rl_es.sweep.tally import duration
from rl_es.training import surface, together
from rl_es.training.task import Task

NOTE_SECONDS = 10.0  # between two reports of one surface


@dataclass(frozen=True)
class Wanted:
    """A surface that a sweep asks for.

    Attributes:
      sweep: the sweep's name.
      env: the environment's label.
      task: the environment, and its policy without what single agents override.
      config: the grid.
      settings: 16 hex digits, a hash of everything that determines the numbers.
    """

    sweep: str
    env: str
    task: Task
    config: SurfaceConfig
    settings: str

    @property
    def shown(self) -> str:
        """The grid, for people."""
        first, second = self.config.points
        return f"surface of {self.env}: {first} x {second} points"


def wanted(sweep: Sweep) -> tuple[Wanted, ...]:
    """The surfaces of a sweep, in order.

    Raises:
      Problem: one is of a policy that has not two parameters.
    """
    return tuple(_wanted(sweep))


def _wanted(sweep: Sweep) -> Iterator[Wanted]:
    for i, environment in enumerate(sweep.environments):
        if environment.surface is None:
            continue
        place = ("environments", i)
        made_of = world(environment, place)
        policy = resolving.merged((*place, "policy"), sweep.defaults.policy, environment.policy)
        task = Task(environment.name, made_of["options"], environment.wrappers, policy)
        try:
            surface.check(task)
        except UserError as error:
            raise Problem((*place, "surface"), str(error)) from None
        grid = environment.surface.model_dump(mode="json")
        settings = digest([made_of, policy.model_dump(mode="json"), grid, surface.SEED])
        yield Wanted(sweep.name, environment.shown, task, environment.surface, settings)


def run(asked: Sequence[Wanted], store: Store, progress: Progress, stop: threading.Event) -> int:
    """Evaluates the surfaces that are not there yet.

    Args:
      asked: what `wanted` gives.
      store: where their files go.
      progress: told of each.
      stop: looked at between chunks of points, in all processes.

    Returns:
      How many failed.

    Raises:
      Interrupted: a `stop` was set; what was not finished is evaluated by the next call.
    """
    failed = 0
    for one in asked:
        if together.first(lambda one=one: _is_there(one, store)):
            continue
        try:
            _make(one, store, progress, stop)
        except StorageError:
            raise
        except Exception as error:
            if together.several() and not isinstance(error, UserError):
                raise  # the others may not have it, and would wait in vain
            progress.note(f"surface of {one.env}: failed: {records.reason(error)}")
            failed += 1
    return failed


def _is_there(one: Wanted, store: Store) -> bool:
    path = surfaces.path_of(store.folder, one.env)
    found = read_whole(store.folder, path, surfaces.read, store.note)
    return found is not None and found.settings == one.settings


def _make(one: Wanted, store: Store, progress: Progress, stop: threading.Event) -> None:
    began = noted = time.monotonic()
    points = surface.lattice(one.config)
    rows: list[dict[str, Any]] = []
    for returns in surface.returns(one.task, points, one.config.episodes):
        rows += map(_row, points[len(rows) : len(rows) + len(returns)], returns)
        if together.anyone(stop.is_set()):
            raise together.Interrupted
        if len(rows) < len(points) and time.monotonic() - noted > NOTE_SECONDS:
            noted = time.monotonic()
            progress.note(f"{one.shown}, {len(rows) / len(points):.0%} done", False)
    seconds = time.monotonic() - began
    if store.mine:
        surfaces.write(surfaces.path_of(store.folder, one.env), rows, _record(one, seconds))
    progress.note(f"{one.shown} in {duration(seconds)}", False)


def _row(point: np.ndarray, returns: np.ndarray) -> dict[str, float | None]:
    """A grid point [2] with its returns [E], as `surfaces.POINT`."""
    first, second = map(float, point)
    with np.errstate(invalid="ignore"):
        mean, std = (tables.finite(float(value)) for value in (returns.mean(), returns.std()))
    return {"first": first, "second": second, "return_mean": mean, "return_std": std}


def _record(one: Wanted, seconds: float) -> dict[str, Any]:
    task = one.task
    return {
        "sweep": one.sweep,
        "env": one.env,
        "settings": one.settings,
        **one.config.model_dump(mode="json"),
        "seconds": seconds,
        "device": provenance.device(),
        **records.made_of(task.name, task.options, task.wrappers, task.policy),
    }
