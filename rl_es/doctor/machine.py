"""The machine: devices, cores, memory, the cache of compiled programs, the results folder."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rl_es.findings import FAIL, OK, WARN, Finding

GIB, MIB = 2**30, 2**20
WRITTEN = 32 * MIB  # bytes that are written to see how fast it goes
SLOW = 10 * MIB  # bytes a second
LEAST_FREE = GIB
NVIDIA = Path("/proc/driver/nvidia/version")
INSTALLING = "https://docs.jax.dev/en/latest/installation.html"


def devices(found: Sequence[Any] | None = None, driver: Path = NVIDIA) -> Iterator[Finding]:
    """Which devices jax finds, and whether it passes over a GPU that is there."""
    if found is None:
        import jax

        found = jax.devices()
    kinds = [f"{one.platform} ({one.device_kind})" for one in found]
    told = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    if driver.exists() and all(one.platform == "cpu" for one in found):
        detail = f"{told}; jax does not see the NVIDIA GPU that is here"
        yield Finding("devices", WARN, detail, f"pip install 'rl_es[cuda]', or {INSTALLING}")
    else:
        yield Finding("devices", OK, told)


def cores_and_memory(fills: int | None = None, least: int = GIB) -> Iterator[Finding]:
    """Cores that this process may use, and memory that a run fills unless it is told otherwise."""
    if fills is None:
        from rl_es.training.footprint import device_memory

        fills = device_memory(1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    detail = f"{cores} cores; a run fills {fills / GIB:.1f} GiB of memory at most"
    enough = fills >= least
    remedy = "" if enough else "free memory, or choose small populations and networks"
    yield Finding("cores and memory", OK if enough else WARN, detail, remedy)


def cache(folder: Path | None = None) -> Iterator[Finding]:
    """Where compiled programs are kept, how large that is, and whether it can be written."""
    if folder is None:
        from rl_es.training.platform import cache_folder

        folder = cache_folder()
        if os.environ.get("RL_ES_CACHE") == "":
            yield Finding("cache", OK, "off: RL_ES_CACHE is empty", "unset it to keep programs")
            return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, 1)
    except OSError as error:
        remedy = "set RL_ES_CACHE to a folder that can be written, or to nothing to keep none"
        yield Finding("cache", FAIL, f"{folder}: {error.strerror}", remedy)
        return
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    detail = f"{folder}: {len(sizes)} files, {sum(sizes) / GIB:.2f} GiB"
    yield Finding("cache", OK, detail)


def results(
    folder: Path, written: int = WRITTEN, free: int | None = None, slow: float = SLOW
) -> Iterator[Finding]:
    """Whether results can be written, how fast, and how much room there is."""
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    choose = "choose another folder with --out"
    try:
        rate = _write(there, written)
    except OSError as error:
        yield Finding("results folder", FAIL, f"{there}: {error.strerror}", choose)
        return
    free = shutil.disk_usage(there).free if free is None else free
    detail = f"{there}: {rate / MIB:,.0f} MiB a second, {free / GIB:,.1f} GiB free"
    if free < LEAST_FREE:
        yield Finding("results folder", WARN, detail, f"free some room, or {choose}")
    elif rate < slow:
        remedy = f"{choose}: it writes slowly, and runs wait for it"
        yield Finding("results folder", WARN, detail, remedy)
    else:
        yield Finding("results folder", OK, detail)


def _write(folder: Path, size: int) -> float:
    """Writes bytes to the disk and removes them; bytes a second."""
    content = os.urandom(min(size, MIB))
    began = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(-(-size // len(content))):
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return size / (time.perf_counter() - began)
