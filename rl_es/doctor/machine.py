"""The machine: devices, cores, memory, the cache of compiled programs, the results folder.

Each function describes what it looks at, and raises a `Fault` where that is not ok.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_es.findings import WARN, Fault

GIB, MIB = 2**30, 2**20
WRITTEN = 32 * MIB  # bytes that are written to measure the speed
SLOW = 10 * MIB  # bytes a second
LEAST_FREE = GIB
NVIDIA = Path("/proc/driver/nvidia/version")
INSTALLING = "https://docs.jax.dev/en/latest/installation.html"


def devices(found: Sequence[Any] | None = None, driver: Path = NVIDIA) -> str:
    """The devices that jax finds; it overlooks no GPU."""
    if found is None:
        import jax

        found = jax.devices()
    kinds = [f"{one.platform} ({one.device_kind})" for one in found]
    told = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    if driver.exists() and all(one.platform == "cpu" for one in found):
        detail = f"{told}; jax does not see the NVIDIA GPU that is here"
        raise Fault(detail, f"pip install 'rl_es[cuda]', or {INSTALLING}", WARN)
    return told


def cores_and_memory(fills: int | None = None, least: int = GIB) -> str:
    """The cores that this process may use, and the memory that a run fills by default."""
    if fills is None:
        from rl_es.training.footprint import device_memory

        fills = device_memory(1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    detail = f"{cores} cores; a run fills {fills / GIB:.1f} GiB of memory at most"
    if fills < least:
        raise Fault(detail, "free memory, or choose small populations and networks", WARN)
    return detail


def cache(folder: Path | None = None) -> str:
    """The folder of compiled programs and its size; it can be written."""
    if folder is None:
        from rl_es.training.platform import cache_folder

        folder = cache_folder()
        if os.environ.get("RL_ES_CACHE") == "":
            return "off: RL_ES_CACHE is empty (unset it to keep programs)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, 1)
    except OSError as error:
        remedy = "set RL_ES_CACHE to a folder that can be written, or to nothing to keep none"
        raise Fault(f"{folder}: {error.strerror}", remedy) from None
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{folder}: {len(sizes)} files, {sum(sizes) / GIB:.2f} GiB"


def results(
    folder: Path, written: int = WRITTEN, free: int | None = None, slow: float = SLOW
) -> str:
    """The folder of results can be written, fast enough, and has room."""
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    choose = "choose another folder with --out"
    try:
        rate = _write(there, written)
    except OSError as error:
        raise Fault(f"{there}: {error.strerror}", choose) from None
    free = shutil.disk_usage(there).free if free is None else free
    detail = f"{there}: {rate / MIB:,.0f} MiB a second, {free / GIB:,.1f} GiB free"
    if free < LEAST_FREE:
        raise Fault(detail, f"free some room, or {choose}", WARN)
    if rate < slow:
        raise Fault(detail, f"{choose}: it writes slowly, and runs wait for it", WARN)
    return detail


def _write(folder: Path, size: int) -> float:
    """Bytes a second at which so many bytes are written to the disk; they are removed again."""
    content = os.urandom(min(size, MIB))
    began = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(-(-size // len(content))):
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return size / (time.perf_counter() - began)
