"""The objective of a policy of two parameters, on a grid of them.

Axis letters: G grid points, C points evaluated at once, E episodes.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Params, Snapshot
from rl_es.rollout.config import SurfaceConfig
from rl_es.rollout.evaluation import evaluator
from rl_es.training.platform import quiet_loading
from rl_es.training.program import in_lanes, key_for_evaluation, lane_axis
from rl_es.training.task import Task

AXES = 2
CHUNK = 64  # points evaluated at once: enough for vector units, few enough for any task's memory
SEED = 0  # whose evaluation episodes all points share, whatever seeds a sweep has


def check(task: Task) -> None:
    """Checks that a task's objective is a function of two parameters alone.

    Raises:
      UserError: it is none.
    """
    if task.policy.normalise_observations:
        raise UserError("needs a policy that does not normalise observations")
    size = task.make_policy(task.evaluation_environment()).parameters.size
    if size != AXES:
        raise UserError(f"needs a policy of two parameters; that of {task.name} has {size:,}")


def lattice(config: SurfaceConfig) -> np.ndarray:
    """[G, 2] float32 the grid points, the second parameter fastest."""
    spans = zip(config.low, config.high, config.points, strict=True)
    axes = [np.linspace(low, high, count, dtype=np.float32) for low, high, count in spans]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, AXES)


def returns(task: Task, points: np.ndarray, episodes: int) -> Iterator[np.ndarray]:
    """The returns of the points [G, 2], some points [C, E] at a time, as they are evaluated.

    Raises:
      UserError: episodes never end, and the environment names no evaluation of its own.
    """
    env = task.evaluation_environment()
    policy = task.make_policy(env)
    size = min(CHUNK, len(points))
    evaluate = evaluator(env, policy, episodes, lane_axis(size))
    shapes = policy.parameters.shapes

    def one(point: Array) -> Array:
        return evaluate(key_for_evaluation(SEED), Snapshot(unflatten(shapes, point)))

    run = _compiled(in_lanes(one, size), (size, AXES))
    for start in range(0, len(points), size):
        chunk = points[start : start + size]
        # The last chunk repeats its last point: a program has a fixed number of them.
        filled = np.pad(chunk, ((0, size - len(chunk)), (0, 0)), mode="edge")
        yield np.asarray(run(filled), np.float64)[: len(chunk)]


def unflatten(shapes: Any, vector: Array) -> Params:
    """Parameters of these shapes from one vector, in the tree's order."""
    leaves, structure = jax.tree.flatten(shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = jnp.split(vector, ends)
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def _compiled(function: Callable[..., Array], shape: tuple[int, ...]) -> Callable[..., Array]:
    lowered = jax.jit(function).lower(jax.ShapeDtypeStruct(shape, jnp.float32))
    with quiet_loading():
        return lowered.compile()
