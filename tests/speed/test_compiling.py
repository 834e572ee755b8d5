"""Compilation is measured in a cache of its own, and nothing is left of that."""

import jax
import jax.numpy as jnp
from jax import monitoring

from rl_es.speed.entrant import compile_timed
from rl_es.training.resources import tree_bytes

SHAPE = jax.ShapeDtypeStruct((8, 8), jnp.float32)


def _function(x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ x).sum(0) + jnp.sort(x[0])


def test_measured() -> None:
    folder, hits = jax.config.jax_compilation_cache_dir, []
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    monitoring.register_event_listener(lambda name, **_: hits.append(name))
    made = compile_timed(_function, SHAPE, measure=True)
    assert hits.count("/jax/compilation_cache/cache_hits") == 1
    assert made.cold_seconds and made.cached_seconds and made.trace_seconds > 0
    assert made.call(jnp.ones((8, 8))).shape == (8,)
    assert jax.config.jax_compilation_cache_dir == folder
    assert jax.config.jax_persistent_cache_min_compile_time_secs == least


def test_not_measured() -> None:
    made = compile_timed(_function, SHAPE)
    assert made.cold_seconds is None and made.cached_seconds is None
    assert made.memory_bytes >= 8 * 8 * 4 + 8 * 4


def test_donated_memory_is_counted_once() -> None:
    shape = jax.ShapeDtypeStruct((1000,), jnp.float32)
    assert compile_timed(lambda x: x + 1, shape, donate=True).memory_bytes < 2 * 4000


def test_bytes() -> None:
    assert tree_bytes({"a": SHAPE, "b": (jax.ShapeDtypeStruct((), jnp.bfloat16),)}) == 258
    assert tree_bytes(()) == 0
