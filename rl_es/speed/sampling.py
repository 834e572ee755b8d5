"""Samples a contestant on a workload: compiles it, warms it up, and times it round after round."""

import contextlib
import gc
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from rl_es.interfaces import Environment
from rl_es.results.timings import PARTS, WHOLE
from rl_es.speed.runners import generation_parts, make_timed_functions
from rl_es.speed.schema import PEERS
from rl_es.speed.workloads import Contestant, Workload
from rl_es.training.compilation import CompiledFunction, compile_function
from rl_es.training.learner import Evolution
from rl_es.training.resources import device_capacity, tree_bytes

MAX_REPEATS = 10_000  # calls of one sample
PART_SHARE = 0.2  # of a generation's shortest sample: the shortest sample of a part
# What each part takes: the state, and the results of earlier parts.
PART_INPUTS = {
    "noise": ("state",),
    "rollout": ("state", "noise"),
    "shaping": ("state", "rollout"),
    "update": ("state", "noise", "shaping", "rollout"),
}

Row = dict[str, Any]


class MemoryShortage(Exception):
    """A device cannot hold what a contestant needs at least."""


def check_memory(perturbation_bytes: int, contestant: Contestant) -> None:
    """Refuses a contestant whose perturbation alone is too large for a device.

    Noise is held twice while it is drawn. A peer writes its population out, and holds it four times
    with its noise and differences.

    Args:
      perturbation_bytes: bytes of the population's noise, or of its parameters.
      contestant: who holds it.

    Raises:
      MemoryShortage: it does not fit.
    """
    copies = 4 if contestant.name in PEERS else 2
    parts = contestant.devices * contestant.chunks
    needed = copies * perturbation_bytes * contestant.lanes // parts
    capacity = device_capacity(contestant.devices)
    if needed > capacity:
        raise MemoryShortage(
            f"its perturbation takes {needed / 2**30:,.1f} GiB in {copies} copies, and a device "
            f"has {capacity / 2**30:,.1f}"
        )


class ContestantSampler:
    """A contestant's compiled programs, whose calls are timed sample by sample.

    The constructor compiles everything. `warm_up` runs it, and finds how many calls a sample has to
    repeat to be long enough; it comes before the first sample.

    Attributes:
      program: the contestant's `timings.PROGRAM` values, except for the status.
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
        """Compiles everything.

        Args:
          workload: what is run.
          contestant: who runs it.
          env: the workload's environment with the contestant's horizon.
          min_seconds: the shortest time that a sample may take.
          measure: measure compilation.
          parts: sample the parts of a generation as well.

        Raises:
          UserError: the contestant does not fit the environment.
          MemoryShortage: it does not fit on a device.
        """
        self._columns = {"contestant": contestant.label, "agent": contestant.name}
        functions = make_timed_functions(workload, contestant, env)
        key = jax.random.key(0)
        perturbation_bytes = tree_bytes(jax.eval_shape(functions.perturbation, key))
        check_memory(perturbation_bytes, contestant)
        self._state = compile_function(functions.init, key).call(key)
        shapes = jax.tree.map(_shape, self._state)
        cold_seconds = cached_seconds = None
        if measure:
            generation, cached_seconds = measure_compilation(
                functions.generation, shapes, donate=(0,)
            )
            cold_seconds = generation.compile_seconds
        else:
            generation = compile_function(functions.generation, shapes, donate=(0,))
        self._generation = generation.call
        learner = functions.learner if parts else None
        self._parts = {} if learner is None else _compile_parts(learner, shapes)
        self.program: Row = {
            **self._columns,
            "parameters": functions.parameters,
            "memory_bytes": generation.memory_bytes,
            "perturbation_bytes": perturbation_bytes,
            "trace_seconds": generation.trace_seconds,
            "compile_cold_seconds": cold_seconds,
            "compile_cached_seconds": cached_seconds,
        }
        self._min_seconds = min_seconds
        self._repeats: dict[str, int] = dict.fromkeys((WHOLE, *PARTS), 1)

    def warm_up(self) -> None:
        """Runs everything once, and finds the repeats of a sample."""
        list(self.sample())  # the first call of a program is no measure of the others
        for _ in range(3):
            if self._adjust_repeats():
                break

    def _adjust_repeats(self) -> bool:
        """Takes a sample, fits the repeats to it, and tells whether it was long enough."""
        enough = True
        for row in self.sample():
            part = row["part"]
            least = self._min_seconds * (1 if part == WHOLE else PART_SHARE)
            repeats = min(MAX_REPEATS, math.ceil(least / row["seconds"]))
            enough &= repeats <= 1.2 * self._repeats[part]
            self._repeats[part] = max(1, repeats)
        return enough

    def sample(self) -> Iterator[Row]:
        """Yields one sample of the generation and of each part, in `timings.SAMPLE` columns."""
        env_steps: list[Any] = []

        def generation() -> Any:
            self._state, (_, steps) = self._generation(self._state)
            env_steps.append(steps)
            return self._state, steps

        row, _ = self._time(WHOLE, generation)
        # Summed over lanes on the host, where the sum may exceed 32 bits.
        total = sum(int(np.asarray(steps, np.int64).sum()) for steps in env_steps)
        yield {**row, "env_steps": round(total / len(env_steps))}
        yield from self._sample_parts()

    def _sample_parts(self) -> Iterator[Row]:
        """Yields a sample of each part in its order; a part takes the results of earlier parts."""
        results: dict[str, Any] = {"state": self._state}
        for part, program in self._parts.items():
            call = partial(program, *(results[name] for name in PART_INPUTS[part]))
            row, results[part] = self._time(part, call)
            if part == "rollout":
                row["env_steps"] = int(results[part].segment.steps)
            yield row

    def _time(self, part: str, call: Callable[[], Any]) -> tuple[Row, Any]:
        """Returns a sample's row with the mean time of its calls, and the last call's result.

        A call ends before the next begins: two at once would hold two populations of noise.
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
        row = {**self._columns, "part": part, "repeats": repeats}
        row |= {"seconds": wall / repeats, "cpu_seconds": cpu / repeats, "env_steps": None}
        return row, result


def _shape(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Returns the shape of an array, with its sharding if it lies on several devices."""
    several = len(leaf.sharding.device_set) > 1
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding if several else None)


def _compile_parts(learner: Evolution, state: Any) -> dict[str, Callable[..., Any]]:
    """Compiles the parts of a learner's generation for a state of these shapes, by name."""
    shapes, programs = {"state": state}, {}
    for part, function in generation_parts(learner).items():
        arguments = [shapes[name] for name in PART_INPUTS[part]]
        shapes[part] = jax.eval_shape(function, *arguments)
        programs[part] = compile_function(function, *arguments).call
    return programs


def measure_compilation(
    function: Callable[..., Any], *shapes: Any, donate: tuple[int, ...] = ()
) -> tuple[CompiledFunction, float]:
    """Compiles a function with an empty persistent cache, then once more from that cache.

    It clears everything that jax holds compiled, so it has to come before anything is timed.

    Args:
      function: pure.
      shapes: one pytree per argument, of `jax.ShapeDtypeStruct`.
      donate: numbers of the arguments that a call consumes.

    Returns:
      The function, whose `compile_seconds` are those of the empty cache, storing included; and the
      seconds of loading it from the cache.
    """
    with _empty_cache():
        jax.clear_caches()  # so that tracing does not use what an earlier contestant traced
        program = compile_function(function, *shapes, donate=donate)
        jax.clear_caches()
        cached_seconds = compile_function(function, *shapes, donate=donate).compile_seconds
    return program, cached_seconds


_CACHE = {
    "jax_compilation_cache_dir": None,  # the folder
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    """Uses a persistent cache in a temporary folder that keeps everything; then the usual one."""
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
