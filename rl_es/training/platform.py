"""What jax is told before it runs: where compiled programs are kept, which message to drop."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import jax
import platformdirs

_LOADING = threading.RLock()


def cache_folder() -> Path:
    """Where compiled programs are kept: $RL_ES_CACHE, or a folder of the user's cache."""
    named = os.environ.get("RL_ES_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("rl_es") / "xla"


def prepare(devices: int | None = None) -> None:
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
def quiet_loading() -> Iterator[None]:
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
