"""Files of the speed benchmark: workloads, their timed samples and compiled programs.

A workload's file, `workloads/<key>.parquet`, has one row per sample: a contestant, a part of a
generation and a round. Its metadata holds the workload's record: the program of each contestant,
contestants that could not run and why, and the machine. The folder's manifest lists the workloads
of the present benchmark file in order; files of other workloads are neither read nor changed.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from rl_es.errors import UserError
from rl_es.results import text_files
from rl_es.results.files import atomic_path
from rl_es.results.parquet import (
    as_json,
    check_record,
    check_rows,
    damage_error,
    read_with_record,
    to_frame,
    write_with_record,
)
from rl_es.results.text_files import FileModel, Key

SCHEMA_VERSION = 1

# What a workload is; the same in every row of its file. A further axis is a column here.
WORKLOAD = {
    "workload": pa.string(),  # 16 hex digits: a hash of all that is measured in it
    "env": pa.string(),  # the environment's name, or the label that the file gives it
    "widths": pa.string(),  # hidden layers, such as 64x64x64
    "population": pa.int64(),
    "episodes": pa.int64(),  # a member
    "horizon": pa.string(),  # full or natural
    "episode_length": pa.int64(),  # steps at which an episode is cut
}
SAMPLE = {
    "contestant": pa.string(),  # its label, unique in a workload
    "agent": pa.string(),  # the registry's name, or bare, inference, evosax
    "part": pa.string(),  # generation: all of it; or one of its parts
    "round": pa.int64(),
    "place": pa.int64(),  # in the round's order
    "repeats": pa.int64(),  # calls that the sample is the mean of
    "seconds": pa.float64(),  # wall time of a call
    "cpu_seconds": pa.float64(),  # process time of a call, all threads
    "env_steps": pa.int64(),  # real ones of a call; null in parts that take none
}
PROGRAM = {
    "contestant": pa.string(),
    "agent": pa.string(),
    "status": pa.string(),  # finished, failed or skipped
    "reason": pa.string(),  # why it failed or was skipped
    "parameters": pa.int64(),  # scalars evolved
    "memory_bytes": pa.int64(),  # of a generation, by XLA's own account
    "perturbation_bytes": pa.int64(),  # noise of the population
    "trace_seconds": pa.float64(),  # which no cache saves
    "compile_cold_seconds": pa.float64(),  # with an empty cache; null where not measured
    "compile_cached_seconds": pa.float64(),  # from the persistent cache; null where not measured
}
WHOLE = "generation"  # the part that is a whole generation
PARTS = ("noise", "rollout", "shaping", "update")
_RECORD = b"rl_es.workload"


class _Benchmark(FileModel):
    """The keys of a speed file that reports show."""

    name: str
    description: str | None = None


class _SpeedManifest(FileModel):
    benchmark: _Benchmark
    workloads: list[Key]


class _Workload(FileModel):
    workload: Key
    env: str
    widths: Annotated[str, Field(pattern=r"^(\d+(x\d+)*)?$")]
    population: int
    episodes: int
    horizon: str
    episode_length: int


class _Program(FileModel):
    contestant: str
    agent: str
    status: Literal["finished", "failed", "skipped"]
    reason: str | None = None


class _WorkloadRecord(FileModel):
    workload: _Workload
    programs: list[_Program]
    versions: dict[str, str] | None = None


def path_of(folder: Path, workload: str) -> Path:
    """Returns the path of a workload's file."""
    return folder / "workloads" / f"{workload}.parquet"


def write(
    path: Path,
    workload: Mapping[str, Any],
    samples: Iterable[Mapping[str, Any]],
    programs: Iterable[Mapping[str, Any]],
    origin: Mapping[str, Any],
) -> None:
    """Writes the samples and the record of a workload atomically.

    Args:
      path: `path_of` the workload.
      workload: values of the `WORKLOAD` columns.
      samples: the `SAMPLE` values of each sample.
      programs: the `PROGRAM` values of each contestant, in the file's order.
      origin: versions, revision, device and machine.
    """
    record = {"schema_version": SCHEMA_VERSION, **origin}
    record |= {"workload": dict(workload), "programs": list(map(dict, programs))}
    rows = ({**workload, **sample} for sample in samples)
    write_with_record(path, {**WORKLOAD, **SAMPLE}, rows, _RECORD, record)


def read(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Reads the samples and the record of a workload.

    Raises:
      UserError: the file is damaged, or another program wrote it.
    """
    kind = "workload"
    rows, record = read_with_record(path, _RECORD, SCHEMA_VERSION, kind)
    key = check_record(path, record, _WorkloadRecord, kind).workload.workload
    not_null = [name for name in SAMPLE if name != "env_steps"]
    check_rows(path, rows, {**WORKLOAD, **SAMPLE}, not_null, kind)
    check_rows(path, record["programs"], PROGRAM, ("contestant", "agent"), kind)
    check_rows(path, [_origin(record)], ORIGIN, (), kind)
    if {path.stem, *(row["workload"] for row in rows)} != {key}:
        raise damage_error(path, kind, f"it holds workload {key}, and is named or filled otherwise")
    if not all(0 < row["seconds"] < math.inf for row in rows):
        raise damage_error(path, kind, "column seconds: a time is not above 0")
    return rows, record


def _origin(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_json(record.get(name)) for name in ORIGIN}


def load(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Returns the tables of samples and programs of a folder, and its manifest.

    Raises:
      UserError: the folder holds no workload of its manifest, or a damaged one.
    """
    path = folder / "manifest.json"
    kind = "manifest of speed results"
    manifest, content = text_files.read_json_as(path, _SpeedManifest, kind)
    files = [path_of(folder, key) for key in dict.fromkeys(manifest.workloads)]
    files = [file for file in files if file.exists()]
    if not files:
        raise UserError(f"{folder}: no workload is finished here; run the benchmark into it")
    samples: list[dict[str, Any]] = []
    programs: list[dict[str, Any]] = []
    for file in files:
        rows, record = read(file)
        samples += rows
        common = {**record["workload"], **_origin(record)}
        programs += [{**common, **{n: row.get(n) for n in PROGRAM}} for row in record["programs"]]
    return (
        to_frame(samples, {**WORKLOAD, **SAMPLE}),
        to_frame(programs, {**WORKLOAD, **PROGRAM, **ORIGIN}),
        content,
    )


ORIGIN = {
    "device": pa.string(),
    "machine": pa.string(),
    "processor": pa.string(),
    "git_revision": pa.string(),
    "versions": pa.string(),  # JSON: package -> version
}


def write_samples(folder: Path, samples: pd.DataFrame) -> Path:
    """Writes the samples of all workloads as `samples.parquet`, and returns its path."""
    schema = pa.schema([*WORKLOAD.items(), *SAMPLE.items()])
    frame = samples.astype({"env_steps": "Int64"})
    path = folder / "samples.parquet"
    with atomic_path(path) as temporary:
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        pq.write_table(table.replace_schema_metadata(), temporary)
    return path
