"""The checks of a machine: its packages, devices, memory and folders, and a short training.

Packages are compared with what the suite's metadata asks for and with the versions that were
tried. The training runs twice from one key, and has to give the same both times. A network is timed
in each precision of its products that the device has.
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
from typing import Any, get_args

import numpy as np
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rl_es.errors import short_reason
from rl_es.registry import install_command
from rl_es.terminal import FAIL, OK, WARN, Check, CheckFailure, CheckResult, expect
from rl_es.tools import AGENT, ENVIRONMENT

GIB, MIB = 2**30, 2**20
PROBE = 32 * MIB  # bytes that are written to measure the speed
SLOW = 10 * MIB  # bytes a second
LEAST_FREE = GIB
NVIDIA = Path("/proc/driver/nvidia/version")
INSTALLING = "https://docs.jax.dev/en/latest/installation.html"


def check_devices(devices: Sequence[Any] | None = None, driver: Path = NVIDIA) -> str:
    """Describes the devices that jax finds; it overlooks no GPU."""
    if devices is None:
        import jax

        devices = jax.devices()
    kinds = [f"{device.platform} ({device.device_kind})" for device in devices]
    text = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    is_overlooked = driver.exists() and all(device.platform == "cpu" for device in devices)
    detail = f"{text}; jax does not see the NVIDIA GPU that is here"
    expect(not is_overlooked, detail, f"{install_command('cuda')}, or {INSTALLING}", WARN)
    return text


def check_cores_and_memory(fills: int | None = None, least: int = GIB) -> str:
    """Describes the cores that this process may use, and the memory that a run fills by default."""
    from rl_es.training.resources import device_memory, usable_cores

    fills = device_memory(1) if fills is None else fills
    detail = f"{usable_cores()} cores; a run fills {fills / GIB:.1f} GiB of memory at most"
    expect(fills >= least, detail, "free memory, or choose small populations and networks", WARN)
    return detail


def check_cache(folder: Path | None = None) -> str:
    """Describes the folder of compiled programs and its size; it can be written.

    Runs work without it.
    """
    if folder is None and os.environ.get("RL_ES_CACHE") == "":
        return "off: RL_ES_CACHE is empty (unset it to keep programs)"
    try:
        if folder is None:
            from rl_es.training.compilation import cache_folder

            folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        remedy = "set RL_ES_CACHE to a folder that can be written, or to nothing to keep none"
        detail = short_reason(error) if folder is None else f"{folder}: {short_reason(error)}"
        raise CheckFailure(detail, remedy, WARN) from None
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{folder}: {len(sizes)} files, {sum(sizes) / GIB:.2f} GiB"


def check_results(
    folder: Path, probe: int = PROBE, free: int | None = None, slow: float = SLOW
) -> str:
    """Describes the folder of results: it can be written, fast enough, and has room."""
    ancestor = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    choose = "choose another folder with --out"
    try:
        rate = _write(ancestor, probe)
    except OSError as error:
        raise CheckFailure(f"{ancestor}: {error.strerror}", choose) from None
    free = shutil.disk_usage(ancestor).free if free is None else free
    detail = f"{ancestor}: {rate / MIB:,.0f} MiB a second, {free / GIB:,.1f} GiB free"
    expect(free >= LEAST_FREE, detail, f"free some room, or {choose}", WARN)
    expect(rate >= slow, detail, f"{choose}: it writes slowly, and runs wait for it", WARN)
    return detail


def _write(folder: Path, size: int) -> float:
    """Writes and removes `size` bytes; returns the bytes a second at which the disk took them."""
    content = os.urandom(min(size, MIB))
    began = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(-(-size // len(content))):
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return size / (time.perf_counter() - began)


SUITE = "rl_es"
MOST_DIFFERENCES = 5  # packages that are named of those that differ from the tried ones
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"  # beside a checkout; not installed
COLLECTIVE_EXTRAS = ("all",)  # made up of others
VersionOf = Callable[[str], str | None]


def installed_version(name: str) -> str | None:
    """Returns the version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def required_packages() -> list[Requirement]:
    """Returns what the suite's metadata asks for, with its extras."""
    return [Requirement(text) for text in importlib.metadata.requires(SUITE) or ()]


def check_python(version: str = platform.python_version()) -> str:
    """Returns the interpreter's version, on which the suite runs."""
    needs = importlib.metadata.metadata(SUITE)["Requires-Python"] or ""
    fits = SpecifierSet(needs).contains(version, prereleases=True)
    expect(fits, f"{version}, needs {needs}", f"use python {needs}")
    return version


def check_core(
    requirements: Iterable[Requirement], version_of: VersionOf = installed_version
) -> Iterator[CheckResult]:
    """Checks that the packages that everything needs are there, in versions that fit."""
    core = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [requirement for requirement in core if not _fits(requirement, version_of)]
    if not wrong:
        detail = f"{SUITE} {version_of(SUITE)} and {len(core)} that it needs"
        yield CheckResult("packages", OK, detail)
    for requirement in wrong:
        name, specifier = requirement.name, requirement.specifier
        version = version_of(name)
        detail = "is not installed" if version is None else f"{version}, needs {specifier}"
        yield CheckResult(name, FAIL, detail, f"pip install '{name}{specifier}'")


def check_tried_versions(
    path: Path = CONSTRAINTS, version_of: VersionOf = installed_version
) -> Iterator[CheckResult]:
    """Names the packages that differ from those in the list at `path`, if there is one."""
    if not path.exists():
        return
    pins = dict(
        line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line
    )
    versions = {name: version for name in pins if (version := version_of(name)) is not None}
    differences = {
        name: f"{name} {version} (tried: {pins[name]})"
        for name, version in versions.items()
        if version != pins[name]
    }
    if not differences:
        detail = f"{len(versions)} packages as in {path.name}"
        yield CheckResult("tried versions", OK, detail)
        return
    rest = len(differences) - MOST_DIFFERENCES
    more = f" and {rest} more" if rest > 0 else ""
    detail = f"{', '.join([*differences.values()][:MOST_DIFFERENCES])}{more}"
    remedy = f"pip install --upgrade --constraint {path} {' '.join(differences)}"
    yield CheckResult("tried versions", WARN, detail, remedy)


def check_extras(
    requirements: Sequence[Requirement], version_of: VersionOf = installed_version
) -> Iterator[CheckResult]:
    """Names the extras that are installed, and how to install the others."""
    for extra in importlib.metadata.metadata(SUITE).get_all("Provides-Extra") or ():
        if extra in COLLECTIVE_EXTRAS:
            continue
        packages = [r for r in requirements if _is_of_extra(r, extra)]
        versions = {r.name: version_of(r.name) for r in packages}
        wrong = [r for r in packages if not _fits(r, version_of)]
        remedy = install_command(extra) if wrong else ""
        state, detail = OK, ", ".join(f"{name} {v}" for name, v in versions.items() if v)
        if misfits := [r for r in wrong if versions[r.name] is not None]:
            needs = ", ".join(f"{r.name}{r.specifier}" for r in misfits)
            state, detail = WARN, f"{detail}; needs {needs}"
        elif wrong:
            detail = f"not installed: {', '.join(r.name for r in wrong)}"
        yield CheckResult(f"extra {extra}", state, detail, remedy)


def _is_of_extra(requirement: Requirement, extra: str) -> bool:
    """Returns whether an extra asks for a package, other than the suite with another extra."""
    is_suite = canonicalize_name(requirement.name) == canonicalize_name(SUITE)
    marker = requirement.marker
    return marker is not None and not is_suite and marker.evaluate({"extra": extra})


def _fits(requirement: Requirement, version_of: VersionOf) -> bool:
    version = version_of(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


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
    """Trains a small network twice from key 0, and then for `SECONDS` to measure its speed.

    It uses no cache of programs, so that compiling them is tried as well.
    """
    import jax

    from rl_es import registry
    from rl_es.config import split_traced
    from rl_es.interfaces import Limit
    from rl_es.rollout.config import PolicyConfig, WrapperConfig
    from rl_es.training.program import Compiler
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
    """Trains twice: parameters are finite, and the same again."""
    first, second, rate = train()
    text = f"{AGENT} on {ENVIRONMENT}"
    is_finite = all(np.isfinite(leaf).all() for leaf in first)
    expect(is_finite, f"{text}: parameters are not finite", REPORT)
    is_same = all(map(np.array_equal, first, second))
    expect(is_same, f"{text}: the same key gave other parameters", REPORT)
    return f"{text}: {rate:,.0f} environment steps a second"


TIMED_WIDTHS = (256, 256, 256)
TIMED_ROWS = 1024
TIMED_STEPS = 4  # that share the rounding of the weights, as the steps of an episode do
TIMED_ROUNDS = 9
LEAST_GAIN = 0.1  # of the time; less is not worth another precision


def time_precisions() -> dict[str, list[float]]:
    """Times a network of `TIMED_WIDTHS` on `TIMED_ROWS` observations, by precision.

    Returns:
      The seconds of each round, in which each precision that the device has is timed once.
    """
    import jax
    import jax.numpy as jnp

    from rl_es.interfaces import Box, EnvSpec
    from rl_es.rollout.config import PolicyConfig, Precision
    from rl_es.rollout.policy import ModulePolicy, make_policy, supported_precision
    from rl_es.training.compilation import compile_function

    size, backend = 8, jax.default_backend()
    spec = EnvSpec("timed", (size,), Box(np.full(size, -1.0), np.full(size, 1.0)), None)
    rows, programs = np.ones((TIMED_ROWS, size), np.float32), {}
    for precision in get_args(Precision):
        if supported_precision(precision, backend) != precision:
            continue
        config = PolicyConfig(
            widths=TIMED_WIDTHS, activation="pqn", head="deterministic", precision=precision
        )
        policy = make_policy(config, spec)
        assert isinstance(policy, ModulePolicy)
        shapes = jax.eval_shape(policy.init, jax.random.key(0))["network"]
        params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), shapes)

        def run(params: Any, rows: Any, policy: ModulePolicy = policy) -> Any:
            def step(rows: Any, _: None) -> Any:
                return jax.vmap(lambda row: policy.apply(params, (), row)[1])(rows), None

            return jax.lax.scan(step, jnp.asarray(rows), None, TIMED_STEPS)[0]

        programs[precision] = partial(compile_function(run, params, rows).call, params, rows)
    seconds: dict[str, list[float]] = {precision: [] for precision in programs}
    for _ in range(TIMED_ROUNDS):
        for precision, call in programs.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds[precision].append(time.perf_counter() - began)
    return seconds


def check_precisions(
    time_all: Callable[[], Mapping[str, Sequence[float]]] = time_precisions,
) -> str:
    """Describes how long a network takes in the precisions that the device has."""
    seconds = {precision: np.asarray(times) for precision, times in time_all().items()}
    base = seconds.pop("float32")
    shares = {name: float(np.median(times / base)) for name, times in seconds.items()}
    parts = [f"{share:.2f} of float32's time in {name}" for name, share in shares.items()]
    best = min(shares, key=lambda name: shares[name])
    widths = f"{len(TIMED_WIDTHS)} x {TIMED_WIDTHS[0]}"
    advice = "nothing to gain here"
    if shares[best] <= 1 - LEAST_GAIN:
        advice = f"set policy.precision: {best} where products take most of the time"
    return f"a {widths} network takes {' and '.join(parts)}; {advice}"


def doctor_checks(out: Path) -> Mapping[str, Check]:
    """Returns the checks by name; `out` is where results would go."""
    requirements = required_packages()
    return {
        "python": check_python,
        "packages": partial(check_core, requirements),
        "tried versions": check_tried_versions,
        "extras": partial(check_extras, requirements),
        "devices": check_devices,
        "cores and memory": check_cores_and_memory,
        "cache": check_cache,
        "results folder": partial(check_results, out),
        "training": check_training,
        "precision": check_precisions,
    }
