"""A sweep of the quickstart's shape, killed again and again, against one that was left alone."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from rl_es.results import tables
from tests.reliability.killable import POINTS
from tests.running import difference

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "seeds=3",
    "defaults.budget.env_steps=5e5",
    "environments.1.budget.env_steps=1e6",
    "environments.2.budget.env_steps=1e5",
)
# About how often a point is passed in such a sweep: a kill is at a random one of these.
OFTEN = {"compile": 8, "tables": 1, "sums": 1, "figures": 1, "policy": 40}


KEYS = (["run_id", "generation"], ["run_id"])  # of a row of the curves, and of the runs


@dataclass
class Outcome:
    """The outcome of runs that were killed.

    Attributes:
      seconds: Seconds of the sweep that was left alone.
      kills: Number of kills, by the moment.
      wrong: What went wrong, in words.
    """

    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def command(out: Path, point: str = "none", number: int = 0) -> list[str]:
    """Returns the command line of a run that ends itself at a point."""
    script = str(Path(__file__).with_name("killable.py"))
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    return [
        sys.executable, script, point, str(number), "run", "sweeps/quickstart.yaml", *sets,
        "--out", str(out), "--checkpoint", "2", "--no-replays", "--quiet",
        "--workers", "1",  # it is this process that ends itself
    ]  # fmt: skip


def trial(folder: Path, runs: int, kills: int, seed: int = 0) -> Iterator[Outcome]:
    """Runs a sweep again and again while it is killed; yields the outcome after each run.

    Half of the kills are at a random time, half at a random call of a random point. A kill that
    comes after the end of a run does not count: another one is tried.

    Args:
      folder: an empty folder.
      runs: number of runs.
      kills: kills of each run.
      seed: of the random choices.
    """
    generator, outcome = random.Random(seed), Outcome()
    for name in ("first", "whole"):  # the first one fills the cache of compiled programs
        start = time.monotonic()
        subprocess.run(command(folder / name), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        outcome.seconds = time.monotonic() - start
    outcome.wrong += [f"left alone: {what}" for what in compare(folder / "whole", folder / "first")]
    for run in range(runs):
        out = folder / str(run)
        count = 0
        while count < kills:
            moment = kill(out, generator, outcome.seconds)
            if moment is None:  # it has ended: half of its cells are removed
                for path in (out / "cells").glob("*.parquet"):
                    if generator.random() < 0.5:
                        path.unlink()
                continue
            outcome.kills[moment] += 1
            count += 1
        ended = subprocess.run(command(out), cwd=ROOT, stdout=subprocess.DEVNULL)
        outcome.wrong += [f"run {run}: {what}" for what in compare(folder / "whole", out)]
        if ended.returncode:
            outcome.wrong.append(f"run {run}: exit code {ended.returncode}")
        yield outcome


def kill(out: Path, generator: random.Random, seconds: float) -> str | None:
    """Starts the sweep and ends it at a random moment; returns None where it ended before."""
    point = generator.choice(list(POINTS)) if generator.random() < 0.5 else "none"
    number = generator.randint(1, 2 * OFTEN.get(point, 60))
    process = subprocess.Popen(command(out, point, number), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        limit = seconds * generator.random() if point == "none" else 10 * seconds
        code = process.wait(timeout=max(1.0, limit))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return "any time"
    return point if code < 0 else None


def compare(expected: Path, other: Path) -> Iterator[str]:
    """Yields how the final tables differ, times aside."""
    yield from difference(expected, other)
    for name, key, table in zip(
        ("curves", "runs"), KEYS, tables.load_tables(expected), strict=True
    ):
        written = pd.read_parquet(other / f"{name}.parquet")
        if len(written) != len(table) or written.duplicated(key).any():
            yield f"{name}.parquet has {len(written)} rows, not {len(table)}, or some twice"
    if (other / "set_aside").exists():
        yield f"set aside: {sorted(path.name for path in (other / 'set_aside').iterdir())}"
