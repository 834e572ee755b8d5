"""A learner's generation over devices, in chunks, and for several runs at once."""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from rl_es.errors import UserError
from rl_es.interfaces import Hyper
from rl_es.training.learner import Evolution
from rl_es.training.placement import Placement, kinds
from rl_es.training.program import as_data, as_keys, in_lanes


def spread(
    learner: Evolution, hyper: Hyper, placement: Placement, lanes: int
) -> tuple[Callable[[Array], Any], Callable[[Any], Any]]:
    """The `init` and `generation` of a `Runner`, for a learner that is spread so.

    Args:
      learner: built with the placement's spread and the name of the lane axis.
      hyper: its traced settings.
      placement: devices and chunks.
      lanes: runs that share a call (L).

    Returns:
      key -> state, and state -> (state, (returns [L, P], environment steps [L])).

    Raises:
      UserError: there are not so many devices.
    """
    if placement.devices > jax.device_count():
        raise UserError(f"it needs {placement.devices} devices; jax finds {jax.device_count()}")

    def begin(data: Array) -> Any:
        return learner.init(jax.random.wrap_key_data(data), hyper)

    shapes = kinds(begin, jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))))

    def advance(state: Any) -> Any:
        state, segment, _ = learner.generation(as_keys(state, shapes))
        return as_data(state), (segment.returns, segment.steps)

    held = learner.pairwise
    first = placement.over(in_lanes(lambda data: as_data(begin(data)), lanes), (False,), held)
    following = placement.over(in_lanes(advance, lanes), (held,), (held, False))

    def init(key: Array) -> Any:
        keys = jax.random.split(key, lanes) if lanes > 1 else key[None]
        return first(jax.random.key_data(keys))

    return init, following
