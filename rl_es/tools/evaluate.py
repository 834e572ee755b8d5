"""Saved policies evaluated anew: on fresh episodes where they were trained, and in native physics.

`evaluations.csv` has a row per policy and physics, of its folder's last evaluation; its columns are
described in results/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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

    from rl_es.training.policies import SavedPolicy

MOST_EPISODES = 1_000_000
TRAINING, NATIVE = "training", "native"
PASS = "pass_at_"
HEADS = {TRAINING: "where it was trained", NATIVE: "native physics"}


def evaluate_policies(
    folder: Path,
    env: str | None = None,
    label: str | None = None,
    episodes: int = 10,
    seed: int = 0,
    native: bool = False,
    stage: str = "final",
    pass_at: Sequence[int] = (),
    answers: int = 16,
    temperature: float = 1.0,
    success: float = 1.0,
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
      pass_at: numbers of sampled episodes, of which one has to succeed (the k of pass@k).
      answers: episodes that are sampled of each start, for `pass_at`.
      temperature: of sampling.
      success: return from which on an episode succeeds.

    Raises:
      UserError: nothing fits; says what would.
    """
    check_number("--episodes", episodes, 1, MOST_EPISODES)
    check_number("--seed", seed, 0, MAX_SEED)
    for k in pass_at:
        check_number("--pass-at", k, 1, MOST_EPISODES)
    if pass_at:
        check_number("--answers", answers, max(pass_at), MOST_EPISODES)
        check_number("--temperature", temperature, 0.01, 100)
    policies = select_policies(folder, stage, env, label)
    names = registry.native_names() if native else []
    if native and not any(policy.environment in names for policy in policies):
        environments = ", ".join(sorted({policy.environment for policy in policies}))
        raise UserError(
            f"--native: no native physics for {environments}; environments that have: "
            f"{', '.join(names)}"
        )
    import pandas as pd  # not before the policies are found

    sampled = SampledAnswers(tuple(pass_at), answers, temperature, success)
    evaluations = pd.DataFrame(_rows(policies, names, episodes, seed, sampled))
    path = folder / "evaluations.csv"
    write_text(path, evaluations.to_csv(index=False, na_rep="nan", lineterminator="\n"))
    _show(evaluations)
    return path


@dataclass(frozen=True)
class SampledAnswers:
    """How pass@k is measured; not at all without a k.

    Attributes:
      pass_at: the k.
      count: episodes of each start.
      temperature: of sampling.
      success: return from which on an episode succeeds.
    """

    pass_at: tuple[int, ...]
    count: int
    temperature: float
    success: float

    def measure(self, policy: SavedPolicy, starts: int, seed: int) -> dict[str, float]:
        """Returns the columns of a policy, at the starts that `evaluate` has with this seed."""
        if not self.pass_at:
            return {}
        from rl_es.rollout.sampling import pass_at

        returns = policy.sample_returns(starts, self.count, seed, self.temperature)
        successes = returns >= self.success
        settings = {name: getattr(self, name) for name in ("temperature", "success")}
        chances = {f"{PASS}{k}": pass_at(successes, k) for k in self.pass_at}
        return {"answers": self.count, **settings, **chances}


def _rows(
    policies: Sequence[PolicyManifest],
    names: Sequence[str],
    episodes: int,
    seed: int,
    sampled: SampledAnswers,
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
                **(sampled.measure(actor, episodes, seed) if physics == TRAINING else {}),
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
    chances = [name for name in evaluations if str(name).startswith(PASS)]
    heads = [HEADS[kind] for kind in kinds]
    heads += [f"pass@{str(name).removeprefix(PASS)}" for name in chances]
    right = tuple(range(3, 3 + len(heads)))
    runs = plain_table(("environment", "label", "seed", *heads), right)
    labels = plain_table(("environment", "label", "runs", *heads), right)
    for (env, label, seed, _), rows in evaluations.groupby(
        ["env", "label", "seed", "run_id"], sort=False
    ):
        runs.add_row(Text(env), Text(label), str(seed), *_means(rows, kinds, chances))
    for (env, label), rows in evaluations.groupby(["env", "label"], sort=False):
        count = rows["run_id"].nunique()
        labels.add_row(Text(env), Text(label), str(count), *_means(rows, kinds, chances))
    episodes = f"{evaluations['episodes'].iloc[0]:,} fresh episodes"
    for title, table in (
        (f"Runs: mean return over {episodes}", runs),
        ("Labels: mean over runs (their standard deviation)", labels),
    ):
        console.print(title, table, "", sep="\n")
    for kind in kinds:
        simulators = evaluations["simulator"][evaluations["physics"] == kind].unique()
        console.print(Text(f"{HEADS[kind]}: {'; '.join(simulators)}"))


def _means(rows: pd.DataFrame, kinds: Sequence[str], chances: Sequence[Any]) -> Iterator[str]:
    """Yields mean returns in each physics and pass@k, of several runs with standard deviations."""
    for kind in kinds:
        returns = rows["return_mean"][rows["physics"] == kind].to_numpy()
        yield _mean(returns, 1 if np.abs(returns).max(initial=0.0) >= 10 else 3)
    for name in chances:
        yield _mean(rows[name].dropna().to_numpy(), 3)


def _mean(values: np.ndarray, digits: int) -> str:
    """Returns a mean with the standard deviation of several values; a dash of none."""
    if not len(values):
        return "-"
    spread = f" ({np.std(values, ddof=1):.{digits}f})" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"
