"""A brax environment as the engine's `Environment`: the raw one, without brax's wrappers."""

import contextlib
import dataclasses
import io
import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from envs._brax_style import BraxStyleEnvironment
from rl_es.interfaces import EnvState
from rl_es.promotion import implicit_promotion

with contextlib.redirect_stdout(io.StringIO()):  # brax reports every optional package it misses
    from brax import envs, fluid
    from brax.envs.base import State


class _Numpy:
    """`jax.numpy` for `brax.fluid`, which calls `clip` by a name that jax above 0.9 has dropped."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def clip(self, values: Array, a_min: float) -> Array:
        """`values`, none of them below `a_min`."""
        return jnp.clip(values, min=a_min)


fluid.jp = _Numpy()


def made(name: str, backend: str) -> Any:
    """The environment that brax itself has under a name."""
    with implicit_promotion(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Brax System")  # on every load: it is not maintained
        return envs.get_environment(name.removeprefix("brax/"), backend=backend)


class BraxEnvironment(BraxStyleEnvironment):
    """An environment of brax's on one of its physics backends.

    The state is the physics alone. All other fields of brax's own state are outputs of its step,
    which only has to find them there.
    """

    def _carried(self, state: State) -> EnvState:
        return state.pipeline_state

    def _step_once(self, state: Any, action: Array) -> State:
        empty = dataclasses.replace(self._shape, pipeline_state=None)
        fields = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty)
        return super()._step_once(dataclasses.replace(fields, pipeline_state=state), action)
