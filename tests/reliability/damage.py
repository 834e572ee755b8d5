"""Every file of a results folder that a later step reads, cut short and altered."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rl_es.errors import DamagedError
from rl_es.results import checksums, gradient_estimates, surfaces, tables, text_files, timings

ROOT = Path(__file__).parents[2]
BLOCK = 4096  # bytes

Reader = Callable[[Path], Any]


def _json(path: Path) -> Any:
    return text_files.read_json(path, "file")


def _msgpack(path: Path) -> Any:
    from rl_es.results import checksums

    try:
        return checksums.unseal(path.read_bytes())
    except ValueError as error:
        raise DamagedError(f"{path}: {error}") from None


READERS: dict[str, Reader] = {
    "cells/*.parquet": tables.read_cell,
    "checkpoints/*.msgpack": _msgpack,
    "policies/*/*.msgpack": _msgpack,
    "policies/*/*.json": _json,
    "surfaces/*.parquet": surfaces.read,
    "workloads/*.parquet": timings.read,
    "estimates/*.parquet": gradient_estimates.read,
    "replays/replays.json": _json,
    "trials.json": _json,
    "manifest.json": _json,
}


def files(folder: Path) -> Iterator[tuple[str, Path, Reader]]:
    """Yields the (kind, file, reader) of all files below a folder that a later step reads."""
    for kind, read in READERS.items():
        for path in sorted(folder.rglob(kind)):
            yield kind, path, read
    for listed in sorted(folder.rglob(checksums.NAME)):
        for line in listed.read_text().splitlines():
            yield (
                f"tables in {checksums.NAME}",
                listed.with_name(line.split("  ")[1]),
                checksums.check_sums,
            )


def trial(folder: Path, seed: int = 0) -> tuple[dict[str, list[int]], list[str]]:
    """Damages each file in turn, and restores it.

    Returns:
      The numbers of files, truncations and changed bytes, by kind; and the damage that was not
      noticed, in words.
    """
    generator = random.Random(seed)
    counts: dict[str, list[int]] = {}
    missed: list[str] = []
    for kind, path, read in files(folder):
        content = path.read_bytes()
        read(path)  # it is not damaged yet
        kind_counts = counts.setdefault(kind, [0, 0, 0])
        kind_counts[0] += 1
        for end in range(0, len(content), BLOCK):
            kind_counts[1] += 1
            if not _is_noticed(path, content[:end], read):
                missed.append(f"{path} cut after {end} bytes")
        at = generator.randrange(len(content))
        byte = content[at] ^ generator.randint(1, 255)
        changed = content[:at] + bytes([byte]) + content[at + 1 :]
        kind_counts[2] += 1
        if not _is_noticed(path, changed, read):
            missed.append(f"{path} changed at byte {at}")
        path.write_bytes(content)
    return counts, missed


def _is_noticed(path: Path, content: bytes, read: Reader) -> bool:
    path.write_bytes(content)
    try:
        read(path)
    except DamagedError:
        return True
    return False


COMMANDS = (
    ("run", "sweeps/pes/toy_regression.yaml", "--set", "defaults.budget={generations: 3}",
     "--set", "seeds=2", "--set", "environments.0.surface.points=5"),
    ("run", "sweeps/quickstart.yaml", "--set", "defaults.budget={generations: 3}",
     "--set", "environments=[CartPole-v1, Pendulum-v1]", "--set", "seeds=2"),
    ("tune", "sweeps/ablation/tuning.yaml", "--set", "defaults.budget={generations: 2}",
     "--set", "environments=[CartPole-v1]", "--set", "agents=[{name: eggroll, "
     "random: {samples: 3, seed: 0, lr: {log_uniform: [0.01, 0.1]}}}]"),
    ("speed", "sweeps/speed/cartpole.yaml", "--set", "rounds=2", "--set", "compile=false",
     "--set", "workloads={environments: [CartPole-v1], widths: [[16]], populations: [64]}",
     "--set", "contestants=[bare, inference, eggroll]"),
    ("gradients", "sweeps/pes/variance.yaml", "--set", "defaults.budget.generations=8",
     "--set", "seeds=2", "--set", "environments=[{name: unrolled/linear, options: {steps: 2}}]"),
)  # fmt: skip


def make(folder: Path, arguments: tuple[str, ...]) -> None:
    """Makes a results folder by a command."""
    command = [sys.executable, "run_benchmark.py", *arguments, "--out", str(folder), "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
