"""The surfaces that a sweep requests: the objective of a policy of two parameters, on a grid.

A surface stands beside the cells: no cell's identity depends on it, and each is evaluated once.

Axis letters: G grid points, C points evaluated at once, E episodes.
"""

import threading
import time
from collections.abc import Iterator, Sequence
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
from rl_es.sweep.cells import digest, environment_identity, merge_configs, resolve_options
from rl_es.sweep.progress import Progress, format_duration
from rl_es.sweep.schema import Sweep
from rl_es.sweep.store import Store, cell_reason, cell_source
from rl_es.training.compilation import compile_function, key_for_evaluation, lane_axis, vmap_lanes
from rl_es.training.task import Task

DIMENSIONS = 2
CHUNK = 64  # points evaluated at once: enough for vector units, few enough for any task's memory
SEED = 0  # of the evaluation episodes, which all points of every sweep share
NOTE_SECONDS = 10.0  # between two reports on one surface


@dataclass(frozen=True)
class SurfaceRequest:
    """A surface that a sweep requests.

    Attributes:
      sweep: name of the sweep.
      env: label of the environment.
      task: the environment and its policy, without the overrides of single agents.
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
        """The environment and the size of the grid, for people."""
        first, second = self.config.points
        return f"surface of {self.env}: {first} x {second} points"


def requested_surfaces(sweep: Sweep) -> tuple[SurfaceRequest, ...]:
    """Returns the surfaces that a sweep requests, in order.

    Raises:
      ConfigError: a surface's policy does not have two parameters.
    """
    return tuple(_iterate_requests(sweep))


def _iterate_requests(sweep: Sweep) -> Iterator[SurfaceRequest]:
    for i, environment in enumerate(sweep.environments):
        if environment.surface is None:
            continue
        path = ("environments", i)
        options = resolve_options(environment, (*path, "options"))
        policy = merge_configs((*path, "policy"), sweep.defaults.policy, environment.policy)
        task = Task(environment.name, options, environment.wrappers, policy)
        try:
            check_surface(task)
        except UserError as error:
            raise ConfigError((*path, "surface"), str(error)) from None
        settings = digest(
            [
                environment_identity(environment, options),
                policy.model_dump(mode="json"),
                environment.surface.model_dump(mode="json"),
                SEED,
            ]
        )
        yield SurfaceRequest(
            sweep.name, environment.display_name, task, environment.surface, settings
        )


def check_surface(task: Task) -> None:
    """Checks that a task's objective is a function of two parameters alone.

    Raises:
      UserError: it has another number of parameters, or it also depends on statistics.
    """
    if task.policy.normalise_observations:
        raise UserError("needs a policy that does not normalise observations")
    size = task.make_policy(task.evaluation_environment()).parameters.size
    if size != DIMENSIONS:
        raise UserError(f"needs a policy of two parameters; that of {task.name} has {size:,}")


def evaluate_surfaces(
    requests: Sequence[SurfaceRequest], store: Store, progress: Progress, stop: threading.Event
) -> int:
    """Evaluates the surfaces that the store lacks.

    Args:
      requests: the surfaces of a sweep.
      store: the results folder.
      progress: display that gets a note on each surface.
      stop: read between chunks of points, in all processes.

    Returns:
      The number of surfaces that failed.

    Raises:
      Interrupted: `stop` is set; the next call evaluates the unfinished surfaces.
    """
    failures = 0
    for request in requests:
        if store.surface_settings(request.env) == request.settings:
            continue
        try:
            _evaluate_surface(request, store, progress, stop)
        except StorageError:
            raise
        except Exception as error:
            if not store.is_shared(error):
                raise
            progress.note(f"surface of {request.env}: failed: {cell_reason(error)}")
            failures += 1
    return failures


def _evaluate_surface(
    request: SurfaceRequest, store: Store, progress: Progress, stop: threading.Event
) -> None:
    start = last_note = time.monotonic()
    points = grid_points(request.config)
    rows: list[dict[str, Any]] = []
    for returns in evaluate_points(request.task, points, request.config.episodes):
        rows += map(_surface_row, points[len(rows) : len(rows) + len(returns)], returns)
        if store.stop_requested(stop):
            raise Interrupted
        if len(rows) < len(points) and time.monotonic() - last_note > NOTE_SECONDS:
            last_note = time.monotonic()
            progress.note(f"{request.display_name}, {len(rows) / len(points):.0%} done", False)
    seconds = time.monotonic() - start
    store.write_surface(request.env, rows, _surface_record(request, seconds))
    progress.note(f"{request.display_name} in {format_duration(seconds)}", False)


def _surface_row(point: np.ndarray, returns: np.ndarray) -> dict[str, float | None]:
    """Returns the row `rl_es.results.surfaces.POINT` of a grid point [2] with its returns [E]."""
    first, second = map(float, point)
    with np.errstate(invalid="ignore"):
        mean, std = (tables.finite(float(value)) for value in (returns.mean(), returns.std()))
    return {"first": first, "second": second, "return_mean": mean, "return_std": std}


def _surface_record(request: SurfaceRequest, seconds: float) -> dict[str, Any]:
    task = request.task
    return {
        "sweep": request.sweep,
        "env": request.env,
        "settings": request.settings,
        **request.config.model_dump(mode="json"),
        "seconds": seconds,
        "device": manifest.device_name(),
        **cell_source(task.name, task.options, task.wrappers, task.policy),
    }


def grid_points(config: SurfaceConfig) -> np.ndarray:
    """Returns the grid points [G, 2] float32, the second parameter fastest."""
    spans = zip(config.low, config.high, config.points, strict=True)
    axes = [np.linspace(low, high, count, dtype=np.float32) for low, high, count in spans]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, DIMENSIONS)


def evaluate_points(task: Task, points: np.ndarray, episodes: int) -> Iterator[np.ndarray]:
    """Yields the returns [C, E] of chunks of the points [G, 2], as they are evaluated.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    env = task.evaluation_environment()
    policy = task.make_policy(env)
    size = min(CHUNK, len(points))
    evaluate = make_evaluator(env, policy, episodes, lane_axis(size))
    shapes = policy.parameters.shapes

    def evaluate_point(point: Array) -> Array:
        return evaluate(key_for_evaluation(SEED), Snapshot(unflatten_parameters(shapes, point)))

    shape = jax.ShapeDtypeStruct((size, DIMENSIONS), jnp.float32)
    evaluate_chunk = compile_function(vmap_lanes(evaluate_point, size), shape).call
    for start in range(0, len(points), size):
        chunk = points[start : start + size]
        # The last chunk repeats its last point: a program has a fixed number of them.
        full_chunk = np.pad(chunk, ((0, size - len(chunk)), (0, 0)), mode="edge")
        yield np.asarray(evaluate_chunk(full_chunk), np.float64)[: len(chunk)]


def unflatten_parameters(shapes: Any, vector: Array) -> Params:
    """Returns parameters of these shapes from one vector, in the tree's order."""
    leaves, structure = jax.tree.flatten(shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = jnp.split(vector, ends)
    arrays = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, arrays)
