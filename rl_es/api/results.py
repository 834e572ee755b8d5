"""Results of training in Python: tables, trained policies and figures."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pydantic

from rl_es.analysis import sweep_tables
from rl_es.analysis.results import load_results as load_tables
from rl_es.api.arguments import (
    choice,
    existing_path,
    import_packages,
    plain_value,
    whole_number,
)
from rl_es.errors import (
    MAX_SEED,
    ConfigError,
    UserError,
    brief,
    did_you_mean,
    explain_validation,
    short_traceback,
)
from rl_es.results.figure_settings import FigureSettings
from rl_es.results.files import folder_of_results
from rl_es.training.compilation import prepare_jax
from rl_es.training.policies import PolicyLoader, SavedPolicy
from rl_es.training.policy_manifest import STAGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_EPISODES = 1_000_000


def policy_loader() -> PolicyLoader:
    """Returns a loader of policies; those of one environment and network share compiled programs.

    Raises:
      UserError: no agents or environments are known.
    """
    import_packages()
    prepare_jax()
    return PolicyLoader()


@short_traceback
def load_policy(manifest: str | Path) -> SavedPolicy:
    """Returns the policy of a manifest, `policies/<run_id>/final.json` of a results folder.

    Raises:
      UserError: there is no such manifest, or it or its weights are damaged.
    """
    file = existing_path("load_policy: manifest", manifest)
    return policy_loader().load(file)


@short_traceback
def evaluate(policy: SavedPolicy | str | Path, episodes: int = 100, seed: int = 0) -> np.ndarray:
    """Evaluates a trained policy, unperturbed, on fresh whole episodes.

    Args:
      policy: from `Results.policy` or `load_policy`, or the path of its manifest.
      episodes: number of episodes (E).
      seed: seed of the episodes, which differ from those of training.

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
_SUMMARY_COLUMNS = ["env", "label", "n", "final_mean", "ci_low", "ci_high", "env_steps_mean"]


class Results:
    """The runs of a results folder at the time when it was read.

    Attributes:
      folder: Results folder.
    """

    def __init__(self, folder: str | Path, runs: Collection[str] | None = None):
        """Reads a results folder: its cells, or else its tables.

        Args:
          folder: the results folder of a sweep, or a copy of its tables.
          runs: the `run_id` of the runs to read; None: all.

        Raises:
          UserError: the folder holds no results, or damaged ones.
        """
        self.folder = existing_path("load: folder", folder)
        self._results = load_tables(folder_of_results(self.folder), runs)

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
        """Labels of the environments, in natural order."""
        return self._results.environments

    @property
    def labels(self) -> list[str]:
        """Labels of the agents, in the order of legends."""
        return list(self._results.legend)

    def summary(self) -> pd.DataFrame:
        """Returns one row for each environment and label: mean final return, its 95 % interval, ...

        The columns are those of `summary.csv` (results/README.md).
        """
        return sweep_tables.summarise(self._results.curves, self._results.runs)

    @short_traceback
    def policy(
        self,
        env: str | None = None,
        label: str | None = None,
        *,
        seed: int | None = None,
        stage: str = "final",
    ) -> SavedPolicy:
        """Returns the trained policy of a run.

        Args:
          env: the environment's label; None: the only one.
          label: the agent's label; None: the only one.
          seed: the run's seed; None: the first.
          stage: final, or early and middle, which the first seed has.

        Raises:
          UserError: there is no such policy; the message names the valid choices.
        """
        runs = self._results.runs
        for column, value in (("env", env), ("label", label), ("seed", seed)):
            runs = runs[runs[column] == _select(column, value, list(runs[column].unique()))]
        choice("policy: stage", stage, STAGES)
        run = runs.iloc[0]
        manifest = self.folder / "policies" / run["run_id"] / f"{stage}.json"
        if not manifest.exists():
            name = f"{run['env']} / {run['label']} / seed {run['seed']}"
            raise UserError(f"{self.folder}: no {stage} policy of {name}, a {run['status']} run")
        return self._loader.load(manifest)

    @cached_property
    def _loader(self) -> PolicyLoader:
        """The loader of all policies, which share compiled programs."""
        return policy_loader()

    @short_traceback
    def plot(self, kind: str = "learning_curves", **options: Any) -> "Figure":
        """Draws a figure of these results; `rl_es.plot` describes the kinds and the options."""
        return plot(self, kind, **options)

    def __repr__(self) -> str:
        """Returns the number of runs, the labels, the environments and the folder."""
        envs, labels = map(", ".join, (self.environments, self.labels))
        return f"<Results of {len(self._results.runs)} runs: {labels} on {envs}; {self.folder}>"

    def _repr_html_(self) -> str:
        """Returns the summary as HTML, for notebooks."""
        return self.summary()[_SUMMARY_COLUMNS].to_html(index=False)


def _select(column: str, value: Any, choices: Sequence[Any]) -> Any:
    """Returns `value`, which has to be a choice; for None the only choice, or the first seed."""
    if value is None and (len(choices) == 1 or column == "seed"):
        return min(choices)
    if value is not None and value in choices:
        return value
    if value is None:
        names = ", ".join(map(str, choices[:12])) + (", ..." if len(choices) > 12 else "")
        raise UserError(f"policy: {column}: needed, as there are several: {names}")
    near = did_you_mean(str(value), map(str, choices))
    raise UserError(f"policy: {column}: no run has '{brief(value)}'{near}")


@short_traceback
def load(folder: str | Path) -> Results:
    """Reads the results folder of a sweep or of `train`, or a copy of its tables.

    Raises:
      UserError: the folder holds no results, or damaged ones.
    """
    return Results(folder)


@short_traceback
def plot(
    results: Results | str | Path,
    kind: str = "learning_curves",
    *,
    size: str = "auto",
    normalise: tuple[str, str] | None = None,
    reference: str | None = None,
    replicates: int | None = None,
    labels: Sequence[str] | None = None,
    environments: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    colours: Mapping[str, str] | None = None,
    title: str | None = None,
    x_limits: tuple[float, float] | None = None,
    x_scale: str | None = None,
    width: float | None = None,
    height: float | None = None,
    caption: bool | None = None,
    legend: str | None = None,
    style: str | Path | None = None,
) -> "Figure":
    """Draws a figure as the report and `figures` do; a notebook shows it.

    Args:
      results: results, or their folder.
      kind: learning_curves, final_returns, wall_clock, success, profiles, ...: all that
        `rl_es figures --list` names for results.
      size: auto: by the number of panels; column: 3.25 inches; page: 6.75 inches.
      normalise: the references that are 0 and 1 on the scale of scores, such as
        ("untrained", "best").
      reference: the label that others are compared with; None for the kind's own choice.
      replicates: replicates of the bootstrap; None for the usual number.
      labels: labels to draw, in this order. For this and what follows, None leaves it as the
        sweep's `figures` has it.
      environments: environments to draw, in this order.
      rename: new names of labels and environments, such as {"open_es": "OpenAI-ES"}.
      colours: colours of labels, such as {"open_es": "#0072B2"}.
      title: the title above the figure.
      x_limits: the ends of the x axes.
      x_scale: "linear" or "log", for kinds of curves.
      width: inches, instead of the size's.
      height: inches, with the legend and the caption.
      caption: False for a figure without the notes under its panels.
      legend: "none" for a figure without the legend.
      style: a matplotlib style file, above the suite's style.

    Returns:
      A matplotlib figure: `figure.savefig("curves.pdf")` writes it.

    Raises:
      UserError: an argument is wrong, or there is nothing to draw of this kind.
    """
    from rl_es.analysis.adaptation import adapt, check_names
    from rl_es.analysis.drawing import DEFAULT_OPTIONS, SHEETS
    from rl_es.analysis.figures.catalogue import KINDS

    figure = KINDS[choice("plot: kind", kind, KINDS)]
    size = choice("plot: size", size, SHEETS)
    settings = _figure_settings(
        labels=labels,
        environments=environments,
        rename=rename,
        colours=colours,
        titles=None if title is None else {kind: title},
        x_limits=None if x_limits is None else {kind: x_limits},
        x_scales=None if x_scale is None else {kind: x_scale},
        size=None if size == "auto" else size,
        width=width,
        height=height,
        caption=caption,
        legend=legend,
        style=style,
    )
    options = replace(DEFAULT_OPTIONS, settings=settings, reference=reference)
    if normalise is not None:
        if isinstance(normalise, str) or len(normalise) != 2:
            example = "('untrained', 'best')"
            raise UserError(f"plot: normalise: must be two references, such as {example}")
        options = replace(options, low=normalise[0], high=normalise[1])
    if replicates is not None:
        count = whole_number("plot: replicates", replicates, 1, MOST_REPLICATES)
        options = replace(options, replicates=count)
    tables = (results if isinstance(results, Results) else load(results))._results
    check_names([tables], settings, "plot")
    tables, options = adapt(tables, options)
    subjects = figure.subjects(tables, options)
    if not len(subjects):
        raise UserError(f"plot: nothing to draw as '{kind}', which needs {figure.needs}")
    return figure.draw_figure(tables.within(subjects), options)


def _figure_settings(**values: Any) -> FigureSettings:
    """Returns the settings of figures that are not None.

    Raises:
      UserError: one has a value that it cannot have.
    """
    try:
        content = {
            name: plain_value(value, (name,)) for name, value in values.items() if value is not None
        }
        return FigureSettings.model_validate(content)
    except pydantic.ValidationError as error:
        raise UserError(f"plot: {explain_validation(error, FigureSettings)}") from None
    except ConfigError as problem:
        raise UserError(f"plot: {problem}") from None
