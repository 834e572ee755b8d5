"""Results folders with synthetic curves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es.results import tables
from rl_es.sweep.cells import digest

REASON = "`lr` | <b>too large</b>\n$x$"
Ends = dict[tuple[str, str, int], str]


def write_run(
    folder: Path, env: str, label: str, seed: int, *, agent: str = "", **changes: Any
) -> None:
    """Writes a cell: a curve that rises towards 100 in steps of about 1,000.

    `changes` are values of the run's record, and `sweep`, `hyper`, `lanes`, `evaluations`, and in
    place of the curve's own `returns` [11] and `centers` [11] of lists.
    """
    sweep, lanes = changes.pop("sweep", "demo"), changes.pop("lanes", 1)
    hyper = changes.pop("hyper", {"lr": 0.1})
    evaluations = changes.pop("evaluations", 11)
    own_returns, centers = changes.pop("returns", None), changes.pop("centers", [None] * 11)
    run_id = changes.pop("run_id", digest([sweep, env, label, seed, sorted(hyper.items())]))
    random = np.random.default_rng([seed, len(label), len(env)])
    steps = np.arange(11) * (1_000 + 7 * seed)
    returns = 100 * (1 - np.exp(-steps / 4_000)) + random.normal(0, 5, 11)
    returns = returns if own_returns is None else own_returns
    rows = [
        {
            "generation": 10 * place,
            "episodes": 640 * place,
            "env_steps": int(steps[place]),
            "wall_seconds": 2.0 * place,
            "lanes": lanes,
            "compile_seconds": 3.0,
            "return_mean": float(returns[place]),
            "center": centers[place],
        }
        for place in range(evaluations)
    ]
    last = rows[-1] if rows else {}
    record = {
        "status": "finished",
        "final_return": last.get("return_mean"),
        "env_steps": last.get("env_steps"),
        "versions": '{"jax": "0.9.0"}',
        "device": "cpu",
        **changes,
    }
    identity = dict(sweep=sweep, run_id=run_id, env=env, label=label, seed=seed)
    identity["agent"] = agent or label
    tables.write_cell(folder / "cells" / f"{run_id}.parquet", identity, hyper, rows, record)


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Path]:
    """Makes a results folder; `ends` gives some (env, label, seed) a status other than finished."""

    def make(
        envs: Sequence[str] = ("cartpole", "pendulum"),
        labels: Sequence[str] = ("eggroll", "pes"),
        seeds: int = 3,
        ends: Ends | None = None,
        **changes: Any,
    ) -> Path:
        folder = tmp_path / "demo"
        for env in envs:
            for label in labels:
                for seed in range(seeds):
                    status = (ends or {}).get((env, label, seed), "finished")
                    run_changes = dict(changes, status=status)
                    if status == "failed":
                        run_changes |= {"reason": REASON, "evaluations": 0}
                    elif status == "diverged":
                        run_changes |= {"reason": "not finite", "evaluations": 4}
                    elif status == "running":
                        run_changes |= {"evaluations": 6, "final_return": None}
                    write_run(folder, env, label, seed, **run_changes)
        return folder

    return make


@pytest.fixture
def add_run() -> Callable[..., None]:
    """Adds one run to a folder: `write_run`."""
    return write_run
