"""Runs a speed benchmark: workload after workload, the contestants of each interleaved.

What a person sees while a speed benchmark runs: one live line on a terminal, else lines.
"""

import gc
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import jax

from rl_es.interfaces import Environment
from rl_es.results import manifest, timings
from rl_es.results.files import read_or_set_aside
from rl_es.speed import peers
from rl_es.speed.entrant import ContestantSampler
from rl_es.speed.runners import make_environment
from rl_es.speed.schema import EVOSAX, Benchmark, Horizon
from rl_es.speed.workloads import Workload, expand_workloads
from rl_es.sweep.progress import format_duration
from rl_es.training.compilation import prepare_jax


class SpeedProgress:
    """Prints each workload's start and end, and on a terminal what happens in between.

    The live line is drawn when something happens and at no other time: a thread that animates it
    would take its share of what is timed.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False):
        """Writes to standard output by default; `quiet`: failures and the end only."""
        from rich.console import Console

        target = stream or sys.stdout
        self._console = Console(
            file=target, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        live = self._console.is_terminal and not quiet
        self._live: Any = None
        if live:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._quiet = quiet
        self._done = self._total = self._failed = 0

    def begin(self, missing: int, total: int) -> None:
        """Work starts: so many workloads are left of so many."""
        self._done, self._total = total - missing, total
        self._say(f"{missing} of {total} workloads to run")
        if self._live is not None:
            self._live.start()

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._say(text, always=True)

    def workload(self, workload: Workload) -> None:
        """A workload starts."""
        self._say(f"[{self._done + 1}/{self._total}] {workload.label}")

    def preparing(self, workload: Workload, contestant: str) -> None:
        """A contestant is compiled and warmed up."""
        self._now(f"{workload.label}: compiling {contestant}")

    def round(self, workload: Workload, number: int, rounds: int) -> None:
        """A round starts, counted from 0."""
        self._now(f"{workload.label}: round {number + 1} of {rounds}")

    def failed(self, workload: Workload, contestant: str, reason: str) -> None:
        """A contestant could not be run; the others go on."""
        self._failed += 1
        short = " ".join(reason.split())[:300]
        self._say(f"{workload.label}: {contestant} failed: {short}", always=True)

    def finished(self, workload: Workload, seconds: float) -> None:
        """A workload is measured and written."""
        self._done += 1
        self._say(f"[{self._done}/{self._total}] done in {format_duration(seconds)}")

    def end(self) -> None:
        """No more reports; may be called twice."""
        if self._live is not None:
            self._live.stop()
        if self._total:
            said = f"{self._done} of {self._total} workloads done, {self._failed} failures"
            self._say(said, always=True)
        self._total = 0

    def _say(self, text: str, always: bool = False) -> None:
        if always or not self._quiet:
            self._console.print(text)

    def _now(self, text: str) -> None:
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


Row = dict[str, Any]


def run_benchmark(benchmark: Benchmark, folder: Path, progress: SpeedProgress) -> int:
    """Measures the workloads that are missing from a results folder.

    A workload is written once all of it is measured. One that exists is not measured again, even if
    a contestant of it failed: remove its file to have it run anew.

    Returns:
      The exit code: 1 if a contestant failed in any workload, else 0.

    Raises:
      UserError: the folder holds other results, an environment has no time limit, or a peer is not
        installed.
    """
    prepare_jax(max(entry.devices for entry in benchmark.contestants))
    whole = expand_workloads(benchmark)
    missing = [one for one in whole if not _is_there(folder, one, progress)]
    environments = _environments(missing)
    if any(entry.name == EVOSAX for entry in benchmark.contestants) and missing:
        peers.require_evosax()
    stated = benchmark.model_dump(mode="json", by_alias=True, exclude_unset=True)
    keys = [one.key for one in whole]
    start = {"missing": len(missing)}
    manifest.write_manifest(folder, "benchmark", stated, start, progress.note, workloads=keys)
    progress.begin(len(missing), len(whole))
    for workload in missing:
        progress.workload(workload)
        began = time.monotonic()
        env = environments[workload.world.display_name, workload.horizon]
        samples, programs = measure_workload(workload, environments, benchmark, progress)
        columns = {**workload.columns, "episode_length": env.spec.episode_length}
        path = timings.path_of(folder, workload.key)
        timings.write(path, columns, samples, programs, _origin())
        progress.finished(workload, time.monotonic() - began)
        jax.clear_caches()
    records = [timings.read(timings.path_of(folder, key))[1] for key in keys]
    statuses = {program["status"] for record in records for program in record["programs"]}
    return int("failed" in statuses)


def _is_there(folder: Path, workload: Workload, progress: SpeedProgress) -> bool:
    path = timings.path_of(folder, workload.key)
    return read_or_set_aside(folder, path, timings.read, progress.note) is not None


def measure_workload(
    workload: Workload,
    environments: Mapping[tuple[str, Horizon], Environment],
    benchmark: Benchmark,
    progress: SpeedProgress,
) -> tuple[list[Row], list[Row]]:
    """The samples of a workload, round by round, and the row of each contestant's program."""
    entrants: dict[str, ContestantSampler] = {}
    programs: dict[str, Row] = {}
    samples: dict[str, list[Row]] = {}

    def lose(label: str, error: Exception) -> None:
        reason = str(error).strip() or type(error).__name__
        programs[label] |= {"status": "failed", "reason": reason}
        entrants.pop(label, None)
        samples.pop(label, None)
        progress.failed(workload, label, reason)

    for contestant in workload.contestants:
        label = contestant.label
        programs[label] = {"contestant": label, "agent": contestant.name, "status": "finished"}
        if contestant.up_to is not None and workload.population > contestant.up_to:
            reason = f"not run with a population above {contestant.up_to}"
            programs[label] |= {"status": "skipped", "reason": reason}
            continue
        progress.preparing(workload, label)
        try:
            entrants[label] = ContestantSampler(
                workload,
                contestant,
                environments[workload.world.display_name, contestant.horizon],
                min_seconds=benchmark.min_seconds,
                measure=benchmark.compile,
                parts=benchmark.parts,
            )
            samples[label] = []
            programs[label] |= entrants[label].program
        except Exception as error:  # such as too little memory: the others go on
            lose(label, error)
    for number in range(benchmark.rounds):
        progress.round(workload, number, benchmark.rounds)
        order = list(entrants)
        random.Random(f"{workload.key}:{number}").shuffle(order)
        gc.collect()
        for place, label in enumerate(order):
            common = {"round": number, "place": place}
            try:
                samples[label] += [{**common, **row} for row in entrants[label].sample()]
            except Exception as error:
                lose(label, error)
    return [row for rows in samples.values() for row in rows], list(programs.values())


def _environments(missing: list[Workload]) -> dict[tuple[str, Horizon], Environment]:
    """By label and horizon, all made before anything is timed, so that errors come at once."""
    made: dict[tuple[str, Horizon], Environment] = {}
    for workload in missing:
        for one in (workload, *workload.contestants):
            key = workload.world.display_name, one.horizon
            if key not in made:
                made[key] = make_environment(workload, one.horizon)
    return made


def _origin() -> Row:
    return {
        "device": manifest.device_name(),
        "machine": manifest.machine_record(),
        "processor": manifest.processor_name(),
        "git_revision": manifest.git_revision(),
        "versions": manifest.package_versions() | peers.peer_versions(),
    }
