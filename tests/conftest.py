"""Test-wide settings: two host devices, strict promotion, and the registry filled.

Tests run on the CPU unless JAX_PLATFORMS says otherwise. Two fake host devices exercise sharding
everywhere; strict promotion keeps silent dtype and rank changes out of our own code (third-party
steps relax it where they are called). XLA optimises little, because that costs more than it saves;
JAX_DISABLE_MOST_OPTIMIZATIONS=0 lets it.
"""

import os
from importlib.metadata import version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the tests' time is compilation: of small programs that run for milliseconds.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# XLA ends a process at a flag that it does not know.
SAVING_FLAGS = ["--xla_cpu_use_fusion_emitters=false"] * version("jaxlib").startswith("0.9.")
os.environ["XLA_FLAGS"] = " ".join(
    [
        *SAVING_FLAGS,
        os.environ.get("XLA_FLAGS", ""),  # comes later and so wins
        "--xla_force_host_platform_device_count=2",
    ]
)

import gc
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax
import pytest

from rl_es.training.compilation import cache_folder

if TYPE_CHECKING:
    from playwright import sync_api as playwright

if (
    os.environ["JAX_PLATFORMS"] != "cpu"
):  # tests jit functions of their own, in float32 as training does
    jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

from tests import extras
from tests.artifacts import ARTIFACTS

_STARTED = time.time()
_GROWTH = 256  # MB by which a process may grow before it drops its compiled programs
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> "Iterator[playwright.Browser]":
    """Debian's Chromium, or the one that RL_ES_CHROMIUM names; one for all tests of a process."""
    from playwright import sync_api as playwright

    found = os.environ.get("RL_ES_CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    if found is None:
        said = "no Chromium: `make system` installs it, RL_ES_CHROMIUM names one"
        pytest.fail(said) if os.environ.get("CI") else pytest.skip(said)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test that lacks an extra, before its fixtures."""
    for mark in item.iter_markers("extra"):
        extras.require(*mark.args)


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from visiting all imported modules again while jax traces."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def peak_memory() -> float:
    """Returns the most memory that this process has taken so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


@pytest.fixture(scope="session")
def memory() -> dict[str, float]:
    """The peak at which this process last dropped its compiled programs, in MB."""
    return {"peak": peak_memory()}


@pytest.fixture(autouse=True)
def bounded_memory(memory: dict[str, float]) -> Iterator[None]:
    """Drops compiled programs after a test with which the process has grown much."""
    yield
    if peak_memory() > memory["peak"] + _GROWTH:
        jax.clear_caches()
        gc.collect()
        memory["peak"] = peak_memory()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says where this run's pictures lie."""
    kept = [path for path in ARTIFACTS.glob("*") if path.stat().st_mtime >= _STARTED]
    if kept:
        terminalreporter.write_line(f"{len(kept)} pictures to look at: {ARTIFACTS}")
