"""Runs a speed benchmark: workload after workload, with interleaved samples of the contestants.

`run_benchmark` measures the workloads that a results folder lacks, and writes each when it is
measured. In every round each contestant is sampled once, in an order of the round's own, so that
slow changes of the machine meet all of them alike. `SpeedProgress` shows what happens: one live
line on a terminal, lines elsewhere.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar

import jax

from rl_es.interfaces import Environment
from rl_es.results import manifest, timings
from rl_es.results.files import read_or_set_aside
from rl_es.speed import peers
from rl_es.speed.runners import make_environment
from rl_es.speed.sampling import ContestantSampler, MemoryShortage
from rl_es.speed.schema import EVOSAX, Benchmark, Horizon
from rl_es.speed.workloads import Contestant, Workload, expand_workloads
from rl_es.sweep.progress import format_duration
from rl_es.training.compilation import prepare_jax, suppress_loader_messages
from rl_es.training.resources import usable_cores

MOST_COMPILE_THREADS = 8  # that compile contestants at the same time


class SpeedProgress:
    """The progress display of a speed benchmark: a line per workload, and a live line between.

    The live line is drawn only when something happens: a thread that animates it would take its
    share of what is timed.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False):
        """Prepares the console on a stream, by default standard output.

        With `quiet` it shows failures and the end only.
        """
        from rich.console import Console

        self._console = Console(
            file=stream or sys.stdout, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        self._live: Any = None
        if self._console.is_terminal and not quiet:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._quiet = quiet
        self._done = self._total = self._failures = 0

    def begin(self, missing: int, total: int) -> None:
        """Reports the start: `missing` of `total` workloads are left."""
        self._done, self._total = total - missing, total
        self._print(f"{missing} of {total} workloads to run")
        if self._live is not None:
            self._live.start()

    def note(self, text: str) -> None:
        """Prints a line, also when quiet."""
        self._print(text, always=True)

    def start_workload(self, workload: Workload) -> None:
        """Reports that a workload starts."""
        self._print(f"[{self._done + 1}/{self._total}] {workload.label}")

    def show(self, text: str) -> None:
        """Shows what happens now on the live line, if there is one."""
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def report_failure(self, workload: Workload, contestant: str, reason: str) -> None:
        """Reports that a contestant could not be run."""
        self._failures += 1
        short = " ".join(reason.split())[:300]
        self._print(f"{workload.label}: {contestant} failed: {short}", always=True)

    def finish_workload(self, workload: Workload, seconds: float) -> None:
        """Reports that a workload is measured and written."""
        self._done += 1
        self._print(f"[{self._done}/{self._total}] done in {format_duration(seconds)}")

    def end(self) -> None:
        """Reports the end, and stops the live line; may be called twice."""
        if self._live is not None:
            self._live.stop()
        if self._total:
            counts = f"{self._done} of {self._total} workloads done"
            self._print(f"{counts}, {self._failures} failures", always=True)
        self._total = 0

    def _print(self, text: str, always: bool = False) -> None:
        if always or not self._quiet:
            self._console.print(text)


Row = dict[str, Any]


def run_benchmark(benchmark: Benchmark, folder: Path, progress: SpeedProgress) -> int:
    """Measures the workloads that are missing from a results folder.

    A workload is written once all of it is measured. A workload that exists is not measured again,
    even if one of its contestants failed: remove its file to have it run anew.

    Returns:
      The exit code: 1 if a contestant failed in any workload, else 0.

    Raises:
      UserError: the folder holds other results, an environment has no time limit, or a peer is not
        installed.
    """
    prepare_jax(max(entry.devices for entry in benchmark.contestants))
    workloads = expand_workloads(benchmark)
    missing = [workload for workload in workloads if not _is_measured(folder, workload, progress)]
    environments = _make_environments(missing)
    if any(entry.name == EVOSAX for entry in benchmark.contestants) and missing:
        peers.require_evosax()
    content = benchmark.model_dump(mode="json", by_alias=True, exclude_unset=True)
    keys = [workload.key for workload in workloads]
    start = {"missing": len(missing)}
    manifest.write_manifest(folder, "benchmark", content, start, progress.note, workloads=keys)
    progress.begin(len(missing), len(workloads))
    for workload in missing:
        progress.start_workload(workload)
        start_time = time.monotonic()
        env = environments[workload.environment.display_name, workload.horizon]
        samples, programs = measure_workload(workload, environments, benchmark, progress)
        columns = {**workload.columns, "episode_length": env.spec.episode_length}
        path = timings.path_of(folder, workload.key)
        timings.write(path, columns, samples, programs, _origin())
        progress.finish_workload(workload, time.monotonic() - start_time)
        jax.clear_caches()
    records = [timings.read(timings.path_of(folder, key))[1] for key in keys]
    statuses = {program["status"] for record in records for program in record["programs"]}
    return int("failed" in statuses)


def _is_measured(folder: Path, workload: Workload, progress: SpeedProgress) -> bool:
    path = timings.path_of(folder, workload.key)
    return read_or_set_aside(folder, path, timings.read, progress.note) is not None


def measure_workload(
    workload: Workload,
    environments: Mapping[tuple[str, Horizon], Environment],
    benchmark: Benchmark,
    progress: SpeedProgress,
) -> tuple[list[Row], list[Row]]:
    """Measures all contestants of a workload.

    Returns:
      The samples round by round, and the row of each contestant's program.
    """
    samplers: dict[str, ContestantSampler] = {}  # in the file's order
    compilations: dict[str, Callable[[], ContestantSampler]] = {}
    programs: dict[str, Row] = {}
    samples: dict[str, list[Row]] = {}

    def fail(label: str, error: Exception) -> None:
        reason = str(error).strip() or type(error).__name__
        programs[label] |= {"status": "failed", "reason": reason}
        samplers.pop(label, None)
        samples.pop(label, None)
        progress.report_failure(workload, label, reason)

    for contestant in workload.contestants:
        label = contestant.label
        programs[label] = {"contestant": label, "agent": contestant.name, "status": "finished"}
        if contestant.up_to is not None and workload.population > contestant.up_to:
            reason = f"not run with a population above {contestant.up_to}"
            programs[label] |= {"status": "skipped", "reason": reason}
            continue
        env = environments[workload.environment.display_name, contestant.horizon]
        compilations[label] = partial(_compile, workload, contestant, env, benchmark)
    compiling = ", ".join(compilations)
    progress.show(f"{workload.label}: compiling {compiling}")
    for label, result in begin_calls(compilations, 1 if benchmark.compile else compile_threads()):
        try:
            samplers[label] = result()
        except MemoryShortage as error:
            programs[label] |= {"status": "skipped", "reason": str(error)}
        except Exception as error:  # such as too little memory: the others go on
            fail(label, error)
    for label, sampler in list(samplers.items()):
        progress.show(f"{workload.label}: warming up {label}")
        try:
            sampler.warm_up()
        except Exception as error:
            fail(label, error)
        else:
            samples[label] = []
            programs[label] |= sampler.program
    for number in range(benchmark.rounds):
        progress.show(f"{workload.label}: round {number + 1} of {benchmark.rounds}")
        order = list(samplers)
        random.Random(f"{workload.key}:{number}").shuffle(order)
        gc.collect()
        for position, label in enumerate(order):
            columns = {"round": number, "place": position}
            try:
                samples[label] += [{**columns, **row} for row in samplers[label].sample()]
            except Exception as error:
                fail(label, error)
    return [row for rows in samples.values() for row in rows], list(programs.values())


def _compile(
    workload: Workload, contestant: Contestant, env: Environment, benchmark: Benchmark
) -> ContestantSampler:
    with suppress_loader_messages():  # small programs, too, may come from the cache
        return ContestantSampler(
            workload,
            contestant,
            env,
            min_seconds=benchmark.min_seconds,
            measure=benchmark.compile,
            parts=benchmark.parts,
        )


def compile_threads() -> int:
    """Returns how many contestants are compiled at once, where compilation is not measured.

    On CPU a compilation may use all cores. For an accelerator several run side by side.
    """
    return 1 if jax.default_backend() == "cpu" else min(MOST_COMPILE_THREADS, usable_cores())


T = TypeVar("T")


def begin_calls(
    calls: Mapping[str, Callable[[], T]], threads: int
) -> Iterator[tuple[str, Callable[[], T]]]:
    """Yields each name with a function that returns the result of its call, or raises its error.

    With one thread, that function makes the call. With more, threads have begun the calls; none is
    waited for once the caller stops.
    """
    if threads == 1:
        yield from calls.items()
        return
    pool = ThreadPoolExecutor(threads)
    try:
        futures = {name: pool.submit(call) for name, call in calls.items()}
        for name, future in futures.items():
            yield name, future.result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _make_environments(workloads: list[Workload]) -> dict[tuple[str, Horizon], Environment]:
    """Makes all environments, by label and horizon: errors come before anything is timed."""
    environments: dict[tuple[str, Horizon], Environment] = {}
    for workload in workloads:
        for item in (workload, *workload.contestants):
            key = workload.environment.display_name, item.horizon
            if key not in environments:
                environments[key] = make_environment(workload, item.horizon)
    return environments


def _origin() -> Row:
    return {
        "device": manifest.device_name(),
        "machine": manifest.machine_record(),
        "processor": manifest.processor_name(),
        "git_revision": manifest.git_revision(),
        "versions": manifest.package_versions() | peers.peer_versions(),
    }
