"""Saved policies evaluated anew: on fresh episodes where they were trained, and in native physics.

`evaluations.csv` has a row per policy and physics, of its folder's last evaluation; its columns are
described in results/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.text import Text

from rl_es import registry
from rl_es.errors import MAX_SEED, UserError, check_number
from rl_es.results.files import write_text
from rl_es.terminal import plain_console, plain_table
from rl_es.training.policy_manifest import IDENTITY, PolicyManifest, select_policies

if TYPE_CHECKING:
    import pandas as pd

MOST_EPISODES = 1_000_000
TRAINING, NATIVE = "training", "native"
HEADS = {TRAINING: "where it was trained", NATIVE: "native physics"}


def evaluate_policies(
    folder: Path,
    env: str | None = None,
    label: str | None = None,
    episodes: int = 10,
    seed: int = 0,
    native: bool = False,
    stage: str = "final",
) -> Path:
    """Evaluates what fits, prints it, and writes it into the folder; returns the file.

    Args:
      folder: the results folder.
      env: only policies of the environment of this name or label.
      label: only policies of the agent of this label.
      episodes: of each policy, and of each physics.
      seed: of the episodes, the same ones for all policies.
      native: in native physics as well, where an environment has it.
      stage: early, middle or final.

    Raises:
      UserError: nothing fits; says what would.
    """
    check_number("--episodes", episodes, 1, MOST_EPISODES)
    check_number("--seed", seed, 0, MAX_SEED)
    policies = select_policies(folder, stage, env, label)
    names = registry.native_names() if native else []
    if native and not any(policy.environment in names for policy in policies):
        environments = ", ".join(sorted({policy.environment for policy in policies}))
        raise UserError(
            f"--native: no native physics for {environments}; environments that have: "
            f"{', '.join(names)}"
        )
    import pandas as pd  # not before the policies are found

    evaluations = pd.DataFrame(_rows(policies, names, episodes, seed))
    path = folder / "evaluations.csv"
    write_text(path, evaluations.to_csv(index=False, na_rep="nan", lineterminator="\n"))
    _show(evaluations)
    return path


def _rows(
    policies: Sequence[PolicyManifest], names: Sequence[str], episodes: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Evaluates one policy after the other; those of these environments in both physics."""
    from rl_es.training.compilation import prepare_jax
    from rl_es.training.policies import PolicyLoader

    prepare_jax()
    loader, console = PolicyLoader(), Console(stderr=True)
    for policy in track(
        policies, "evaluating", console=console, transient=True, disable=not console.is_terminal
    ):
        actor = loader.load(policy.path)
        simulators: dict[str, tuple[str, Callable[[int, int], np.ndarray]]] = {
            TRAINING: (_environment_name(policy), actor.evaluate)
        }
        if policy.environment in names:
            simulators[NATIVE] = (actor.evaluator.native.title, actor.evaluate_natively)
        for physics, (simulator, evaluate) in simulators.items():
            returns = np.asarray(evaluate(episodes, seed), np.float64)
            yield {
                **{name: policy.manifest[name] for name in IDENTITY},
                "stage": policy.path.stem,
                "physics": physics,
                "simulator": simulator,
                "episodes": episodes,
                "evaluation_seed": seed,
                "return_mean": float(returns.mean()),
                "return_std": float(returns.std()),
                "return_min": float(returns.min()),
                "return_max": float(returns.max()),
            }


def _environment_name(policy: PolicyManifest) -> str:
    """Returns an environment with its options, such as `brax/swimmer (backend auto)`."""
    options = policy.manifest["environment"]["options"].items()
    text = ", ".join(f"{name} {value}" for name, value in options)
    return f"{policy.environment} ({text})" if text else policy.environment


def _show(evaluations: pd.DataFrame) -> None:
    """Prints a table of runs, and one of labels over their runs."""
    console = plain_console()
    kinds = [kind for kind in (TRAINING, NATIVE) if (evaluations["physics"] == kind).any()]
    heads = [HEADS[kind] for kind in kinds]
    runs = plain_table(("environment", "label", "seed", *heads), (3, 4))
    labels = plain_table(("environment", "label", "runs", *heads), (3, 4))
    for (env, label, seed, _), rows in evaluations.groupby(
        ["env", "label", "seed", "run_id"], sort=False
    ):
        runs.add_row(Text(env), Text(label), str(seed), *_means(rows, kinds))
    for (env, label), rows in evaluations.groupby(["env", "label"], sort=False):
        count = rows["run_id"].nunique()
        labels.add_row(Text(env), Text(label), str(count), *_means(rows, kinds))
    episodes = f"{evaluations['episodes'].iloc[0]:,} fresh episodes"
    for title, table in (
        (f"Runs: mean return over {episodes}", runs),
        ("Labels: mean over runs (their standard deviation)", labels),
    ):
        console.print(title, table, "", sep="\n")
    for kind in kinds:
        simulators = evaluations["simulator"][evaluations["physics"] == kind].unique()
        console.print(Text(f"{HEADS[kind]}: {'; '.join(simulators)}"))


def _means(rows: pd.DataFrame, kinds: Sequence[str]) -> Iterator[str]:
    """Yields the mean return in each physics; of several runs with their standard deviation."""
    for kind in kinds:
        means = rows["return_mean"][rows["physics"] == kind].to_numpy()
        spread = f" ({np.std(means, ddof=1):.1f})" if len(means) > 1 else ""
        yield f"{np.mean(means):.1f}{spread}" if len(means) else "-"
