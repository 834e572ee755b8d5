"""Studies: each proposes the trials of an agent in an environment, one after the other.

A study is a generator: it yields a trial, and is sent the trial's value, of which more is better,
or None if a run of the trial was lost.

The guided study is optuna's tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kegl,
"Algorithms for Hyper-Parameter Optimization", 2011). Its first trials are those of a random search,
so that both searches share these runs and can be compared; the estimator proposes the later ones.
They depend on the sweep file and the earlier outcomes alone: an interrupted search takes the same
course again.
"""

import importlib
import itertools
from collections.abc import Generator, Iterator
from typing import Any

from rl_es import registry
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
Study = Generator[Variant, float | None, None]


def make_studies(env: str, entry: VariedEntry, startup: int) -> Iterator[Study]:
    """Yields the studies of an entry: a guided one per grid point if it has `random`.

    Args:
      env: label of the environment.
      entry: an entry of the sweep's agents.
      startup: random trials of each guided study before its first guided one.
    """
    if entry.random is None:
        yield _grid_study(entry)
        return
    labels: set[str] = set()
    for point in expand_variants(entry.model_copy(update={"random": None})):
        yield _parzen_study(env, entry, point, startup, labels)


def next_trial(study: Study, value: float | None) -> Variant | None:
    """Sends the last trial's value to a study; returns its next trial, None after the last."""
    try:
        return study.send(value)
    except StopIteration:
        return None


def _grid_study(entry: VariedEntry) -> Study:
    """Yields the variants of an entry, which do not depend on their values."""
    for variant in expand_variants(entry):  # noqa: UP028 (an iterator need not take values)
        yield variant


def _parzen_study(
    env: str, entry: VariedEntry, grid: Variant, startup: int, labels: set[str]
) -> Study:
    """Yields the trials of a tree-structured Parzen estimator over an entry's random settings.

    All trials have the settings of `grid`, a point of the entry's grid. Its other studies in this
    environment share the set `labels`; trials with equal settings share a label.
    """
    assert entry.random is not None
    optuna, space = import_optuna(), entry.random.settings
    seed = int(digest([entry.random.seed, env, grid.label])[:8], 16)
    sampler = optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for sample in itertools.islice(sample_settings(entry.random), startup):
        study.enqueue_trial({name: _encode(space[name], value) for name, value in sample.items()})
    label_by_sample: dict[str, str] = {}
    for _ in range(entry.random.samples):
        trial = study.ask()
        sample = {name: _suggest(trial, name, space[name]) for name in space}
        key = digest(sample)
        if key not in label_by_sample:
            label_by_sample[key] = label_variant(entry, grid.settings, sample, labels)
        value = yield Variant(label_by_sample[key], grid.settings | sample, grid.paths)
        if value is None:  # it ranks below every other
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)


def import_optuna() -> Any:
    """Imports and returns optuna.

    Raises:
      UserError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise UserError(f"tune: needs optuna ({registry.install_command('hpo')})") from None
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
