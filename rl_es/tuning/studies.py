"""Studies: they propose the trials of an agent in an environment, one after the other.

The guided one is optuna's tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kegl,
"Algorithms for Hyper-Parameter Optimization", 2011). Its first trials are those of a random search,
so that both share these runs and can be compared; later ones are the estimator's. They depend on
the sweep file and the earlier outcomes alone: a search that was interrupted takes the same course.
"""

import importlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rl_es.errors import UserError
from rl_es.sweep.cells import digest
from rl_es.sweep.entries import Distribution, Variation
from rl_es.sweep.variants import Variant, labelled, rounded, samples, variants

STARTUP = 10  # random trials before the first guided one, as optuna has it


@dataclass(frozen=True)
class Proposal:
    """A trial to run.

    Attributes:
      label: of its runs; two proposals of one study share it where their settings are equal.
      settings: the varied settings by name.
    """

    label: str
    settings: Mapping[str, Any]


class Study(Protocol):
    """A sequence of trials; each is proposed once the outcome of the one before is known."""

    def ask(self) -> Proposal | None:
        """The next trial; None after the last."""
        ...

    def tell(self, value: float | None) -> None:
        """Takes the last trial's value, of which more is better; None if a run was lost."""
        ...


class Listed:
    """The variants of an entry, one after the other, whatever their outcomes are."""

    def __init__(self, entry: Variation):
        """Starts with the first."""
        self._left = variants(entry)

    def ask(self) -> Proposal | None:
        """The next variant."""
        found = next(self._left, None)
        return found and Proposal(found.label, found.settings)

    def tell(self, value: float | None) -> None:
        """Learns nothing."""


class Guided:
    """A tree-structured Parzen estimator over the random settings of an entry."""

    def __init__(self, env: str, entry: Variation, grid: Variant, startup: int, taken: set[str]):
        """Starts a study.

        Args:
          env: the environment's label.
          entry: with `random`.
          grid: a point of its grid, whose settings hold throughout.
          startup: random trials before the first guided one.
          taken: labels of the entry's other studies in this environment.

        Raises:
          UserError: optuna is not installed.
        """
        assert entry.random is not None
        self._optuna = required()
        self._entry, self._grid, self._taken = entry, grid.settings, taken
        self._labels: dict[str, str] = {}  # by settings
        self._space = entry.random.settings
        self._left = entry.random.samples
        seed = int(digest([entry.random.seed, env, grid.label])[:8], 16)
        sampler = self._optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed)
        self._study = self._optuna.create_study(direction="maximize", sampler=sampler)
        for sample in itertools.islice(samples(entry.random), startup):
            self._study.enqueue_trial(
                {name: _encoded(self._space[name], value) for name, value in sample.items()}
            )
        self._asked: Any = None

    def ask(self) -> Proposal | None:
        """The next trial."""
        if not self._left:
            return None
        self._left -= 1
        self._asked = self._study.ask()
        sample = {name: _suggested(self._asked, name, what) for name, what in self._space.items()}
        key = digest(sample)
        if key not in self._labels:
            self._labels[key] = labelled(self._entry, self._grid, sample, self._taken)
        return Proposal(self._labels[key], self._grid | sample)

    def tell(self, value: float | None) -> None:
        """Learns from the value; a trial that lost a run counts as worse than any other."""
        if value is None:
            self._study.tell(self._asked, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(self._asked, value)


def studies(env: str, entry: Variation, startup: int) -> Iterator[Study]:
    """An entry's studies in an environment: guided ones, one per grid point, if it is random."""
    if entry.random is None:
        yield Listed(entry)
        return
    taken: set[str] = set()
    for point in variants(entry.model_copy(update={"random": None})):
        yield Guided(env, entry, point, startup, taken)


def required() -> Any:
    """Optuna.

    Raises:
      UserError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise UserError("tune: needs optuna (pip install 'rl_es[hpo]')") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _encoded(what: Distribution, value: Any) -> Any:
    """A value as optuna holds it; a choice is held by its position."""
    return what.choice.index(value) if what.choice else value


def _suggested(trial: Any, name: str, what: Distribution) -> Any:
    if what.choice:
        return what.choice[trial.suggest_categorical(name, list(range(len(what.choice))))]
    low, high = what.uniform or what.log_uniform or (0.0, 1.0)
    return rounded(trial.suggest_float(name, low, high, log=what.log_uniform is not None))
