"""Sets up jax, and compiles functions.

`prepare_jax` sets up jax and the persistent cache of compiled programs. `lower_function` and
`LoweredFunction.compile` are the only places where a function is lowered and compiled;
`compile_function` does both. `rl_es.training.program` compiles what a group of runs needs.
"""

import contextlib
import errno
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import platformdirs

from rl_es.errors import UserError, brief, short_reason
from rl_es.interfaces import Hyper
from rl_es.training.export_cache import Exporter

LANES = "lanes"  # the name of the vmapped axis over runs
_EVALUATION = 0x65766C  # folded into a seed's key, so that evaluation never shares training's keys
_STDERR_LOCK = threading.RLock()


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


@dataclass(frozen=True)
class LoweredFunction:
    """A function as XLA's input.

    Attributes:
      lowering: what jax made of it.
      trace_seconds: as in `CompiledFunction`.
      adapt: returns the compiled function for other arguments, such as pytrees for lists.
    """

    lowering: Any
    trace_seconds: float
    adapt: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda call: call

    def compile(self) -> CompiledFunction:
        """Compiles the function, or loads it from the cache, within `suppress_loader_messages`."""
        start = time.perf_counter()
        program = self.lowering.compile()
        compile_seconds = time.perf_counter() - start
        call, memory_bytes = self.adapt(program), _memory_bytes(program)
        return CompiledFunction(call, memory_bytes, self.trace_seconds, compile_seconds)

    def compile_in_thread(self) -> Callable[[], CompiledFunction]:
        """Starts to compile the function; returns a function that waits for the result.

        The thread does not delay the end of the process.
        """
        future = Future[CompiledFunction]()

        def run() -> None:
            try:
                future.set_result(self.compile())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future.result


def lower_with_outputs(function: Callable[..., Any], *shapes: Any) -> tuple[LoweredFunction, Any]:
    """Lowers a function that is traced once; returns the shapes of what it returns, too."""
    start = time.perf_counter()
    with float32_products():
        traced = jax.jit(function).trace(*shapes)
        lowering = traced.lower()
    return LoweredFunction(lowering, time.perf_counter() - start), traced.out_info


def lower_function(
    function: Callable[..., Any],
    *shapes: Any,
    donate: tuple[int, ...] = (),
    exporter: Exporter | None = None,
) -> LoweredFunction:
    """Traces and lowers a pure function; the arguments are those of `compile_function`."""
    start = time.perf_counter()
    with float32_products():
        if exporter is not None:
            function = exporter(function, *shapes)
            if exporter.keeps:
                start = time.perf_counter()
        lowering = jax.jit(function, donate_argnums=donate).lower(*shapes)
    return LoweredFunction(lowering, time.perf_counter() - start)


def compile_function(
    function: Callable[..., Any], *shapes: Any, donate: tuple[int, ...] = ()
) -> CompiledFunction:
    """Compiles a pure function for arguments of these shapes.

    Args:
      function: the function.
      shapes: one pytree per argument, of arrays or `jax.ShapeDtypeStruct`.
      donate: numbers of the arguments that a call consumes.
    """
    lowered_function = lower_function(function, *shapes, donate=donate)
    with suppress_loader_messages():
        return lowered_function.compile()


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
