"""Results of training, in Python: tables, trained policies and figures.

Trained policies, in Python.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rl_es.analysis import results as analysis_results
from rl_es.analysis import summary
from rl_es.api.arguments import choice, existing_path, import_packages, whole_number
from rl_es.errors import MAX_SEED, UserError, brief, did_you_mean
from rl_es.results.files import folder_of_results
from rl_es.training import policies
from rl_es.training.compilation import prepare_jax
from rl_es.training.policies import SavedPolicy
from rl_es.training.policy_manifest import STAGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rl_es.training.policies import PolicyLoader, SavedPolicy

MOST_EPISODES = 1_000_000


def policy_loader() -> policies.PolicyLoader:
    """A loader of policies; those of one environment and network share their compiled programs.

    Raises:
      UserError: no agents or environments are known.
    """
    import_packages()
    prepare_jax()
    return policies.PolicyLoader()


def load_policy(manifest: str | Path) -> SavedPolicy:
    """The policy of a manifest, `policies/<run_id>/final.json` of a results folder.

    Raises:
      UserError: there is no such manifest, or it or its weights are damaged.
    """
    file = existing_path("load_policy: manifest", manifest)
    return policy_loader().load(file)


def evaluate(policy: SavedPolicy | str | Path, episodes: int = 100, seed: int = 0) -> np.ndarray:
    """Evaluates a trained policy, unperturbed, on fresh whole episodes.

    Args:
      policy: from `Results.policy` or `load_policy`, or the path of its manifest.
      episodes: how many (E).
      seed: a seed for the episodes, which are none of those seen in training.

    Returns:
      [E] undiscounted returns.

    Raises:
      UserError: an argument is wrong, or the path leads to no policy.
    """
    episodes = whole_number("evaluate: episodes", episodes, 1, MOST_EPISODES)
    seed = whole_number("evaluate: seed", seed, 0, MAX_SEED)
    if isinstance(policy, str | Path):
        policy = load_policy(policy)
    if not isinstance(policy, SavedPolicy):
        raise UserError(f"evaluate: policy: must be one that was saved, is {brief(policy)}")
    return policy.evaluate(episodes, seed)


MOST_REPLICATES = 1_000_000
_SHOWN = ["env", "label", "n", "final_mean", "ci_low", "ci_high", "env_steps_mean"]


class Results:
    """The runs of a results folder, as they were when it was read.

    Attributes:
      folder: the results folder.
    """

    def __init__(self, folder: str | Path, runs: Collection[str] | None = None):
        """Reads a results folder: its cells, or else its tables.

        Args:
          folder: what a sweep was run into, or a copy of its tables.
          runs: the run_id of the runs that are wanted; None: all.

        Raises:
          UserError: it holds no results, or damaged ones.
        """
        self.folder = existing_path("load: folder", folder)
        self._results = analysis_results.load(folder_of_results(self.folder), runs)

    @property
    def curves(self) -> pd.DataFrame:
        """One row for each evaluation of a run: `env`, `label`, `seed`, `return_mean`, ..."""
        return self._results.curves.copy(deep=False)

    @property
    def runs(self) -> pd.DataFrame:
        """One row for each run: `status`, `final_return`, `best_return`, `hyper.*`, ..."""
        return self._results.runs.copy(deep=False)

    @property
    def environments(self) -> list[str]:
        """The environments' labels, in natural order."""
        return self._results.environments

    @property
    def labels(self) -> list[str]:
        """The agents' labels, in the order of legends."""
        return list(self._results.shown)

    def summary(self) -> pd.DataFrame:
        """One row for each environment and label: mean final return, its 95 % interval, ...

        The columns are those of `summary.csv` (results/README.md).
        """
        return summary.summarise(self._results.curves, self._results.runs)

    def policy(
        self,
        env: str | None = None,
        label: str | None = None,
        *,
        seed: int | None = None,
        stage: str = "final",
    ) -> "SavedPolicy":
        """The trained policy of a run.

        Args:
          env: the environment's label; None: the only one.
          label: the agent's label; None: the only one.
          seed: the run's seed; None: the first.
          stage: final, or early and middle, which the first seed has.

        Raises:
          UserError: there is no such policy; the message says what there is.
        """
        runs = self._results.runs
        for column, wanted in (("env", env), ("label", label), ("seed", seed)):
            runs = runs[runs[column] == _one(column, wanted, list(runs[column].unique()))]
        choice("policy: stage", stage, STAGES)
        run = runs.iloc[0]
        manifest = self.folder / "policies" / run["run_id"] / f"{stage}.json"
        if not manifest.exists():
            name = f"{run['env']} / {run['label']} / seed {run['seed']}"
            raise UserError(f"{self.folder}: no {stage} policy of {name}, a {run['status']} run")
        return self._loader.load(manifest)

    @cached_property
    def _loader(self) -> "PolicyLoader":
        """One for all policies: those of one environment and network share compiled programs."""
        pass  # REFOLD

        return policy_loader()

    def plot(self, kind: str = "learning_curves", **options: Any) -> "Figure":
        """A figure of them; `rl_es.plot` says which, and what the options are."""
        return plot(self, kind, **options)

    def __repr__(self) -> str:
        """What and how much it is."""
        envs, labels = map(", ".join, (self.environments, self.labels))
        return f"<Results of {len(self._results.runs)} runs: {labels} on {envs}; {self.folder}>"

    def _repr_html_(self) -> str:
        """The summary, as a notebook shows it."""
        return self.summary()[_SHOWN].to_html(index=False)


def _one(column: str, wanted: Any, there: Sequence[Any]) -> Any:
    """The value of a column that is wanted; if that is None, the only one, or the first seed.

    Raises:
      UserError: no run has it, or there are several to choose from.
    """
    if wanted is None and (len(there) == 1 or column == "seed"):
        return min(there)
    if wanted is not None and wanted in there:
        return wanted
    if wanted is None:
        names = ", ".join(map(str, there[:12])) + (", ..." if len(there) > 12 else "")
        raise UserError(f"policy: {column}: needed, as there are several: {names}")
    near = did_you_mean(str(wanted), map(str, there))
    raise UserError(f"policy: {column}: no run has '{brief(wanted)}'{near}")


def load(folder: str | Path) -> Results:
    """The results of a folder that a sweep, or `train`, was run into, or of a copy of its tables.

    Raises:
      UserError: it holds no results, or damaged ones.
    """
    return Results(folder)


def plot(
    results: Results | str | Path,
    kind: str = "learning_curves",
    *,
    size: str = "auto",
    normalise: tuple[str, str] | None = None,
    reference: str | None = None,
    replicates: int | None = None,
) -> "Figure":
    """Draws a figure as the report and `figures` do; a notebook shows it.

    Args:
      results: results, or the folder that holds them.
      kind: learning_curves, final_returns, wall_clock, success, profiles, ...: all that
        `python run_benchmark.py figures --list` names for results.
      size: auto, as wide as the panels want; column, 3.25 inches; page, 6.75.
      normalise: the references that are 0 and 1 on the scale of scores, such as
        ("untrained", "best").
      reference: the label that others are compared with; None for the kind's own choice.
      replicates: replicates of the bootstrap; None for the usual number.

    Returns:
      A figure of matplotlib's: `figure.savefig("curves.pdf")` writes it.

    Raises:
      UserError: an argument is wrong, or there is nothing to draw of this kind.
    """
    from rl_es.analysis.drawing.figure_kinds import DEFAULT_OPTIONS
    from rl_es.analysis.drawing.layout import SIZES
    from rl_es.analysis.figures.catalogue import KINDS

    one = KINDS[choice("plot: kind", kind, KINDS)]
    sheet = SIZES[choice("plot: size", size, SIZES)]
    options = replace(DEFAULT_OPTIONS, sheet=sheet, reference=reference)
    if normalise is not None:
        if isinstance(normalise, str) or len(normalise) != 2:
            raise UserError(
                "plot: normalise: must be two references, such as ('untrained', 'best')"
            )
        options = replace(options, low=normalise[0], high=normalise[1])
    if replicates is not None:
        count = whole_number("plot: replicates", replicates, 1, MOST_REPLICATES)
        options = replace(options, replicates=count)
    found = (results if isinstance(results, Results) else load(results))._results
    subjects = one.where(found, options)
    if not len(subjects):
        raise UserError(f"plot: nothing to draw as '{kind}', which needs {one.needs}")
    return one.draw(found.within(subjects), options)
