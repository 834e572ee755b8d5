"""A contestant made ready on a workload: compiled, warm, and sampled round after round."""

import gc
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from rl_es.interfaces import Environment
from rl_es.speed.compiling import compiled
from rl_es.speed.contestants import Contestant
from rl_es.speed.runners import Runner, make_runner
from rl_es.speed.workloads import Workload
from rl_es.timings import PARTS, WHOLE
from rl_es.training.footprint import size

MOST_REPEATS = 10_000
PART_SHARE = 0.2  # of a sample's shortest time: the shortest time for a part

Row = dict[str, Any]


class Entrant:
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
        generation = compiled(runner.generation, shape, donate=True, measure=measure)
        self._generation = generation.call
        self._parts = _compiled_parts(runner, shape) if parts else {}
        self._state = state
        self.program: Row = {
            **self._who,
            "parameters": runner.parameters,
            "memory_bytes": generation.memory_bytes,
            "perturbation_bytes": size(jax.eval_shape(runner.perturbation, key)),
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


def _compiled_parts(runner: Runner, state: Any) -> dict[str, Callable[..., Any]]:
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
    return {name: compiled(getattr(parts, name), *arguments[name]).call for name in PARTS}
