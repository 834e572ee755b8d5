"""Reference scores of environments, by which returns are normalised, and their origin.

The table has a row per environment; its columns are described in results/README.md. Any of them can
be an end of the scale of scores, as `FILE.csv:COLUMN`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_es import registry
from rl_es.analysis import results
from rl_es.analysis.curves import COUNTED_STATUSES, final_returns
from rl_es.errors import MAX_SEED, UserError, check_number, did_you_mean, short_reason
from rl_es.results import tables, text_files
from rl_es.results.files import folder_of_results, write_text
from rl_es.training.policy_manifest import EnvironmentRecord

MOST_EPISODES = 1_000_000
# Columns that every table has, besides those of `random` and `untrained`.
OWN = ("env", "environment", "random_seed", "sweeps", "git_revisions", "date")


def write_references(
    folders: Sequence[Path], out: Path, labels: Sequence[str], episodes: int, seed: int
) -> Path:
    """Writes the table of all environments of some results folders; returns its path.

    Args:
      folders: of results, which hold different runs.
      out: the file.
      labels: each has a column with the mean final return of its runs; none: that of the agent that
        is the reference of scores, if it has runs.
      episodes: of uniformly random actions, in each environment.
      seed: of these.

    Raises:
      UserError: nothing fits; says what would.
    """
    if not folders:
        raise UserError("references: needs a results folder")
    check_number("--episodes", episodes, 2, MOST_EPISODES)
    check_number("--seed", seed, 0, MAX_SEED)
    curves, runs = results.separate_variants(*tables.load_tables(*map(folder_of_results, folders)))
    known_labels = sorted(set(runs["label"]))
    for label in labels:
        if label not in known_labels:
            raise UserError(f"--label: no label '{label}' here{did_you_mean(label, known_labels)}")
    _check_columns(labels)
    if not labels and (reference := registry.reference_agent("scores", known_labels)):
        labels = [reference]
    rows = list(_rows(curves, runs, labels, episodes, seed))
    write_text(out, pd.DataFrame(rows).to_csv(index=False))
    return out


def _check_columns(labels: Sequence[str]) -> None:
    """Refuses a label one of whose columns is there already, of another label or of the table."""
    columns = {*OWN, *_columns("random", "episodes"), *_columns("untrained", "policies")}
    for label in dict.fromkeys(labels):
        label_columns = {*_columns(label, "runs"), f"{label}_env_steps"}
        if repeated_columns := sorted(label_columns & columns):
            raise UserError(
                f"--label: the table has a column '{repeated_columns[0]}' already; "
                f"give '{label}' another label"
            )
        columns |= label_columns


def _rows(
    curves: pd.DataFrame, runs: pd.DataFrame, labels: Sequence[str], episodes: int, seed: int
) -> Iterator[Mapping[str, Any]]:
    from rl_es.training.compilation import prepare_jax

    prepare_jax()
    final = final_returns(curves, runs)
    final_runs = runs.assign(final=final)[runs["status"].isin(COUNTED_STATUSES)]
    for env, env_runs in final_runs.groupby("env"):
        made_of, world = _world(str(env), set(env_runs["environment"]))
        start = curves[(curves["env"] == env) & (curves["env_steps"] == 0)]
        # Runs of one seed and network start from one policy, evaluated on the same episodes. What
        # ran on another number of cores may differ by rounding.
        start = start.assign(digits=start["return_mean"].map("{:.4g}".format))
        start = start.drop_duplicates(["seed", "digits"])
        row = {
            "env": env,
            **_mean_and_error("random", _random(made_of, episodes, seed), "episodes"),
            **_mean_and_error("untrained", start["return_mean"], "policies"),
        }
        for label in labels:
            label_runs = env_runs[env_runs["label"] == label]
            row |= _mean_and_error(label, label_runs["final"], "runs")
            mean_steps = round(label_runs["env_steps"].mean()) if len(label_runs) else None
            row[f"{label}_env_steps"] = mean_steps
        yield row | {
            "environment": json.dumps(world, sort_keys=True),
            "random_seed": seed,
            "sweeps": " ".join(sorted(set(env_runs["sweep"]))),
            "git_revisions": " ".join(sorted(set(env_runs["git_revision"].dropna()))),
            "date": datetime.now(UTC).date().isoformat(),
        }


def _columns(name: str, of: str) -> tuple[str, str, str]:
    """Returns the columns of a mean: itself, its standard error and the number of values."""
    return name, f"{name}_standard_error", f"{name}_{of}"


def _mean_and_error(name: str, values: Any, of: str) -> dict[str, Any]:
    """Returns mean, standard error and number of the finite values."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    count = len(values)
    error = values.std(ddof=1) / np.sqrt(count) if count > 1 else None
    mean = values.mean() if count else None
    return dict(zip(_columns(name, of), (mean, error, count), strict=True))


def _world(env: str, texts: set[Any]) -> tuple[EnvironmentRecord, Any]:
    """Returns the only environment that the runs record, or refuses; and the same as plain data."""
    if len(texts) > 1:
        raise UserError(f"{env}: its runs are of environments with different settings")
    (text,) = texts
    try:
        world = text_files.loads_json(text)
        return text_files.validate(world, EnvironmentRecord), world
    except (TypeError, ValueError, RecursionError, UserError) as error:
        raise UserError(f"{env}: its runs do not say what it is ({short_reason(error)})") from None


def _random(made_of: EnvironmentRecord, episodes: int, seed: int) -> np.ndarray:
    """Plays uniformly random actions; returns the return [E] of each episode."""
    from rl_es.interfaces import Snapshot
    from rl_es.rollout.config import PolicyConfig
    from rl_es.rollout.evaluation import make_evaluator
    from rl_es.rollout.policy import UniformPolicy
    from rl_es.training.compilation import compile_function
    from rl_es.training.policies import replay_key
    from rl_es.training.task import Task

    task = Task.from_options(made_of.name, made_of.options, made_of.wrappers, PolicyConfig())
    env = task.evaluation_environment()
    run = make_evaluator(env, UniformPolicy(env.spec), episodes)
    inputs = replay_key(seed), Snapshot({})
    return np.asarray(compile_function(run, *inputs).call(*inputs), np.float64)
