"""The surfaces that a sweep asks for: the objective on a grid of an environment's two parameters.

They are beside the cells: no cell's identity depends on them, and each is made once.

The objective of a policy of two parameters, on a grid of them.

Axis letters: G grid points, C points evaluated at once, E episodes.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.errors import ConfigError, Interrupted, StorageError, UserError
from rl_es.interfaces import Params, Snapshot
from rl_es.results import manifest, tables
from rl_es.rollout.config import SurfaceConfig
from rl_es.rollout.evaluation import make_evaluator
from rl_es.sweep import cells
from rl_es.sweep.cells import digest, environment_identity, resolve_options
from rl_es.sweep.progress import Progress, format_duration
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import Store, cell_reason, cell_source
from rl_es.training.compilation import (
    key_for_evaluation,
    lane_axis,
    suppress_loader_messages,
    vmap_lanes,
)
from rl_es.training.task import Task

AXES = 2
CHUNK = 64  # points evaluated at once: enough for vector units, few enough for any task's memory
SEED = 0  # whose evaluation episodes all points share, whatever seeds a sweep has


def check_surface(task: Task) -> None:
    """Checks that a task's objective is a function of two parameters alone.

    Raises:
      UserError: it is none.
    """
    if task.policy.normalise_observations:
        raise UserError("needs a policy that does not normalise observations")
    size = task.make_policy(task.evaluation_environment()).parameters.size
    if size != AXES:
        raise UserError(f"needs a policy of two parameters; that of {task.name} has {size:,}")


def grid_points(config: SurfaceConfig) -> np.ndarray:
    """[G, 2] float32 the grid points, the second parameter fastest."""
    spans = zip(config.low, config.high, config.points, strict=True)
    axes = [np.linspace(low, high, count, dtype=np.float32) for low, high, count in spans]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, AXES)


def evaluate_points(task: Task, points: np.ndarray, episodes: int) -> Iterator[np.ndarray]:
    """The returns of the points [G, 2], some points [C, E] at a time, as they are evaluated.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    env = task.evaluation_environment()
    policy = task.make_policy(env)
    size = min(CHUNK, len(points))
    evaluate = make_evaluator(env, policy, episodes, lane_axis(size))
    shapes = policy.parameters.shapes

    def one(point: Array) -> Array:
        return evaluate(key_for_evaluation(SEED), Snapshot(unflatten_parameters(shapes, point)))

    run = _compiled(vmap_lanes(one, size), (size, AXES))
    for start in range(0, len(points), size):
        chunk = points[start : start + size]
        # The last chunk repeats its last point: a program has a fixed number of them.
        filled = np.pad(chunk, ((0, size - len(chunk)), (0, 0)), mode="edge")
        yield np.asarray(run(filled), np.float64)[: len(chunk)]


def unflatten_parameters(shapes: Any, vector: Array) -> Params:
    """Parameters of these shapes from one vector, in the tree's order."""
    leaves, structure = jax.tree.flatten(shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = jnp.split(vector, ends)
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def _compiled(function: Callable[..., Array], shape: tuple[int, ...]) -> Callable[..., Array]:
    lowered = jax.jit(function).lower(jax.ShapeDtypeStruct(shape, jnp.float32))
    with suppress_loader_messages():
        return lowered.compile()


NOTE_SECONDS = 10.0  # between two reports of one surface


@dataclass(frozen=True)
class SurfaceRequest:
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
    def display_name(self) -> str:
        """The grid, for people."""
        first, second = self.config.points
        return f"surface of {self.env}: {first} x {second} points"


def requested_surfaces(sweep: Sweep) -> tuple[SurfaceRequest, ...]:
    """The surfaces of a sweep, in order.

    Raises:
      ConfigError: one is of a policy that has not two parameters.
    """
    return tuple(_wanted(sweep))


def _wanted(sweep: Sweep) -> Iterator[SurfaceRequest]:
    for i, environment in enumerate(sweep.environments):
        if environment.surface is None:
            continue
        place = ("environments", i)
        options = resolve_options(environment, (*place, "options"))
        policy = cells.merge_configs((*place, "policy"), sweep.defaults.policy, environment.policy)
        task = Task(environment.name, options.model_dump(), environment.wrappers, policy)
        try:
            check_surface(task)
        except UserError as error:
            raise ConfigError((*place, "surface"), str(error)) from None
        grid = environment.surface.model_dump(mode="json")
        settings = digest(
            [environment_identity(environment, options), policy.model_dump(mode="json"), grid, SEED]
        )
        yield SurfaceRequest(
            sweep.name, environment.display_name, task, environment.surface, settings
        )


def evaluate_surfaces(
    asked: Sequence[SurfaceRequest], store: Store, progress: Progress, stop: threading.Event
) -> int:
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
        if store.surface_settings(one.env) == one.settings:
            continue
        try:
            _make(one, store, progress, stop)
        except StorageError:
            raise
        except Exception as error:
            if not store.is_shared(error):
                raise
            progress.note(f"surface of {one.env}: failed: {cell_reason(error)}")
            failed += 1
    return failed


def _make(one: SurfaceRequest, store: Store, progress: Progress, stop: threading.Event) -> None:
    began = noted = time.monotonic()
    points = grid_points(one.config)
    rows: list[dict[str, Any]] = []
    for returns in evaluate_points(one.task, points, one.config.episodes):
        rows += map(_row, points[len(rows) : len(rows) + len(returns)], returns)
        if store.stop_requested(stop):
            raise Interrupted
        if len(rows) < len(points) and time.monotonic() - noted > NOTE_SECONDS:
            noted = time.monotonic()
            progress.note(f"{one.display_name}, {len(rows) / len(points):.0%} done", False)
    seconds = time.monotonic() - began
    store.write_surface(one.env, rows, _record(one, seconds))
    progress.note(f"{one.display_name} in {format_duration(seconds)}", False)


def _row(point: np.ndarray, returns: np.ndarray) -> dict[str, float | None]:
    """A grid point [2] with its returns [E], as `surfaces.POINT`."""
    first, second = map(float, point)
    with np.errstate(invalid="ignore"):
        mean, std = (tables.finite(float(value)) for value in (returns.mean(), returns.std()))
    return {"first": first, "second": second, "return_mean": mean, "return_std": std}


def _record(one: SurfaceRequest, seconds: float) -> dict[str, Any]:
    task = one.task
    return {
        "sweep": one.sweep,
        "env": one.env,
        "settings": one.settings,
        **one.config.model_dump(mode="json"),
        "seconds": seconds,
        "device": manifest.device_name(),
        **cell_source(task.name, task.options, task.wrappers, task.policy),
    }
