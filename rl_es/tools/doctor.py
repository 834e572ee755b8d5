"""The machine: devices, cores, memory, the cache of compiled programs, the results folder.

Each function describes what it looks at, and raises a `CheckFailure` where that is not ok.

All checks of the machine, in order.

Installed packages, compared with what the suite's metadata asks for and with what was tried.

A short training, twice from one key: it runs, and gives the same both times.
"""

import importlib.metadata
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rl_es.terminal import FAIL, OK, WARN, Check, CheckFailure, CheckResult, make_check

GIB, MIB = 2**30, 2**20
WRITTEN = 32 * MIB  # bytes that are written to measure the speed
SLOW = 10 * MIB  # bytes a second
LEAST_FREE = GIB
NVIDIA = Path("/proc/driver/nvidia/version")
INSTALLING = "https://docs.jax.dev/en/latest/installation.html"


def check_devices(devices: Sequence[Any] | None = None, driver: Path = NVIDIA) -> str:
    """The devices that jax finds; it overlooks no GPU."""
    if devices is None:
        import jax

        devices = jax.devices()
    kinds = [f"{device.platform} ({device.device_kind})" for device in devices]
    text = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    if driver.exists() and all(device.platform == "cpu" for device in devices):
        detail = f"{text}; jax does not see the NVIDIA GPU that is here"
        raise CheckFailure(detail, f"pip install 'rl_es[cuda]', or {INSTALLING}", WARN)
    return text


def check_cores_and_memory(fills: int | None = None, least: int = GIB) -> str:
    """The cores that this process may use, and the memory that a run fills by default."""
    if fills is None:
        from rl_es.training.resources import device_memory

        fills = device_memory(1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    detail = f"{cores} cores; a run fills {fills / GIB:.1f} GiB of memory at most"
    if fills < least:
        raise CheckFailure(detail, "free memory, or choose small populations and networks", WARN)
    return detail


def check_cache(folder: Path | None = None) -> str:
    """The folder of compiled programs and its size; it can be written."""
    if folder is None:
        from rl_es.training.compilation import cache_folder

        folder = cache_folder()
        if os.environ.get("RL_ES_CACHE") == "":
            return "off: RL_ES_CACHE is empty (unset it to keep programs)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, 1)
    except OSError as error:
        remedy = "set RL_ES_CACHE to a folder that can be written, or to nothing to keep none"
        raise CheckFailure(f"{folder}: {error.strerror}", remedy) from None
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{folder}: {len(sizes)} files, {sum(sizes) / GIB:.2f} GiB"


def check_results(
    folder: Path, probe: int = WRITTEN, free: int | None = None, slow: float = SLOW
) -> str:
    """The folder of results can be written, fast enough, and has room."""
    existing = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    choose = "choose another folder with --out"
    try:
        rate = _write(existing, probe)
    except OSError as error:
        raise CheckFailure(f"{existing}: {error.strerror}", choose) from None
    free = shutil.disk_usage(existing).free if free is None else free
    detail = f"{existing}: {rate / MIB:,.0f} MiB a second, {free / GIB:,.1f} GiB free"
    if free < LEAST_FREE:
        raise CheckFailure(detail, f"free some room, or {choose}", WARN)
    if rate < slow:
        raise CheckFailure(detail, f"{choose}: it writes slowly, and runs wait for it", WARN)
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


SUITE = "rl_es"
SHOWN = 5  # of the packages that differ from the tried ones
TRIED = Path(__file__).parents[2] / "constraints.txt"  # beside a checkout; not installed
GATHERED = ("all",)  # an extra made up of others
Installed = Callable[[str], str | None]


def installed_version(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def required_packages() -> list[Requirement]:
    """What the suite's metadata asks for, with its extras."""
    return [Requirement(text) for text in importlib.metadata.requires(SUITE) or ()]


def check_python(version: str = platform.python_version()) -> str:
    """The interpreter's version; the suite runs on it, or a `CheckFailure` is raised."""
    needs = importlib.metadata.metadata(SUITE)["Requires-Python"] or ""
    if not SpecifierSet(needs).contains(version, prereleases=True):
        raise CheckFailure(f"{version}, needs {needs}", f"use python {needs}")
    return version


def check_core(
    requirements: Iterable[Requirement], version_of: Installed = installed_version
) -> Iterator[CheckResult]:
    """Whether the packages that everything needs are there, in versions that fit."""
    requirements_now = [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]
    wrong = [
        (requirement, version_of(requirement.name))
        for requirement in requirements_now
        if not _fits(requirement, version_of(requirement.name))
    ]
    if not wrong:
        yield CheckResult(
            "packages", OK, f"{SUITE} {version_of(SUITE)} and {len(requirements_now)} that it needs"
        )
    for requirement, version in wrong:
        detail = (
            "is not installed" if version is None else f"{version}, needs {requirement.specifier}"
        )
        yield CheckResult(
            requirement.name,
            FAIL,
            detail,
            f"pip install '{requirement.name}{requirement.specifier}'",
        )


def tested_versions(
    path: Path = TRIED, version_of: Installed = installed_version
) -> Iterator[CheckResult]:
    """Which packages differ from those that were tried together; nothing without a list of them."""
    if not path.exists():
        return
    pins = dict(line.split("==") for line in path.read_text().splitlines() if "==" in line)
    versions = {name: (version_of(name), pin) for name, pin in pins.items()}
    installed_versions = {name: pair for name, pair in versions.items() if pair[0] is not None}
    differing = {
        name: f"{name} {is_} (tried: {pin})"
        for name, (is_, pin) in installed_versions.items()
        if is_ != pin
    }
    if not differing:
        yield CheckResult(
            "tried versions", OK, f"{len(installed_versions)} packages as in {path.name}"
        )
        return
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    detail = f"{', '.join([*differing.values()][:SHOWN])}{more}"
    remedy = f"pip install --upgrade --constraint {path} {' '.join(differing)}"
    yield CheckResult("tried versions", WARN, detail, remedy)


def check_extras(
    requirements: Sequence[Requirement], version_of: Installed = installed_version
) -> Iterator[CheckResult]:
    """Which extras are installed, and how to install the others."""
    for extra, required in _by_extra(requirements).items():
        versions = {requirement.name: version_of(requirement.name) for requirement in required}
        wrong = [
            requirement
            for requirement in required
            if not _fits(requirement, versions[requirement.name])
        ]
        remedy = f"pip install '{SUITE}[{extra}]'" if wrong else ""
        text = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        unfit = [requirement for requirement in wrong if versions[requirement.name] is not None]
        if unfit:
            needs = ", ".join(f"{requirement.name}{requirement.specifier}" for requirement in unfit)
            yield CheckResult(f"extra {extra}", WARN, f"{text}; needs {needs}", remedy)
        elif wrong:
            names = ", ".join(requirement.name for requirement in wrong)
            yield CheckResult(f"extra {extra}", OK, f"not installed: {names}", remedy)
        else:
            yield CheckResult(f"extra {extra}", OK, text)


def _by_extra(requirements: Iterable[Requirement]) -> Mapping[str, list[Requirement]]:
    """The packages of each extra, without those that other extras name."""
    extras = importlib.metadata.metadata(SUITE).get_all("Provides-Extra") or ()
    grouped: dict[str, list[Requirement]] = {name: [] for name in extras if name not in GATHERED}
    for requirement in requirements:
        for extra, members in grouped.items():
            ours = canonicalize_name(requirement.name) == canonicalize_name(SUITE)
            if (
                requirement.marker is not None
                and not ours
                and requirement.marker.evaluate({"extra": extra})
            ):
                members.append(requirement)
    return grouped


def _fits(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


ENVIRONMENT, AGENT = "CartPole-v1", "eggroll"
SETTINGS = {"population": 256, "lr": 0.05}
WIDTH = 16  # of the only hidden layer
EPISODE = 100  # steps at most
GENERATIONS = 5  # that are compared
SECONDS = 2.0  # of training that is timed
MOST_STEPS = 10**9
REPORT = "run `make test`, and report what fails"

Params = list[np.ndarray]
Outcome = tuple[Params, Params, float]  # of both trainings; environment steps a second


def train_once() -> Outcome:
    """Trains a small network twice from key 0, and then for as long as measuring its speed takes.

    Without the cache of programs, so that compiling them is tried as well.
    """
    import jax

    from rl_es import registry
    from rl_es.config import split_traced
    from rl_es.interfaces import Limit
    from rl_es.rollout.config import PolicyConfig, WrapperConfig
    from rl_es.training.compilation import Compiler
    from rl_es.training.task import Task, make_training_setup

    task = Task.from_options(
        ENVIRONMENT, {}, WrapperConfig(episode_length=EPISODE), PolicyConfig(widths=(WIDTH,))
    )
    config = registry.agents.load(AGENT).Hyperparameters(**SETTINGS)
    setup = make_training_setup(task, AGENT, config, 1)
    _, traced = split_traced(config)
    program = Compiler().compile(setup.learner, traced, 1, setup.evaluate, None)
    hyper = {name: np.full(1, value, np.float32) for name, value in traced.items()}
    limit = Limit(np.full(1, GENERATIONS, np.int32), np.full(1, MOST_STEPS, np.int32))

    def run() -> tuple[Any, Params]:
        state, _ = program.advance(program.init(np.zeros(1, np.uint32), hyper), limit)
        return state, [np.array(leaf) for leaf in jax.tree.leaves(program.snapshot(state).params)]

    (_, first), (state, second) = run(), run()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        state, rows = program.advance(state, limit)
        steps += int(np.asarray(rows.env_steps).sum())
    return first, second, steps / (time.perf_counter() - began)


def check_training(train: Callable[[], Outcome] = train_once) -> str:
    """Training gives finite parameters, and the same ones again."""
    first, second, rate = train()
    text = f"{AGENT} on {ENVIRONMENT}"
    if not all(np.isfinite(leaf).all() for leaf in first):
        raise CheckFailure(f"{text}: parameters are not finite", REPORT)
    if not all(map(np.array_equal, first, second)):
        raise CheckFailure(f"{text}: the same key gave other parameters", REPORT)
    return f"{text}: {rate:,.0f} environment steps a second"


def doctor_checks(out: Path) -> dict[str, Check]:
    """The checks by name; `out` is where results would go."""
    requirements = required_packages()
    looks = {
        "devices": check_devices,
        "cores and memory": check_cores_and_memory,
        "cache": check_cache,
        "results folder": partial(check_results, out),
        "training": check_training,
    }
    return {
        "python": make_check("python", check_python),
        "packages": partial(check_core, requirements),
        "tried versions": tested_versions,
        "extras": partial(check_extras, requirements),
        **{name: make_check(name, look) for name, look in looks.items()},
    }
