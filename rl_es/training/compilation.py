"""Compiles learners: jax's settings, one compiled function, and the program of a group of runs.

`prepare_jax` sets up jax and the persistent cache of compiled programs. `compile_function` is the
only place where a function is lowered and compiled. `Compiler` compiles what a group runs to a
`Program`: functions of plain host arrays with a leading lane axis.

Lanes are runs that share the program; they differ in seed and traced settings. With one lane a
device its functions are called run after run; with more lanes they are vmapped, and each lane stops
at its own limit. A `Placement` says where lanes and populations lie. Random keys inside a state are
carried as integers, so that a state can be saved as it is.
"""

import contextlib
import errno
import math
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import platformdirs
from jax.extend.core import Literal

from rl_es.errors import UserError, brief, short_reason
from rl_es.interfaces import Hyper, Learner, Limit, Rows, Snapshot
from rl_es.training.sharding import ONE_DEVICE, Placement, shard_shapes

LANES = "lanes"  # the name of the vmapped axis over runs
MAX_EVALUATION_PROGRAMS = 8  # programs that are kept for further groups
_EVALUATION = 0x65766C  # folded into a seed's key, so that evaluation never shares training's keys
_STDERR_LOCK = threading.RLock()

State = Any  # a learner's state with a leading lane axis, keys as integers


def cache_folder() -> Path:
    """Returns the folder of compiled programs: $RL_ES_CACHE, or one in the user's cache."""
    folder = os.environ.get("RL_ES_CACHE")
    return Path(folder) if folder else platformdirs.user_cache_path("rl_es") / "xla"


# Settings of jax that change numbers, and the values that do not. A run's identity does not know
# them.
_REQUIRED = {
    "jax_enable_x64": (False,),
    "jax_default_prng_impl": ("threefry2x32",),
    "jax_threefry_partitionable": (True,),
    "jax_random_seed_offset": (0,),
    "jax_default_matmul_precision": (None, "highest"),  # see `float32_products`
    "jax_default_device": (None,),
    "jax_disable_jit": (False,),
}


def check_jax_settings() -> None:
    """Refuses settings of this process under which a run would have other numbers.

    Raises:
      UserError: names the setting, the variable of the environment, and the value that is needed.
    """
    for name, allowed in _REQUIRED.items():
        value = getattr(jax.config, name)
        if value not in allowed:
            raise UserError(
                f"{name} is {brief(value)} in this process, under which runs have other numbers; "
                f"unset {name.upper()}, or call jax.config.update('{name}', {allowed[0]!r})"
            )


def float32_products() -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which products that are traced have the digits of their float32 inputs.

    By default jax lets accelerators round the inputs of float32 products: to 10 bits on NVIDIA's
    GPUs (TF32), to 7 bits on TPUs. A `float32` policy would then be another one on each device, and
    physics inexact. A product that states its own precision keeps it. On CPU nothing changes.
    """
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision("highest")


def prepare_jax(devices: int | None = None) -> None:
    """Turns the persistent compilation cache on (an empty RL_ES_CACHE turns it off).

    Where the cache cannot be written, a warning says what to set, and programs are compiled anew.

    Args:
      devices: number of devices that a CPU is split into; has no effect once jax runs.

    Raises:
      UserError: a setting of this process changes numbers.
    """
    check_jax_settings()
    if devices is not None and devices > 1:
        # Once jax runs the number is fixed: whoever needs the devices then finds too few.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)
    if os.environ.get("RL_ES_CACHE") == "":
        return
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "cannot be written", str(folder))
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        path = getattr(error, "filename", None)
        reason = short_reason(error) if path is None else f"{path}: {short_reason(error)}"
        warnings.warn(
            f"no cache of compiled programs ({reason}): each start compiles anew; "
            "set RL_ES_CACHE to a folder that can be written, or to nothing",
            stacklevel=2,
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextlib.contextmanager
def suppress_loader_messages() -> Iterator[None]:
    """Drops one message that XLA writes on some CPUs for every program it loads from the cache.

    XLA takes the tuning hints prefer-no-gather and prefer-no-scatter for instructions that the host
    lacks (openxla/xla issue 44565); the program is loaded and right. C++ writes the message to file
    descriptor 2, so that is what is redirected; everything else that was written is passed on.
    """
    if jax.default_backend() != "cpu" or sys.stderr is None:
        yield
        return
    with _STDERR_LOCK, tempfile.TemporaryFile() as buffer:
        sys.stderr.flush()
        stderr = os.dup(2)
        try:
            os.dup2(buffer.fileno(), 2)
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            buffer.seek(0)
            for line in buffer:
                if b"+prefer-no-" not in line or b"cpu_aot_loader" not in line:
                    os.write(2, line)


def dependent_variables(program: Any, inputs: Iterable[Any]) -> set[Any]:
    """Returns the variables of a jaxpr that depend on some of its inputs, these included."""
    dependents = {*inputs}
    for equation in program.eqns:
        if any(not isinstance(x, Literal) and x in dependents for x in equation.invars):
            dependents.update(equation.outvars)
    return dependents


# Operations that XLA fuses into those that use their outputs.
FUSED = set(
    [
        "add",
        "broadcast_in_dim",
        "convert_element_type",
        "copy",
        "div",
        "exp",
        "exp2",
        "integer_pow",
        "log",
        "max",
        "min",
        "mul",
        "neg",
        "reshape",
        "rsqrt",
        "select_n",
        "sqrt",
        "square",
        "squeeze",
        "sub",
        "transpose",
    ]
)


def largest_array(program: Any) -> int:
    """Returns the bytes of the largest array that a jaxpr has to hold, in functions inside it too.

    Outputs of elementwise operations do not count, such as all members' outer products in a sum.
    """
    largest = 0
    for equation in program.eqns:
        inner = jax.tree.leaves([*equation.params.values()], is_leaf=_is_program)
        programs = [getattr(value, "jaxpr", value) for value in inner if _is_program(value)]
        largest = max([largest, *map(largest_array, programs)])
        if programs or equation.primitive.name in FUSED:
            continue
        arrays = [variable.aval for variable in equation.outvars]
        sizes = [math.prod(a.shape) * a.dtype.itemsize for a in arrays if hasattr(a, "dtype")]
        largest = max([largest, *sizes])
    return largest


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


@dataclass(frozen=True)
class CompiledFunction:
    """A compiled function, and what its compilation took.

    Attributes:
      call: the function.
      memory_bytes: arguments, outputs and temporaries by XLA's own account; memory that an output
        shares with a donated argument counts once. 0 where the platform gives no account.
      trace_seconds: time from Python to XLA's input, which no cache saves.
      compile_seconds: time of XLA's compilation, or of loading the program from the cache.
    """

    call: Callable[..., Any]
    memory_bytes: int
    trace_seconds: float
    compile_seconds: float


def compile_function(
    function: Callable[..., Any], *shapes: Any, donate: tuple[int, ...] = ()
) -> CompiledFunction:
    """Compiles a pure function for arguments of these shapes.

    Args:
      function: the function.
      shapes: one pytree per argument, of arrays or `jax.ShapeDtypeStruct`.
      donate: numbers of the arguments that a call consumes.
    """
    start = time.perf_counter()
    with float32_products():
        lowering = jax.jit(function, donate_argnums=donate).lower(*shapes)
    trace_seconds = time.perf_counter() - start
    with suppress_loader_messages():
        start = time.perf_counter()
        program = lowering.compile()
        compile_seconds = time.perf_counter() - start
    return CompiledFunction(program, _memory_bytes(program), trace_seconds, compile_seconds)


def _memory_bytes(program: Any) -> int:
    memory = program.memory_analysis()
    if memory is None:
        return 0
    arguments_and_outputs = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return int(memory.temp_size_in_bytes + arguments_and_outputs - memory.alias_size_in_bytes)


def lane_axis(lanes: int) -> str | None:
    """Returns the name of the vmapped axis over so many lanes a device; None for one lane."""
    return LANES if lanes > 1 else None


def vmap_lanes(function: Callable[..., Any], lanes: int) -> Callable[..., Any]:
    """Maps a function of one lane over arrays [lanes, ...]; the only lane is called directly."""
    if lanes > 1:
        return jax.vmap(function, axis_name=LANES)

    def call_only_lane(*args: Any) -> Any:
        arguments = jax.tree.map(lambda leaf: leaf[0], args)
        return jax.tree.map(lambda leaf: leaf[None], function(*arguments))

    return call_only_lane


def scalar_leaves(settings: Mapping[str, float]) -> Hyper:
    """Converts traced settings to the float32 scalars that a learner's `init` takes."""
    return {name: jnp.float32(value) for name, value in settings.items()}


def key_for_evaluation(seed: Any) -> jax.Array:
    """Returns the key of a seed's evaluations: all agents and all points share their episodes."""
    return jax.random.fold_in(jax.random.key(seed), np.uint32(_EVALUATION))


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def keys_to_data(tree: Any) -> Any:
    """Replaces the random keys of a pytree by their integers."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def data_to_keys(tree: Any, shapes: Any) -> Any:
    """Inverts `keys_to_data` for a pytree of these shapes."""
    return jax.tree.map(
        lambda leaf, shape: jax.random.wrap_key_data(leaf) if _is_key(shape) else leaf, tree, shapes
    )


@dataclass
class Program:
    """The compiled functions of a group.

    Attributes:
      lanes: number of runs that each call handles (L).
      init: (seeds [L] uint32, settings {name: [L]}) -> state.
      advance: (state, Limit of [L] each) -> (state, Rows of [L] each). Consumes the state.
      snapshot: state -> Snapshot, leaves [L, ...].
      evaluate: (seeds [L] uint32, Snapshot) -> returns [L, E].
      compile_seconds: time of the whole compilation, tracing included.
      trace_seconds: time of tracing, which no cache saves.
      memory_bytes: memory of the largest of its functions, by XLA's own account.
      compilations: number of functions that were compiled for it.
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
    compilations: int
    state_shape: Any = field(repr=False)


class Compiler:
    """Compiles learners, and shares one evaluation program among learners of equal policies.

    Only the latest evaluation programs are kept, so that memory does not grow with the length of a
    sweep: its groups come environment by environment.
    """

    def __init__(self) -> None:
        """Starts without evaluation programs."""
        self._evaluations: dict[Any, CompiledFunction] = {}  # the latest last

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
          evaluation_key: hashable; groups with an equal key share the evaluation program.
          placement: the devices of the group.
        """
        start = time.perf_counter()
        group = _GroupFunctions(learner, settings, lanes, placement)
        shapes_seconds = time.perf_counter() - start
        new = [group.compile_init(), group.compile_advance()]
        init, advance = new
        key = (evaluation_key, lanes, placement.runs, placement.shards)
        if key not in self._evaluations:
            self._evaluations[key] = group.compile_evaluation(evaluate)
            new.append(self._evaluations[key])
        evaluation = self._move_to_end(key)
        return Program(
            lanes,
            init=placement.accept_host_arrays(init.call, group.seeds, group.hyper),
            advance=placement.accept_host_arrays(advance.call, group.state, group.limit),
            snapshot=learner.snapshot,
            evaluate=placement.accept_host_arrays(evaluation.call, group.seeds, group.snapshot),
            compile_seconds=time.perf_counter() - start,
            trace_seconds=shapes_seconds + sum(function.trace_seconds for function in new),
            memory_bytes=max(function.memory_bytes for function in (init, advance, evaluation)),
            compilations=len(new),
            state_shape=group.state,
        )

    def _move_to_end(self, key: Any) -> CompiledFunction:
        """Makes an evaluation program the latest and returns it; the oldest ones are dropped."""
        evaluation = self._evaluations[key] = self._evaluations.pop(key)
        for oldest in list(self._evaluations)[:-MAX_EVALUATION_PROGRAMS]:
            del self._evaluations[oldest]
        return evaluation


class _GroupFunctions:
    """The functions of a group over its lanes and devices, and the shapes of their arguments.

    Attributes:
      seeds: shape of the runs' seeds [L].
      hyper: shapes of their traced settings, {name: [L]}.
      limit: shape of the `Limit` of a call, [L] each.
      state: shapes of the learner's state, keys as integers.
      snapshot: shapes of the snapshot that is evaluated.
    """

    def __init__(
        self, learner: Learner, settings: Mapping[str, float], lanes: int, placement: Placement
    ):
        self._learner, self._placement = learner, placement
        self._device_lanes = lanes // placement.runs
        seed, number = (jax.ShapeDtypeStruct((), dtype) for dtype in (jnp.uint32, jnp.float32))
        self._lane_state = shard_shapes(self._start, seed, dict.fromkeys(settings, number))

        def lane_array(dtype: Any) -> Any:
            return placement.with_shardings(jax.ShapeDtypeStruct((lanes,), dtype), False)

        self.seeds = lane_array(jnp.uint32)
        self.hyper = {name: lane_array(jnp.float32) for name in settings}
        self.limit = Limit(lane_array(jnp.int32), lane_array(jnp.int32))
        pairwise = learner.pairwise
        self._init = self._over_lanes(
            lambda seed, hyper: keys_to_data(self._start(seed, hyper)), (False, False), pairwise
        )
        state = jax.eval_shape(self._init, self.seeds, self.hyper)
        self.state = placement.with_shardings(state, pairwise)
        snapshot = jax.eval_shape(learner.snapshot, self.state)
        self.snapshot = placement.with_shardings(snapshot, False)

    def _start(self, seed: Any, hyper: Any) -> Any:
        return self._learner.init(jax.random.key(seed), hyper)

    def _over_lanes(
        self, function: Callable[..., Any], inputs: Any, outputs: Any
    ) -> Callable[..., Any]:
        lanes = vmap_lanes(function, self._device_lanes)
        return self._placement.shard_map(lanes, inputs, outputs)

    def compile_init(self) -> CompiledFunction:
        return compile_function(self._init, self.seeds, self.hyper)

    def compile_advance(self) -> CompiledFunction:
        def advance(state: Any, limit: Limit) -> Any:
            state, rows = self._learner.advance(data_to_keys(state, self._lane_state), limit)
            return keys_to_data(state), rows

        pairwise = self._learner.pairwise
        over_lanes = self._over_lanes(advance, (pairwise, False), (pairwise, False))
        return compile_function(over_lanes, self.state, self.limit, donate=(0,))

    def compile_evaluation(self, evaluate: Callable[..., Any]) -> CompiledFunction:
        def evaluate_seed(seed: Any, snapshot: Snapshot) -> Any:
            return evaluate(key_for_evaluation(seed), snapshot)

        over_lanes = self._over_lanes(evaluate_seed, (False, False), False)
        return compile_function(over_lanes, self.seeds, self.snapshot)
