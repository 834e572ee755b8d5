"""Which policies of a results folder are filmed. Nothing here loads jax."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rl_es.errors import UserError, did_you_mean
from rl_es.files.naming import folder_of_results
from rl_es.training.saved import STAGES, Saved, saved

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"


def every(folder: Path) -> list[Saved]:
    """Every saved policy of a results folder.

    Raises:
      UserError: there is none.
    """
    folder_of_results(folder)
    found = [policy for stage in STAGES for policy in saved(folder, stage)]
    if not found:
        raise UserError(f"{folder}: no policies here (no policies/*/final.json)")
    return found


def final_returns(runs: pd.DataFrame, env: str) -> pd.Series[float]:
    """Mean final return of the finished runs of each label, the highest first."""
    finished = runs[(runs["env"] == env) & (runs["status"] == "finished")]
    means = finished.groupby("label")["final_return"].mean().dropna()
    return means.sort_values(ascending=False, kind="stable")


def shown(policies: Iterable[Saved], env: str, label: str) -> dict[str, Saved]:
    """By stage, the policies of a seed: of those with the most stages, the first."""
    seeds: dict[int, dict[str, Saved]] = defaultdict(dict)
    for one in policies:
        if (one.manifest["env"], one.manifest["label"]) == (env, label):
            seeds[one.manifest["seed"]][one.path.stem] = one
    best = min(seeds, key=lambda seed: (-len(seeds[seed]), seed), default=None)
    return {} if best is None else in_order(seeds[best])


def in_order(policies: Mapping[str, Saved]) -> dict[str, Saved]:
    """Early before middle before final."""
    return {stage: policies[stage] for stage in STAGES if stage in policies}


def pick(
    folder: Path,
    env: str | None,
    label: str | None,
    agent: str | None,
    seed: int,
    stage: str,
) -> tuple[dict[str, Saved], str]:
    """The policies asked for, by stage, and a remark on the choice, empty for none.

    Args:
      folder: the results folder.
      env: the environment's name or label; None where there is only one.
      label: the agent's label; None for the one with the highest final return.
      agent: the agent's name, where no label is given.
      seed: the run's.
      stage: one of `STAGES`, or `ALL` for those that there are.

    Raises:
      UserError: nothing fits, or more than one run; says what there is.
    """
    found = every(folder)
    env = _only(folder, found, env)
    found = [one for one in found if one.manifest["env"] == env]
    label, said = _label(folder, found, env, label, agent)
    stages = _stages(folder, found, env, label, seed)
    what = _named(env, label, seed)
    if stage == ALL:
        lacking = [name for name in STAGES if name not in stages]
        if lacking:
            said += f"\nno {' or '.join(lacking)} policy of {what}: only the first seed has all"
        return stages, said.strip()
    if stage not in stages:
        there = ", ".join(stages)
        raise UserError(f"{folder}: no {stage} policy of {what}; there is: {there}")
    return {stage: stages[stage]}, said


def _named(env: str, label: str, seed: int) -> str:
    return f"'{env} / {label} / seed {seed}'"


def _only(folder: Path, found: Sequence[Saved], env: str | None) -> str:
    """The environment asked for, or the only one."""
    there = sorted({one.manifest["env"] for one in found})
    if env is None:
        if len(there) > 1:
            raise UserError(f"{folder}: several environments, choose --env: {', '.join(there)}")
        return there[0]
    if env not in there:
        raise UserError(f"{folder}: no policy of environment '{env}'{did_you_mean(env, there)}")
    return env


def _label(
    folder: Path, found: Sequence[Saved], env: str, label: str | None, agent: str | None
) -> tuple[str, str]:
    """The label asked for, or else the best, and a remark on the choice."""
    if label is None:
        return _best(folder, found, env, agent)
    if agent is not None:
        raise UserError("--label and --agent: give one of them")
    labels = {one.manifest["label"] for one in found}
    if label not in labels:
        raise UserError(f"{folder}: no policy of label '{label}'{did_you_mean(label, labels)}")
    return label, ""


def _stages(
    folder: Path, found: Sequence[Saved], env: str, label: str, seed: int
) -> dict[str, Saved]:
    """The policies of a run, by stage."""
    runs: dict[str, dict[str, Saved]] = defaultdict(dict)
    for one in found:
        if (one.manifest["label"], one.manifest["seed"]) == (label, seed):
            runs[one.manifest["run_id"]][one.path.stem] = one
    what = _named(env, label, seed)
    if len(runs) > 1:
        raise UserError(f"{folder}: several runs of {what}: {', '.join(sorted(runs))}")
    if not runs:
        raise UserError(f"{folder}: no policy of {what}{_reason(folder, found, env, label, seed)}")
    (stages,) = runs.values()
    return in_order(stages)


def _best(folder: Path, found: Sequence[Saved], env: str, agent: str | None) -> tuple[str, str]:
    """The label with the highest final return of an environment, of one agent or of all."""
    agents = {one.manifest["label"]: one.manifest["agent"] for one in found}
    if agent is not None:
        if agent not in agents.values():
            hint = did_you_mean(agent, set(agents.values()))
            raise UserError(f"{folder}: no policy of agent '{agent}'{hint}")
        agents = {label: own for label, own in agents.items() if own == agent}
    if len(agents) == 1:
        return next(iter(agents)), ""
    means = final_returns(_runs(folder), env)
    means = means[means.index.isin(list(agents))]
    if means.empty:
        raise UserError(f"{folder}: no run is finished, choose --label: {', '.join(agents)}")
    best = str(means.index[0])
    return best, f"{env}: {best}, the highest mean final return ({means.iloc[0]:.1f})"


def _reason(folder: Path, found: Sequence[Saved], env: str, label: str, seed: int) -> str:
    """Why a run has no policy: its status, or the seeds that there are."""
    if any(folder.glob("cells/*.parquet")):
        runs = _runs(folder)
        own = runs[(runs["env"] == env) & (runs["label"] == label) & (runs["seed"] == seed)]
        if len(own) and own["status"].iloc[0] != "finished":
            why = own["reason"].iloc[0]
            said = f" ({why})" if isinstance(why, str) else ""
            return f": it is {own['status'].iloc[0]}{said}"
    seeds = sorted({one.manifest["seed"] for one in found if one.manifest["label"] == label})
    return f"; seeds: {', '.join(map(str, seeds))}"


def _runs(folder: Path) -> pd.DataFrame:
    from rl_es import tables

    return tables.load(folder)[1]
