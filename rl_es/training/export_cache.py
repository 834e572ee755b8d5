"""Keeps exported functions on disk, so that a second start does not trace them again.

`jax.export` converts a function to StableHLO, the input of XLA. It is the same for every process
that runs the same code with the same settings. A file of the cache holds one exported function,
what it was made from, and a hash of both. It is read as bytes and JSON, and never unpickled.

The name of a file is a hash of the function's identity, the shapes of its arguments, the versions
of all installed packages, jax's settings and the devices. A file whose hash is wrong is replaced. A
file is also replaced where the source of a module has changed that was imported when its function
was traced: another size or another time of change, by which Python itself recognises a change.

A process whose functions other code may have changed neither reads nor writes the cache. It is one
that has imported a module from elsewhere than Python's library, the installed packages and this
package, such as a plug-in's file, a notebook or a test, or a module that was edited since the
process started.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax import export

from rl_es.errors import StorageError
from rl_es.results.files import read_bounded, write_bytes

FOLDER = "exports"  # inside the folder of compiled programs
MAX_BYTES = 2**26  # a function with larger constants, such as a data set, is not kept
_FORMAT = "rl_es export 1"
_INSTALLED = ("site-packages", "dist-packages")
_PACKAGE = Path(__file__).parents[1]

Sources = dict[str, list[int]]  # file of a module -> its size and the time of its change


@dataclass(frozen=True)
class Exporter:
    """Exports a function, or takes it from the cache.

    Attributes:
      identity: JSON that determines the function in this version of the code, shapes aside.
      is_complete: whether the identity does, so that the cache may be used.
    """

    identity: Any
    is_complete: bool

    @property
    def keeps(self) -> bool:
        """Whether the cache saves this process and later ones the tracing."""
        return self.is_complete and _folder() is not None

    def __call__(self, function: Callable[..., Any], *shapes: Any) -> Callable[..., Any]:
        """Returns an equal function that needs no more tracing.

        A function that cannot be exported, such as one that calls back into Python, is returned
        itself.

        Args:
          function: its arguments and results are arrays in tuples, lists and dicts.
          shapes: one pytree per argument, of `jax.ShapeDtypeStruct`.
        """
        folder = _folder() if self.is_complete else None
        path = folder and folder / f"{_key(self.identity, shapes)}.export"
        exported = path and _read(path)
        if exported is None:
            try:
                exported = export.export(jax.jit(function))(*shapes)
            except Exception:  # tracing it once more raises what is wrong with the function itself
                return function
            if path is not None:
                _write(path, exported)
        return exported.call


def _folder() -> Path | None:
    """Returns the folder of the cache; None where this process must not use it."""
    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if not folder or jax.process_count() > 1 or _imported_sources() is None:
        return None
    return Path(folder) / FOLDER


def _key(identity: Any, shapes: Any) -> str:
    """Returns a hash of all that determines an exported function but for the code."""
    leaves, structure = jax.tree.flatten(shapes)
    arrays = [[str(leaf.dtype), [*leaf.shape], str(leaf.sharding)] for leaf in leaves]
    devices = jax.devices()
    content = {
        "identity": identity,
        "shapes": [str(structure), arrays],
        "python": sys.version,
        "packages": _installed_packages(tuple(sys.path)),
        "settings": [
            (name, repr(getattr(jax.config, name, value)))  # that of a context, if there is one
            for name, value in sorted(jax.config.values.items())
        ],
        "devices": [len(devices), devices[0].platform, devices[0].device_kind],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


@functools.lru_cache(maxsize=1)
def _installed_packages(folders: tuple[str, ...]) -> list[str]:
    """Returns the names and versions of the installed packages."""
    names: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            names |= {name for name in os.listdir(folder) if name.endswith(".dist-info")}
    return sorted(names)


def _imported_sources() -> Sources | None:
    """Returns the sources of all imported modules; None where one may differ from its file."""
    sources: Sources = {}
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__dict__", {}).get("__file__")
        if file is None:
            if name == "__main__":  # a notebook, or code on the command line
                return None
            continue
        state = _source_state(file)
        if state is None:
            return None
        sources[file] = state
    return sources


@functools.cache
def _source_state(file: str) -> list[int] | None:
    """Returns the size and the time of change of a module's file as this process first saw them.

    Returns None for a file that lies elsewhere, or has changed since the process started.
    """
    path = Path(os.path.abspath(file))
    clone_script = _PACKAGE.with_name("run_benchmark.py")
    if not (
        any(part in _INSTALLED for part in path.parts)
        or path == clone_script
        or any(path.is_relative_to(folder) for folder in (_PACKAGE, *_python_folders()))
    ):
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    if status.st_mtime > _process_start():
        return None
    return [status.st_size, status.st_mtime_ns]


@functools.cache
def _python_folders() -> tuple[str, ...]:
    """Returns the folders of Python's library and of the scripts of installed packages."""
    return tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "scripts"))


_IMPORT_TIME = time.time() - time.process_time()


@functools.cache
def _process_start() -> float:
    """Returns when this process started, in seconds of `time.time`."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):  # not Linux
        return _IMPORT_TIME
    return time.time() - uptime


def _read(path: Path) -> export.Exported | None:
    """Returns the function of a file; None where there is none, or not of this code."""
    try:
        content = read_bounded(path, 2 * MAX_BYTES)
        head, _, body = content.partition(b"\n")
        if head.decode() != f"{_FORMAT} {hashlib.sha256(body).hexdigest()}":
            return None
        sources, _, exported = body.partition(b"\n")
        for file, state in json.loads(sources).items():
            if _source_state(file) != state:
                return None
        return export.deserialize(bytearray(exported))
    except Exception:  # whatever is wrong with it, it is replaced
        return None


def _write(path: Path, exported: export.Exported) -> None:
    """Writes a function with the sources of all modules that are imported by now."""
    sources = _imported_sources()
    if sources is None:
        return
    try:
        content = exported.serialize()
    except (ImportError, NotImplementedError, ValueError):
        return
    if len(content) > MAX_BYTES:
        return
    body = json.dumps(sources).encode() + b"\n" + content
    head = f"{_FORMAT} {hashlib.sha256(body).hexdigest()}\n".encode()
    with contextlib.suppress(StorageError):
        write_bytes(path, head + body)
