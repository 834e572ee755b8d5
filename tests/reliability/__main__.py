"""Runs the trials and writes `docs/reliability.md`: `python -m tests.reliability [PART ...]`.

The parts are kills, damage, cluster, inputs and memory; by default all run. The outcome of each is
stored in `docs/reliability.json`, so that parts can be run one at a time.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.reliability.page import make_page

ROOT = Path(__file__).parents[2]
OUTCOMES = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
RUNS, KILLS = 10, 10

Part = Callable[[Path], dict[str, Any]]


def kills(folder: Path) -> dict[str, Any]:
    """Kills a sweep of the quickstart's shape again and again."""
    from tests.reliability import kills

    outcome = kills.Outcome()
    for run, outcome in enumerate(kills.trial(folder, RUNS, KILLS)):
        kills_so_far = outcome.kills.total()
        print(f"run {run + 1} of {RUNS}: {kills_so_far} kills, {outcome.wrong}", flush=True)
    return {
        "seconds": round(outcome.seconds),
        "runs": RUNS,
        "kills": dict(outcome.kills.most_common()),
        "wrong": outcome.wrong,
    }


def damage(folder: Path) -> dict[str, Any]:
    """Cuts and alters every file of several kinds of results folders."""
    from tests.reliability import damage

    for number, arguments in enumerate(damage.COMMANDS):
        damage.make(folder / str(number), arguments)
    counts, missed = damage.trial(folder)
    return {"files": counts, "wrong": missed}


def cluster(folder: Path) -> dict[str, Any]:
    """Runs a sweep on a Ray cluster that loses a worker and a node, and in two shards."""
    from tests.reliability import cluster

    broken, wrong = cluster.trial(folder)
    wrong += cluster.in_shards(folder)
    return {"killed": broken.killed, "removed": broken.removed, "wrong": wrong}


def inputs(folder: Path) -> dict[str, Any]:
    """Runs the tests of malformed inputs, written by hand and generated."""
    from tests.reliability import inputs

    counts, properties, wrong = inputs.trial(folder)
    return {"inputs": counts, "properties": properties, "wrong": wrong}


def memory(folder: Path) -> dict[str, Any]:
    """Runs 200 cells in one process."""
    from tests.reliability import memory

    resident = memory.trial(folder)
    first, most = resident[19], max(resident[20:])
    wrong = ["it grows by more than 10 %"] if most > 1.1 * first else []
    return {"cells": len(resident), "after_20": first, "most": most, "wrong": wrong}


PARTS: dict[str, Part] = {
    "kills": kills,
    "damage": damage,
    "cluster": cluster,
    "inputs": inputs,
    "memory": memory,
}


def main(names: list[str]) -> int:
    """Runs the named parts; returns 1 where an outcome is wrong."""
    outcomes = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    for name in names or PARTS:
        folder, start = Path(tempfile.mkdtemp(prefix="rl_es_trial_")), time.monotonic()
        outcomes[name] = PARTS[name](folder)
        outcomes[name]["took"] = round(time.monotonic() - start)
        outcomes[name]["on"] = f"{os.cpu_count()} cores, {platform.machine()}, jax {version('jax')}"
        shutil.rmtree(folder)
        print(f"{name}: {outcomes[name]}", flush=True)
        OUTCOMES.write_text(json.dumps(outcomes, indent=2) + "\n")
        PAGE.write_text(make_page(outcomes))
    return int(any(part["wrong"] for part in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
