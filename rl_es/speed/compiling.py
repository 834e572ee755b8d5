"""Compiles a generation, and measures what that costs: cold, and from the persistent cache."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from rl_es.training.platform import quiet_loading


@dataclass(frozen=True)
class Compiled:
    """A compiled function, and what XLA and the clock say of it.

    Attributes:
      call: the function.
      memory_bytes: arguments, outputs and temporaries, those that share memory counted once.
      trace_seconds: from Python to XLA's input, which no cache saves.
      cold_seconds: XLA's compilation with an empty cache, and its storing; None if not measured.
      cached_seconds: loading it from the persistent cache instead; None if not measured.
    """

    call: Callable[..., Any]
    memory_bytes: int
    trace_seconds: float
    cold_seconds: float | None = None
    cached_seconds: float | None = None


def compiled(
    function: Callable[..., Any], *shapes: Any, donate: bool = False, measure: bool = False
) -> Compiled:
    """Compiles a function for arguments of these shapes.

    Args:
      function: pure.
      shapes: pytrees of `jax.ShapeDtypeStruct`, one per argument.
      donate: the first argument is consumed.
      measure: compile with an empty cache in a folder of its own, then once more from there. This
        clears everything that jax holds compiled, so it has to come before anything is timed.
    """
    if not measure:
        lowered, traced = _lowered(function, shapes, donate)
        program, _ = _compiled(lowered)
        return Compiled(program, _bytes(program), traced)
    with _empty_cache():
        jax.clear_caches()  # so that tracing does not use what an earlier contestant traced
        lowered, traced = _lowered(function, shapes, donate)
        program, cold = _compiled(lowered)
        jax.clear_caches()
        again, _ = _lowered(function, shapes, donate)
        _, cached = _compiled(again)
    return Compiled(program, _bytes(program), traced, cold, cached)


def _lowered(function: Any, shapes: tuple[Any, ...], donate: bool) -> tuple[Any, float]:
    began = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=(0,) if donate else ()).lower(*shapes)
    return lowered, time.perf_counter() - began


def _compiled(lowered: Any) -> tuple[Any, float]:
    with quiet_loading():
        began = time.perf_counter()
        program = lowered.compile()
        return program, time.perf_counter() - began


def _bytes(program: Any) -> int:
    memory = program.memory_analysis()
    if memory is None:
        return 0
    used = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    return int(used + memory.output_size_in_bytes - memory.alias_size_in_bytes)


_CACHE = {
    "jax_compilation_cache_dir": None,  # the folder
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    """A persistent cache in a temporary folder that keeps everything; the usual one afterwards."""
    before = {name: getattr(jax.config, name) for name in _CACHE}
    with tempfile.TemporaryDirectory(prefix="rl_es_cache_") as folder:
        try:
            _configure({**_CACHE, "jax_compilation_cache_dir": folder})
            yield
        finally:
            _configure(before)


def _configure(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # it keeps the folder that it was first used with
