"""Studies: each proposes the trials of an agent in an environment, one after the other.

The guided study is optuna's tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kegl,
"Algorithms for Hyper-Parameter Optimization", 2011). Its first trials are those of a random search,
so that both searches share these runs and can be compared; the estimator proposes the later ones.
They depend on the sweep file and the earlier outcomes alone: an interrupted search takes the same
course again.
"""

import importlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rl_es.errors import UserError
from rl_es.sweep.cells import digest
from rl_es.sweep.schema import Distribution, VariedEntry
from rl_es.sweep.variants import (
    Variant,
    expand_variants,
    label_variant,
    round_sample,
    sample_settings,
)

STARTUP_TRIALS = 10  # random trials before the first guided one, optuna's default


@dataclass(frozen=True)
class Proposal:
    """A trial to run.

    Attributes:
      label: label of its runs; proposals of one study with equal settings share it.
      settings: the varied settings by name.
    """

    label: str
    settings: Mapping[str, Any]


class Study(Protocol):
    """A sequence of trials; each is proposed after the outcome of the one before is known."""

    def ask(self) -> Proposal | None:
        """Returns the next trial; None after the last."""
        ...

    def tell(self, value: float | None) -> None:
        """Records the last trial's value, of which more is better; None if a run was lost."""
        ...


class GridStudy:
    """The variants of an entry, one after the other, independent of their outcomes."""

    def __init__(self, entry: VariedEntry):
        """Starts before the first variant."""
        self._variants = expand_variants(entry)

    def ask(self) -> Proposal | None:
        """Returns the next variant; None after the last."""
        variant = next(self._variants, None)
        return variant and Proposal(variant.label, variant.settings)

    def tell(self, value: float | None) -> None:
        """Does nothing: later variants do not depend on the value."""


class ParzenStudy:
    """A tree-structured Parzen estimator over the random settings of an entry."""

    def __init__(self, env: str, entry: VariedEntry, grid: Variant, startup: int, labels: set[str]):
        """Starts a study.

        Args:
          env: label of the environment.
          entry: an entry with `random`.
          grid: a point of the entry's grid; all trials have its settings.
          startup: random trials before the first guided one.
          labels: labels of the entry's trials in this environment, shared with its other studies.

        Raises:
          UserError: optuna is not installed.
        """
        assert entry.random is not None
        self._optuna = import_optuna()
        self._entry, self._grid, self._labels = entry, grid.settings, labels
        self._label_by_sample: dict[str, str] = {}
        self._space = entry.random.settings
        self._remaining = entry.random.samples
        seed = int(digest([entry.random.seed, env, grid.label])[:8], 16)
        sampler = self._optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed)
        self._study = self._optuna.create_study(direction="maximize", sampler=sampler)
        for sample in itertools.islice(sample_settings(entry.random), startup):
            self._study.enqueue_trial(
                {name: _encode(self._space[name], value) for name, value in sample.items()}
            )
        self._trial: Any = None

    def ask(self) -> Proposal | None:
        """Returns the next trial; None after the last."""
        if not self._remaining:
            return None
        self._remaining -= 1
        self._trial = self._study.ask()
        sample = {
            name: _suggest(self._trial, name, distribution)
            for name, distribution in self._space.items()
        }
        key = digest(sample)
        if key not in self._label_by_sample:
            label = label_variant(self._entry, self._grid, sample, self._labels)
            self._label_by_sample[key] = label
        return Proposal(self._label_by_sample[key], self._grid | sample)

    def tell(self, value: float | None) -> None:
        """Records the value; a trial that lost a run ranks below every other."""
        if value is None:
            self._study.tell(self._trial, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(self._trial, value)


def make_studies(env: str, entry: VariedEntry, startup: int) -> Iterator[Study]:
    """Yields the studies of an entry: a guided one per grid point if it has `random`.

    Args:
      env: label of the environment.
      entry: an entry of the sweep's agents.
      startup: random trials of each guided study before its first guided one.
    """
    if entry.random is None:
        yield GridStudy(entry)
        return
    labels: set[str] = set()
    for point in expand_variants(entry.model_copy(update={"random": None})):
        yield ParzenStudy(env, entry, point, startup, labels)


def import_optuna() -> Any:
    """Imports and returns optuna.

    Raises:
      UserError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise UserError("tune: needs optuna (pip install 'rl_es[hpo]')") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _encode(distribution: Distribution, value: Any) -> Any:
    """Returns optuna's form of a value; a choice is encoded as its position."""
    return distribution.choice.index(value) if distribution.choice else value


def _suggest(trial: Any, name: str, distribution: Distribution) -> Any:
    if distribution.choice:
        positions = list(range(len(distribution.choice)))
        return distribution.choice[trial.suggest_categorical(name, positions)]
    low, high = distribution.uniform or distribution.log_uniform or (0.0, 1.0)
    is_log = distribution.log_uniform is not None
    return round_sample(trial.suggest_float(name, low, high, log=is_log))
