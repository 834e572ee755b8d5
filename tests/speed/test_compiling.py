"""Compilation is measured in a cache of its own, and nothing is left of that."""

import jax
import jax.numpy as jnp
from jax import monitoring

from rl_es.speed.sampling import measure_compilation
from rl_es.training.compilation import compile_function
from rl_es.training.resources import tree_bytes

SHAPE = jax.ShapeDtypeStruct((8, 8), jnp.float32)


def _function(x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ x).sum(0) + jnp.sort(x[0])


def test_measured() -> None:
    folder, hits = jax.config.jax_compilation_cache_dir, []
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    monitoring.register_event_listener(lambda name, **_: hits.append(name))
    compiled, cached_seconds = measure_compilation(_function, SHAPE)
    assert hits.count("/jax/compilation_cache/cache_hits") == 1
    assert compiled.compile_seconds > 0 and cached_seconds > 0 and compiled.trace_seconds > 0
    assert compiled.call(jnp.ones((8, 8))).shape == (8,)
    assert jax.config.jax_compilation_cache_dir == folder
    assert jax.config.jax_persistent_cache_min_compile_time_secs == least


def test_not_measured() -> None:
    compiled = compile_function(_function, SHAPE)
    assert compiled.memory_bytes >= 8 * 8 * 4 + 8 * 4


def test_donated_memory_is_counted_once() -> None:
    shape = jax.ShapeDtypeStruct((1000,), jnp.float32)
    assert compile_function(lambda x: x + 1, shape, donate=(0,)).memory_bytes < 2 * 4000


def test_bytes() -> None:
    assert tree_bytes({"a": SHAPE, "b": (jax.ShapeDtypeStruct((), jnp.bfloat16),)}) == 258
    assert tree_bytes(()) == 0
