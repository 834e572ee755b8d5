"""Test-wide settings: two host devices, strict promotion, and the registry filled.

Tests run on the CPU unless JAX_PLATFORMS says otherwise. Two fake host devices exercise sharding
everywhere; strict promotion keeps silent dtype and rank changes out of our own code (third-party
steps relax it where they are called).
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
).strip()

import shutil
import time
from collections.abc import Iterator

import jax
import platformdirs
import pytest
from playwright import sync_api as playwright

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(platformdirs.user_cache_path("rl_es") / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

import agents  # noqa: F401  (tells the registry where agents are)
import envs  # noqa: F401  (tells the registry where environments are)
from tests import extras
from tests.artifacts import ARTIFACTS

_STARTED = time.time()
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[playwright.Browser]:
    """Debian's Chromium, or the one that RL_ES_CHROMIUM names; one for all tests of a process."""
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says where this run's pictures lie."""
    kept = [path for path in ARTIFACTS.glob("*") if path.stat().st_mtime >= _STARTED]
    if kept:
        terminalreporter.write_line(f"{len(kept)} pictures to look at: {ARTIFACTS}")
