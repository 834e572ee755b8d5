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
from tests.reliability.door import POINTS
from tests.running import difference

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "seeds=3",
    "defaults.budget.env_steps=5e5",
    "environments.1.budget.env_steps=1e6",
    "environments.2.budget.env_steps=1e5",
)
# How often a point comes by in such a sweep, about: a kill is at a random one of these.
OFTEN = {"compile": 8, "tables": 1, "sums": 1, "figures": 1, "policy": 40}


KEYS = (["run_id", "generation"], ["run_id"])  # of a row of the curves, and of the runs


@dataclass
class Found:
    """What came of some runs that were killed.

    Attributes:
      seconds: of the sweep that was left alone.
      kills: how many there were, by the moment.
      wrong: what was not as it is to be, in words; empty where all is well.
    """

    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def command(out: Path, point: str = "none", number: int = 0) -> list[str]:
    """The command line of a run that ends itself at a point."""
    door = str(Path(__file__).with_name("door.py"))
    sets = [part for one in SETTINGS for part in ("--set", one)]
    return [
        sys.executable, door, point, str(number), "run", "sweeps/quickstart.yaml", *sets,
        "--out", str(out), "--checkpoint", "2", "--no-replays", "--quiet",
    ]  # fmt: skip


def trial(folder: Path, runs: int, kills: int, seed: int = 0) -> Iterator[Found]:
    """Runs a sweep so many times, each killed so often; yields what was found so far.

    Half of the kills are at a random time, half at a random call of a random point. A kill that
    comes after the end of a run does not count: another is tried.
    """
    chosen, found = random.Random(seed), Found()
    for name in ("first", "whole"):  # the first one fills the cache of compiled programs
        began = time.monotonic()
        subprocess.run(command(folder / name), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        found.seconds = time.monotonic() - began
    found.wrong += [f"left alone: {what}" for what in compare(folder / "whole", folder / "first")]
    for run in range(runs):
        out = folder / str(run)
        done = 0
        while done < kills:
            moment = kill(out, chosen, found.seconds)
            if moment is None:  # it came to its end: on with what is left of it
                for path in (out / "cells").glob("*.parquet"):
                    if chosen.random() < 0.5:
                        path.unlink()
                continue
            found.kills[moment] += 1
            done += 1
        ended = subprocess.run(command(out), cwd=ROOT, stdout=subprocess.DEVNULL)
        found.wrong += [f"run {run}: {what}" for what in compare(folder / "whole", out)]
        if ended.returncode:
            found.wrong.append(f"run {run}: exit code {ended.returncode}")
        yield found


def kill(out: Path, chosen: random.Random, seconds: float) -> str | None:
    """Starts the sweep and ends it at a random moment; None where it came to its end before."""
    point = chosen.choice(list(POINTS)) if chosen.random() < 0.5 else "none"
    number = chosen.randint(1, 2 * OFTEN.get(point, 60))
    process = subprocess.Popen(command(out, point, number), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        limit = seconds * chosen.random() if point == "none" else 10 * seconds
        code = process.wait(timeout=max(1.0, limit))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return "any time"
    return point if code < 0 else None


def compare(whole: Path, other: Path) -> Iterator[str]:
    """How the final tables differ, times aside."""
    yield from difference(whole, other)
    for name, key, table in zip(("curves", "runs"), KEYS, tables.load_tables(whole), strict=True):
        written = pd.read_parquet(other / f"{name}.parquet")
        if len(written) != len(table) or written.duplicated(key).any():
            yield f"{name}.parquet has {len(written)} rows, not {len(table)}, or some twice"
    if (other / "set_aside").exists():
        yield f"set aside: {sorted(path.name for path in (other / 'set_aside').iterdir())}"
