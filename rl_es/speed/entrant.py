"""A contestant made ready on a workload: compiled, warm, and sampled round after round.

Compiles a generation, and measures what that costs: cold, and from the persistent cache.
"""

import contextlib
import gc
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from rl_es.interfaces import Environment
from rl_es.results.timings import PARTS, WHOLE
from rl_es.speed.runners import TimedFunctions, make_runner
from rl_es.speed.workloads import Contestant, Workload
from rl_es.training.compilation import suppress_loader_messages
from rl_es.training.resources import tree_bytes


@dataclass(frozen=True)
class CompiledFunction:
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


def compile_timed(
    function: Callable[..., Any], *shapes: Any, donate: bool = False, measure: bool = False
) -> CompiledFunction:
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
        return CompiledFunction(program, _bytes(program), traced)
    with _empty_cache():
        jax.clear_caches()  # so that tracing does not use what an earlier contestant traced
        lowered, traced = _lowered(function, shapes, donate)
        program, cold = _compiled(lowered)
        jax.clear_caches()
        again, _ = _lowered(function, shapes, donate)
        _, cached = _compiled(again)
    return CompiledFunction(program, _bytes(program), traced, cold, cached)


def _lowered(function: Any, shapes: tuple[Any, ...], donate: bool) -> tuple[Any, float]:
    began = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=(0,) if donate else ()).lower(*shapes)
    return lowered, time.perf_counter() - began


def _compiled(lowered: Any) -> tuple[Any, float]:
    with suppress_loader_messages():
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


MOST_REPEATS = 10_000
PART_SHARE = 0.2  # of a sample's shortest time: the shortest time for a part

Row = dict[str, Any]


class ContestantSampler:
    """One contestant, ready to be sampled.

    Making one compiles everything, runs it once to warm up, and then finds out how often a sample
    has to repeat a call.

    Attributes:
      program: its `timings.PROGRAM` values, but for the status.
    """

    def __init__(
        self,
        workload: Workload,
        contestant: Contestant,
        env: Environment,
        *,
        min_seconds: float,
        measure: bool,
        parts: bool,
    ):
        """Compiles and warms up.

        Args:
          workload: what is run.
          contestant: who runs it.
          env: the workload's environment with the contestant's horizon.
          min_seconds: the shortest time that a sample may take.
          measure: measure compilation.
          parts: sample the parts of a generation as well.

        Raises:
          UserError: the contestant does not fit the environment.
        """
        self._who = {"contestant": contestant.label, "agent": contestant.name}
        runner = make_runner(workload, contestant, env)
        key = jax.random.key(0)
        state = jax.jit(runner.init)(key)
        shape = jax.tree.map(_shape, state)
        generation = compile_timed(runner.generation, shape, donate=True, measure=measure)
        self._generation = generation.call
        self._parts = _compiled_parts(runner, shape) if parts else {}
        self._state = state
        self.program: Row = {
            **self._who,
            "parameters": runner.parameters,
            "memory_bytes": generation.memory_bytes,
            "perturbation_bytes": tree_bytes(jax.eval_shape(runner.perturbation, key)),
            "trace_seconds": generation.trace_seconds,
            "compile_cold_seconds": generation.cold_seconds,
            "compile_cached_seconds": generation.cached_seconds,
        }
        self._repeats: dict[str, int] = dict.fromkeys((WHOLE, *PARTS), 1)
        list(self.sample())  # the first call of a program is no measure of the others
        for _ in range(3):
            if self._suffice(min_seconds):
                break

    def _suffice(self, min_seconds: float) -> bool:
        """Takes a sample, and says whether it was long enough; if not, the next repeats more."""
        enough = True
        for row in self.sample():
            part = row["part"]
            least = min_seconds if part == WHOLE else PART_SHARE * min_seconds
            needed = min(MOST_REPEATS, math.ceil(least / row["seconds"]))
            enough &= needed <= 1.2 * self._repeats[part]
            self._repeats[part] = max(1, needed)
        return enough

    def sample(self) -> Iterator[Row]:
        """One sample of the generation and of each part, in `timings.SAMPLE` columns."""
        steps: list[Any] = []

        def generation() -> Any:
            self._state, (_, taken) = self._generation(self._state)
            steps.append(taken)
            return self._state, taken

        row, _ = self._timed(WHOLE, generation)
        yield {**row, "env_steps": round(sum(map(_summed, steps)) / len(steps))}
        if self._parts:
            yield from self._sampled_parts()

    def _sampled_parts(self) -> Iterator[Row]:
        """The parts in their order, each of which takes the results of those before it."""
        state, parts = self._state, self._parts
        row, (noise, memory) = self._timed("noise", lambda: parts["noise"](state))
        yield row
        row, unfolded = self._timed("rollout", lambda: parts["rollout"](state, noise))
        segment = unfolded.segment
        yield {**row, "env_steps": int(segment.steps)}
        row, weights = self._timed("shaping", lambda: parts["shaping"](state, segment))
        yield row
        row, _ = self._timed(
            "update", lambda: parts["update"](state, noise, memory, weights, segment)
        )
        yield row

    def _timed(self, part: str, call: Callable[[], Any]) -> tuple[Row, Any]:
        """The mean time of the sample's calls, and the last call's result.

        A call ends before the next begins: together they would hold several populations of noise.
        """
        repeats, result = self._repeats[part], None
        collecting = gc.isenabled()
        gc.disable()
        try:
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(repeats):
                result = jax.block_until_ready(call())
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finally:
            if collecting:
                gc.enable()
        row = {**self._who, "part": part, "repeats": repeats}
        row |= {"seconds": wall / repeats, "cpu_seconds": cpu / repeats, "env_steps": None}
        return row, result


def _summed(steps: Any) -> int:
    """The sum of the steps of all runs [...], added here, where it may exceed 32 bits."""
    return int(np.asarray(steps, np.int64).sum())


def _shape(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """The shape of an array, with its sharding if it is on several devices."""
    several = len(leaf.sharding.device_set) > 1
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding if several else None)


def _compiled_parts(runner: TimedFunctions, state: Any) -> dict[str, Callable[..., Any]]:
    """The parts' programs by name; none where a generation cannot be taken apart."""
    parts = runner.parts
    if parts is None:
        return {}
    noise, memory = jax.eval_shape(parts.noise, state)
    unfolded = jax.eval_shape(parts.rollout, state, noise)
    weights = jax.eval_shape(parts.shaping, state, unfolded.segment)
    arguments = {
        "noise": (state,),
        "rollout": (state, noise),
        "shaping": (state, unfolded.segment),
        "update": (state, noise, memory, weights, unfolded.segment),
    }
    return {name: compile_timed(getattr(parts, name), *arguments[name]).call for name in PARTS}
