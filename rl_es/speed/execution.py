"""Runs a speed benchmark: workload after workload, the contestants of each interleaved."""

import gc
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from rl_es import timings
from rl_es.files.whole import read_whole
from rl_es.interfaces import Environment
from rl_es.speed import peers
from rl_es.speed.entrant import Entrant
from rl_es.speed.horizon import environment
from rl_es.speed.names import EVOSAX
from rl_es.speed.progress import Progress
from rl_es.speed.schema import Benchmark, Horizon
from rl_es.speed.workloads import Workload, workloads
from rl_es.sweep import manifest, provenance
from rl_es.training.platform import prepare

Row = dict[str, Any]


def run(benchmark: Benchmark, folder: Path, progress: Progress) -> int:
    """Measures the workloads that are missing from a results folder.

    A workload is written once all of it is measured. One that exists is not measured again, even if
    a contestant of it failed: remove its file to have it run anew.

    Returns:
      The exit code: 1 if a contestant failed in any workload, else 0.

    Raises:
      UserError: the folder holds other results, an environment has no time limit, or a peer is not
        installed.
    """
    prepare(max(entry.devices for entry in benchmark.contestants))
    whole = workloads(benchmark)
    missing = [one for one in whole if not _is_there(folder, one, progress)]
    environments = _environments(missing)
    if any(entry.name == EVOSAX for entry in benchmark.contestants) and missing:
        peers.require_evosax()
    stated = benchmark.model_dump(mode="json", by_alias=True, exclude_unset=True)
    keys = [one.key for one in whole]
    start = {"missing": len(missing)}
    manifest.write(folder, "benchmark", stated, start, progress.note, workloads=keys)
    progress.begin(len(missing), len(whole))
    for workload in missing:
        progress.workload(workload)
        began = time.monotonic()
        env = environments[workload.world.shown, workload.horizon]
        samples, programs = measure(workload, environments, benchmark, progress)
        columns = {**workload.columns, "episode_length": env.spec.episode_length}
        path = timings.path_of(folder, workload.key)
        timings.write(path, columns, samples, programs, _origin())
        progress.finished(workload, time.monotonic() - began)
        jax.clear_caches()
    records = [timings.read(timings.path_of(folder, key))[1] for key in keys]
    statuses = {program["status"] for record in records for program in record["programs"]}
    return int("failed" in statuses)


def _is_there(folder: Path, workload: Workload, progress: Progress) -> bool:
    path = timings.path_of(folder, workload.key)
    return read_whole(folder, path, timings.read, progress.note) is not None


def measure(
    workload: Workload,
    environments: Mapping[tuple[str, Horizon], Environment],
    benchmark: Benchmark,
    progress: Progress,
) -> tuple[list[Row], list[Row]]:
    """The samples of a workload, round by round, and the row of each contestant's program."""
    entrants: dict[str, Entrant] = {}
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
            entrants[label] = Entrant(
                workload,
                contestant,
                environments[workload.world.shown, contestant.horizon],
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
            key = workload.world.shown, one.horizon
            if key not in made:
                made[key] = environment(workload, one.horizon)
    return made


def _origin() -> Row:
    return {
        "device": provenance.device(),
        "machine": provenance.machine(),
        "processor": provenance.processor(),
        "git_revision": provenance.revision(),
        "versions": provenance.versions() | peers.versions(),
    }
