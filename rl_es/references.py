"""Reference scores of environments: what returns are normalised by, with where they come from.

The table has a row an environment; its columns are described in results/README.md. Any of them can
be an end of the scale of scores, as `FILE.csv:COLUMN`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es import tables
from rl_es.analysis import curves as alignment
from rl_es.analysis import variants
from rl_es.errors import UserError, did_you_mean
from rl_es.files import write_text
from rl_es.rollout.config import WrapperConfig

USUAL = ("ppo",)
RESERVED = {"env", "environment", "random", "untrained", "sweeps", "git_revisions", "date"}


def write(
    folders: Sequence[Path], out: Path, labels: Sequence[str], episodes: int, seed: int
) -> Path:
    """Writes the table of all environments of some results folders; returns its path.

    Args:
      folders: of results, which hold different runs.
      out: the file.
      labels: of agents, a column each: the mean final return over their runs; none: ppo, where it
        is.
      episodes: of uniformly random actions, in each environment.
      seed: of these.

    Raises:
      UserError: nothing fits; says what would.
    """
    if not folders:
        raise UserError("references: needs a results folder")
    if episodes < 2 or seed < 0:
        name, least = ("episodes", 2) if episodes < 2 else ("seed", 0)
        raise UserError(f"--{name}: must be at least {least}")
    curves, runs = variants.apart(*tables.load(*folders))
    known = sorted(set(runs["label"]))
    for label in labels:
        if label not in known:
            raise UserError(f"--label: no label '{label}' here{did_you_mean(label, known)}")
        if label in RESERVED:
            raise UserError(f"--label: '{label}' is a column of its own; give it another label")
    rows = list(_rows(curves, runs, labels or [n for n in USUAL if n in known], episodes, seed))
    write_text(out, pd.DataFrame(rows).to_csv(index=False))
    return out


def _rows(
    curves: pd.DataFrame, runs: pd.DataFrame, labels: Sequence[str], episodes: int, seed: int
) -> Iterator[Mapping[str, Any]]:
    from rl_es.training.platform import prepare

    prepare()
    final = alignment.final_returns(curves, runs)
    counted = runs.assign(final=final)[runs["status"].isin(alignment.COUNTED)]
    for env, own in counted.groupby("env"):
        worlds = set(own["environment"])
        if len(worlds) > 1:
            raise UserError(f"{env}: its runs are of environments with different settings")
        world = json.loads(worlds.pop())
        start = curves[(curves["env"] == env) & (curves["env_steps"] == 0)]
        # Runs of one seed and network start from one policy, evaluated on the same episodes.
        start = start.drop_duplicates(["seed", "return_mean"])
        row = {
            "env": env,
            **_told("random", _random(world, episodes, seed), "episodes"),
            **_told("untrained", start["return_mean"], "policies"),
        }
        for label in labels:
            found = own[own["label"] == label]
            row |= _told(label, found["final"], "runs")
            row |= {f"{label}_env_steps": round(found["env_steps"].mean()) if len(found) else None}
        yield row | {
            "environment": json.dumps(world, sort_keys=True),
            "random_seed": seed,
            "sweeps": " ".join(sorted(set(own["sweep"]))),
            "git_revisions": " ".join(sorted(set(own["git_revision"].dropna()))),
            "date": datetime.now(UTC).date().isoformat(),
        }


def _told(name: str, values: Any, of: str) -> dict[str, Any]:
    """Mean, standard error and number of some values."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else None
    mean = known.mean() if len(known) else None
    return {name: mean, f"{name}_standard_error": error, f"{name}_{of}": len(known)}


def _random(world: Mapping[str, Any], episodes: int, seed: int) -> np.ndarray:
    """Returns [E] of uniformly random actions."""
    import jax

    from rl_es.interfaces import Snapshot
    from rl_es.rollout.config import PolicyConfig
    from rl_es.rollout.evaluation import evaluator
    from rl_es.rollout.uniform import UniformActions
    from rl_es.training.task import Task
    from rl_es.training.workbench import replay_key

    wrappers = WrapperConfig(**world["wrappers"])
    task = Task(world["name"], world["options"], wrappers, PolicyConfig())
    env = task.evaluation_environment()
    run = evaluator(env, UniformActions(env.spec), episodes)
    return np.asarray(jax.jit(run)(replay_key(seed), Snapshot({})), np.float64)
