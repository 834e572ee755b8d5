"""Where results come from: versions, revision, machine and device."""

import functools
import importlib.metadata
import platform
import resource
import subprocess
import sys
from pathlib import Path

ALWAYS = ("rl_es", "jax", "jaxlib", "flax", "optax", "gymnax", "brax", "mujoco", "numpy")
EXTRAS = ("craftax", "jumanji", "kinetix-env", "navix", "playground", "rejax")
PACKAGES = (*ALWAYS, *EXTRAS)


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def revision() -> str | None:
    """The git revision of this code, with `-dirty` where it was changed since; None outside git."""
    folder = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


@functools.cache
def device() -> str:
    """The device that programs run on, such as `cpu (x86_64, 2 cores)`."""
    import os

    import jax

    first = jax.devices()[0]
    if first.platform == "cpu":
        return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"
    return f"{first.platform} ({first.device_kind})"


@functools.cache
def machine() -> str:
    """The operating system and its kernel, as Python names them."""
    return platform.platform()


@functools.cache
def processor() -> str:
    """The model of the CPU, as the system names it; `unknown` where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), platform.processor()) or "unknown"


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
