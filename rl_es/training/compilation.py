"""A learner compiled: three functions over plain host arrays, with a leading lane axis.

Lanes are runs that share the program: seeds and traced settings. With one lane a device the
functions are called in turn, run after run; with more they are vmapped, and each lane stops at its
own limit. Where lanes and populations lie is a `Placement`.
Random keys inside a state are carried as plain integers, so that a state can be saved as it is.

What jax is told before it runs: where compiled programs are kept, which message to drop.
"""

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import platformdirs

from rl_es.interfaces import Hyper, Learner, Limit, Rows, Snapshot
from rl_es.training.sharding import ONE_DEVICE, Placement, shard_shapes

_LOADING = threading.RLock()


def cache_folder() -> Path:
    """Where compiled programs are kept: $RL_ES_CACHE, or a folder of the user's cache."""
    named = os.environ.get("RL_ES_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("rl_es") / "xla"


def prepare_jax(devices: int | None = None) -> None:
    """Turns the persistent compilation cache on (an RL_ES_CACHE that is empty turns it off).

    Args:
      devices: how many devices a CPU is to be seen as; to be said before jax is first used.
    """
    if devices is not None and devices > 1:
        # Once jax runs this can no longer be said: whoever needs the devices then finds too few.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)
    if os.environ.get("RL_ES_CACHE") == "":
        return
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextlib.contextmanager
def suppress_loader_messages() -> Iterator[None]:
    """Drops one message that XLA writes for every program it loads from the cache on some CPUs.

    It takes the tuning hints prefer-no-gather and prefer-no-scatter for instructions that the host
    lacks (openxla/xla issue 44565); the program is loaded and right. It is written by C++ straight
    to file descriptor 2, so that is what is held back; everything else that was written comes out.
    """
    if jax.default_backend() != "cpu":
        yield
        return
    with _LOADING, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            os.dup2(held.fileno(), 2)
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if b"+prefer-no-" not in line or b"cpu_aot_loader" not in line:
                    os.write(2, line)


LANES = "lanes"
MAX_EVALUATION_PROGRAMS = 8  # programs that are kept for further groups
_EVALUATION = 0x65766C  # folded into a seed's key, so that evaluation never shares training's keys

State = Any  # a learner's state with a leading lane axis, keys as integers


def lane_axis(lanes: int) -> str | None:
    """The axis name that a learner or evaluator of so many lanes a device is told of."""
    return LANES if lanes > 1 else None


def scalar_leaves(settings: Mapping[str, float]) -> Hyper:
    """Traced settings as a learner's `init` takes them."""
    return {name: jnp.float32(value) for name, value in settings.items()}


def key_for_evaluation(seed: Any) -> jax.Array:
    """The key of a seed's evaluations: its agents share their episodes, at every point."""
    return jax.random.fold_in(jax.random.key(seed), np.uint32(_EVALUATION))


@dataclass
class Program:
    """Compiled functions of one group.

    Attributes:
      lanes: runs that each call handles (L).
      init: (seeds [L] uint32, settings {name: [L]}) -> state.
      advance: (state, Limit of [L] each) -> (state, Rows of [L] each). The state is consumed.
      snapshot: state -> Snapshot, leaves [L, ...].
      evaluate: (seeds [L] uint32, Snapshot) -> returns [L, E].
      compile_seconds: what compilation took, tracing included.
      trace_seconds: what tracing took, which no cache saves.
      memory_bytes: what the largest of its functions needs, by XLA's own account.
      compiled: how many programs were compiled for it.
      state_shape: shapes of the state.
    """

    lanes: int
    init: Callable[..., State]
    advance: Callable[..., tuple[State, Rows]]
    snapshot: Callable[[State], Snapshot]
    evaluate: Callable[..., Any]
    compile_seconds: float
    trace_seconds: float
    memory_bytes: int
    compiled: int
    state_shape: Any = field(repr=False)


def vmap_lanes(function: Callable[..., Any], lanes: int) -> Callable[..., Any]:
    """A function of one lane as one of arrays [lanes, ...]: vmapped, or called on the only lane."""
    if lanes > 1:
        return jax.vmap(function, axis_name=LANES)

    def alone(*args: Any) -> Any:
        inner = jax.tree.map(lambda leaf: leaf[0], args)
        return jax.tree.map(lambda leaf: leaf[None], function(*inner))

    return alone


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def keys_to_data(tree: Any) -> Any:
    """A pytree with its random keys as integers."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def data_to_keys(tree: Any, shapes: Any) -> Any:
    """The inverse of `as_data`, for a pytree of these shapes."""
    return jax.tree.map(
        lambda leaf, shape: jax.random.wrap_key_data(leaf) if _is_key(shape) else leaf, tree, shapes
    )


def _bytes(compiled: Any) -> int:
    memory = compiled.memory_analysis()
    if memory is None:
        return 0
    return int(
        memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
    )


class Compiler:
    """Compiles learners, and shares one evaluation program among learners of equal policies.

    Only the last few of those are kept, so that memory does not grow with the length of a sweep:
    its groups come environment by environment.
    """

    def __init__(self) -> None:
        """Starts with no evaluation program."""
        self._evaluations: dict[Any, Any] = {}  # the latest last

    def compile(
        self,
        learner: Learner,
        settings: Mapping[str, float],
        lanes: int,
        evaluate: Callable[..., Any],
        evaluation_key: Any,
        placement: Placement = ONE_DEVICE,
    ) -> Program:
        """Compiles a group's functions.

        Args:
          learner: built for this number of lanes (`lane_axis`) and this placement.
          settings: the traced settings, for their names.
          lanes: runs handled at once; a multiple of the devices that share them.
          evaluate: (key, Snapshot) -> returns [E], of one lane.
          evaluation_key: hashable; groups with an equal one share the evaluation program.
          placement: the devices that hold it all.
        """
        began = time.perf_counter()
        group = _Lowering(learner, settings, lanes, placement)
        lowered = group.init(), group.advance()
        trace_seconds = time.perf_counter() - began
        init, advance = map(_compile, lowered)
        shared = (evaluation_key, lanes, placement.runs, placement.shards)
        known = shared in self._evaluations
        if not known:
            tracing = time.perf_counter()
            part = group.evaluation(evaluate)
            trace_seconds += time.perf_counter() - tracing
            self._evaluations[shared] = _compile(part)
        evaluation = self._recent(shared)
        return Program(
            lanes,
            init=placement.fed(init, group.seeds, group.hyper),
            advance=placement.fed(advance, group.state, group.limit),
            snapshot=learner.snapshot,
            evaluate=placement.fed(evaluation, group.seeds, group.snapshot),
            compile_seconds=time.perf_counter() - began,
            trace_seconds=trace_seconds,
            memory_bytes=max(map(_bytes, (init, advance, evaluation))),
            compiled=2 if known else 3,
            state_shape=group.state,
        )

    def _recent(self, key: Any) -> Any:
        """An evaluation program, now the latest; the oldest are let go."""
        found = self._evaluations[key] = self._evaluations.pop(key)
        for oldest in list(self._evaluations)[:-MAX_EVALUATION_PROGRAMS]:
            del self._evaluations[oldest]
        return found


class _Lowering:
    """The functions of a group, traced for its lanes where they are placed.

    Attributes:
      seeds: shape of the runs' seeds [L].
      hyper: shapes of their traced settings, {name: [L]}.
      limit: shape of the `Limit` of a call, [L] each.
      state: shapes of the learner's state, keys as integers.
      snapshot: shapes of what is evaluated.
    """

    def __init__(
        self, learner: Learner, settings: Mapping[str, float], lanes: int, placement: Placement
    ):
        self._learner, self._placement = learner, placement
        self._own = lanes // placement.runs
        seed, number = (jax.ShapeDtypeStruct((), kind) for kind in (jnp.uint32, jnp.float32))
        self._lane = shard_shapes(self._start, seed, dict.fromkeys(settings, number))

        def each(kind: Any) -> Any:
            return placement.placed(jax.ShapeDtypeStruct((lanes,), kind), False)

        self.seeds, self.hyper = each(jnp.uint32), {name: each(jnp.float32) for name in settings}
        self.limit = Limit(each(jnp.int32), each(jnp.int32))
        held = learner.pairwise
        self._init = self._over_lanes(
            lambda *of: keys_to_data(self._start(*of)), (False, False), held
        )
        self.state = placement.placed(jax.eval_shape(self._init, self.seeds, self.hyper), held)
        self.snapshot = placement.placed(jax.eval_shape(learner.snapshot, self.state), False)

    def _start(self, seed: Any, hyper: Any) -> Any:
        return self._learner.init(jax.random.key(seed), hyper)

    def _over_lanes(
        self, function: Callable[..., Any], inputs: Any, outputs: Any
    ) -> Callable[..., Any]:
        return self._placement.over(vmap_lanes(function, self._own), inputs, outputs)

    def init(self) -> Any:
        return _lower(self._init, self.seeds, self.hyper)

    def advance(self) -> Any:
        def advance(state: Any, limit: Limit) -> Any:
            state, rows = self._learner.advance(data_to_keys(state, self._lane), limit)
            return keys_to_data(state), rows

        held = self._learner.pairwise
        over_lanes = self._over_lanes(advance, (held, False), (held, False))
        return _lower(over_lanes, self.state, self.limit, donate=(0,))

    def evaluation(self, evaluate: Callable[..., Any]) -> Any:
        def evaluated(seed: Any, snapshot: Snapshot) -> Any:
            return evaluate(key_for_evaluation(seed), snapshot)

        over_lanes = self._over_lanes(evaluated, (False, False), False)
        return _lower(over_lanes, self.seeds, self.snapshot)


def _lower(function: Callable[..., Any], *shapes: Any, donate: tuple[int, ...] = ()) -> Any:
    return jax.jit(function, donate_argnums=donate).lower(*shapes)


def _compile(lowered: Any) -> Any:
    with suppress_loader_messages():
        return lowered.compile()
