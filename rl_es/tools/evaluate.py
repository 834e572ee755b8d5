"""Saved policies evaluated anew: on fresh episodes where they were trained, and in native physics.

`evaluations.csv` has a row per policy and physics, of its folder's last evaluation; its columns are
described in results/README.md.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.text import Text

from rl_es import registry
from rl_es.errors import MAX_SEED, UserError, check_number
from rl_es.results.files import write_text
from rl_es.terminal import plain_console, plain_table
from rl_es.training.policy_manifest import IDENTITY, PolicyManifest, select_policies

MOST_EPISODES = 1_000_000
TRAINING, NATIVE = "training", "native"
HEADS = {TRAINING: "where it was trained", NATIVE: "native physics"}
MEASURES = ("return_mean", "return_std", "return_min", "return_max")
COLUMNS: tuple[str, ...] = (
    *IDENTITY,
    "stage",
    "physics",
    "simulator",
    "episodes",
    "evaluation_seed",
    *MEASURES,
)
Row = dict[str, Any]


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
    rows = list(_rows(policies, names, episodes, seed))
    path = folder / "evaluations.csv"
    write_text(path, _csv(rows))
    _show(rows)
    return path


def _rows(
    policies: Sequence[PolicyManifest], names: Sequence[str], episodes: int, seed: int
) -> Iterator[Row]:
    """Evaluates one policy after the other; those of these environments in both physics."""
    from rl_es.training.compilation import prepare_jax
    from rl_es.training.policies import PolicyLoader

    prepare_jax()
    loader, console = PolicyLoader(), Console(stderr=True)
    progress_policies = track(
        policies, "evaluating", console=console, transient=True, disable=not console.is_terminal
    )
    for policy in progress_policies:
        common = {name: policy.manifest[name] for name in IDENTITY} | {"stage": policy.path.stem}
        saved = loader.load(policy.path)
        ways: dict[str, tuple[str, Callable[[int, int], np.ndarray]]] = {
            TRAINING: (_environment_name(policy), saved.evaluate)
        }
        if policy.environment in names:
            ways[NATIVE] = (saved.evaluator.native.title, saved.evaluate_natively)
        for physics, (simulator, evaluate) in ways.items():
            returns = np.asarray(evaluate(episodes, seed), np.float64)
            summary = returns.mean(), returns.std(), returns.min(), returns.max()
            yield {
                **common,
                "physics": physics,
                "simulator": simulator,
                "episodes": episodes,
                "evaluation_seed": seed,
                **dict(zip(MEASURES, map(float, summary), strict=True)),
            }


def _environment_name(policy: PolicyManifest) -> str:
    """An environment with its options, such as `brax/swimmer (backend auto)`."""
    options = ", ".join(
        f"{name} {value}" for name, value in policy.manifest["environment"]["options"].items()
    )
    return f"{policy.environment} ({options})" if options else policy.environment


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _show(rows: Sequence[Row]) -> None:
    """Prints a table of runs, and one of labels over their runs."""
    console = plain_console()
    kinds = [kind for kind in (TRAINING, NATIVE) if any(row["physics"] == kind for row in rows)]
    heads = [HEADS[kind] for kind in kinds]
    runs = plain_table(("environment", "label", "seed", *heads), (3, 4))
    for (env, label, seed, _), group in _group_rows(rows, "env", "label", "seed", "run_id"):
        runs.add_row(Text(env), Text(label), str(seed), *_means(group, kinds))
    labels = plain_table(("environment", "label", "runs", *heads), (3, 4))
    for (env, label), group in _group_rows(rows, "env", "label"):
        count = len({row["run_id"] for row in group})
        labels.add_row(Text(env), Text(label), str(count), *_means(group, kinds))
    episodes = f"{rows[0]['episodes']:,} fresh episodes"
    for title, table in (
        (f"Runs: mean return over {episodes}", runs),
        ("Labels: mean over runs (their standard deviation)", labels),
    ):
        console.print(title, table, "", sep="\n")
    for kind in kinds:
        simulators = dict.fromkeys(row["simulator"] for row in rows if row["physics"] == kind)
        console.print(Text(f"{HEADS[kind]}: {'; '.join(simulators)}"))


def _means(rows: Sequence[Row], kinds: Sequence[str]) -> Iterator[str]:
    """The mean of the returns in each physics; of several runs with their standard deviation."""
    for kind in kinds:
        means = [row["return_mean"] for row in rows if row["physics"] == kind]
        spread = f" ({np.std(means, ddof=1):.1f})" if len(means) > 1 else ""
        yield f"{np.mean(means):.1f}{spread}" if means else "-"


def _group_rows(rows: Sequence[Row], *names: str) -> Iterator[tuple[tuple[Any, ...], list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    yield from groups.items()
