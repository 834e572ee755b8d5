"""A guided search: rounds of trials, each an ordinary run of cells in one results folder.

Environments come one after the other. A round holds the next trial of every study of the
environment, with all seeds; trials that share a program are compiled once.

`trials.json`: which trials a guided search ran, in order, since no sweep file says it.

Studies: they propose the trials of an agent in an environment, one after the other.

The guided one is optuna's tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kegl,
"Algorithms for Hyper-Parameter Optimization", 2011). Its first trials are those of a random search,
so that both share these runs and can be compared; later ones are the estimator's. They depend on
the sweep file and the earlier outcomes alone: a search that was interrupted takes the same course.
"""

import importlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rl_es.errors import UserError
from rl_es.results import text_files
from rl_es.results.text_files import FileModel
from rl_es.sweep import execution
from rl_es.sweep.cells import Cell, digest, expand_cells, group_cells, matching_agents
from rl_es.sweep.execution import stop_on_signal
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.progress import Progress
from rl_es.sweep.queue import (
    Compile,
    GroupQueue,
    PlacedGroup,
    compile_in_background,
    place_groups,
    report_waiting,
)
from rl_es.sweep.schema import AgentEntry, Distribution, EnvironmentEntry, Sweep, VariedEntry
from rl_es.sweep.store import Store, refresh_cell
from rl_es.sweep.variants import (
    Variant,
    expand_variants,
    label_variant,
    round_sample,
    sample_settings,
)
from rl_es.training.compilation import Program, prepare_jax
from rl_es.training.resources import DEFAULT_RESOURCES, Resources

TRIALS_FILE = "trials.json"
TRIALS_KIND = "list of trials"


class TrialRecord(FileModel):
    """A trial that was run: the labels of environment, agent entry and runs, and its settings."""

    env: str
    agent: str
    label: str
    settings: dict[str, Any]


class _TrialsFile(FileModel):
    trials: list[TrialRecord]


def write_trials(folder: Path, trials: Sequence[TrialRecord]) -> None:
    """Writes the trials so far."""
    content = {"search": "tpe", "trials": [trial.model_dump() for trial in trials]}
    text_files.write_json(folder / TRIALS_FILE, content)


def read_trials(folder: Path) -> list[TrialRecord] | None:
    """The trials of a folder, in order; None where it has no guided search.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / TRIALS_FILE
    if not path.exists():
        return None
    return text_files.read_json_as(path, _TrialsFile, TRIALS_KIND)[0].trials


STARTUP_TRIALS = 10  # random trials before the first guided one, as optuna has it


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


class GridStudy:
    """The variants of an entry, one after the other, whatever their outcomes are."""

    def __init__(self, entry: VariedEntry):
        """Starts with the first."""
        self._left = expand_variants(entry)

    def ask(self) -> Proposal | None:
        """The next variant."""
        found = next(self._left, None)
        return found and Proposal(found.label, found.settings)

    def tell(self, value: float | None) -> None:
        """Learns nothing."""


class ParzenStudy:
    """A tree-structured Parzen estimator over the random settings of an entry."""

    def __init__(self, env: str, entry: VariedEntry, grid: Variant, startup: int, taken: set[str]):
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
        self._optuna = import_optuna()
        self._entry, self._grid, self._taken = entry, grid.settings, taken
        self._labels: dict[str, str] = {}  # by settings
        self._space = entry.random.settings
        self._left = entry.random.samples
        seed = int(digest([entry.random.seed, env, grid.label])[:8], 16)
        sampler = self._optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed)
        self._study = self._optuna.create_study(direction="maximize", sampler=sampler)
        for sample in itertools.islice(sample_settings(entry.random), startup):
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
            self._labels[key] = label_variant(self._entry, self._grid, sample, self._taken)
        return Proposal(self._labels[key], self._grid | sample)

    def tell(self, value: float | None) -> None:
        """Learns from the value; a trial that lost a run counts as worse than any other."""
        if value is None:
            self._study.tell(self._asked, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(self._asked, value)


def make_studies(env: str, entry: VariedEntry, startup: int) -> Iterator[Study]:
    """An entry's studies in an environment: guided ones, one per grid point, if it is random."""
    if entry.random is None:
        yield GridStudy(entry)
        return
    taken: set[str] = set()
    for point in expand_variants(entry.model_copy(update={"random": None})):
        yield ParzenStudy(env, entry, point, startup, taken)


def import_optuna() -> Any:
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
    return round_sample(trial.suggest_float(name, low, high, log=what.log_uniform is not None))


@dataclass
class TrialRunner:
    """Runs the cells of one round after another, those that are done aside.

    Attributes:
      store: the results folder.
      progress: told of every cell.
      resources: that may be used.
      stop: looked at between calls of a program.
      failed: cells that failed so far.
    """

    store: Store
    progress: Progress
    resources: Resources
    stop: threading.Event
    failed: int = 0

    def run(self, members: Sequence[Cell], compiled: Compile) -> None:
        """Runs the missing cells of a round; finished runs get the labels that they have now.

        Raises:
          KeyboardInterrupt: it was stopped; what is finished is kept, the rest saved.
        """
        ended = {cell.run_id for cell in members if self.store.state(cell) != "missing"}
        for cell in members:
            if cell.run_id in ended:
                refresh_cell(cell, self.store)
                report_waiting(self.progress, cell, self.store.read(cell)[1], "before")
        missing = [
            g for g in group_cells(tuple(members)) if any(c.run_id not in ended for c in g.cells)
        ]
        works = [place_groups(group, self.resources) for group in missing]
        queue = GroupQueue(works, self.store, self.progress)
        runner = GroupRunner(self.store, self.progress, self.stop, compiled, self.resources)
        self.failed += execution.work_through(queue, runner)

    def value(self, members: Sequence[Cell]) -> float | None:
        """The mean final return of a trial's runs; None if a run was lost."""
        held = [self.store.read(cell)[1] for cell in members]
        finals = [one.get("final_return") for one in held if one.get("status") == "finished"]
        known = [final for final in finals if final is not None]
        return float(np.mean(known)) if len(known) == len(members) else None


def run_search(
    sweep: Sweep,
    out: Path,
    progress: Progress,
    resources: Resources = DEFAULT_RESOURCES,
    startup: int = STARTUP_TRIALS,
) -> int:
    """Runs a sweep with its random settings proposed by a guided search.

    Args:
      sweep: validated; entries without `random` are run as they are.
      out: the results folder; trials that are in it are read back, not run again.
      progress: told of everything.
      resources: devices, lanes and memory that may be used.
      startup: random trials of each study before the first guided one.

    Returns:
      0, or 1 where a cell failed.

    Raises:
      UserError: optuna is not installed, or values do not fit together.
      KeyboardInterrupt: it was stopped; the same call goes on.
    """
    import_optuna()
    prepare_jax(resources.devices)
    store = Store(out, note=progress.note)
    every = expand_cells(
        sweep
    )  # those of a random search, which are as many and have the same budgets
    store.write_manifest(sweep, len(every))
    progress.begin(group_cells(every), 0, len(every))
    ran: list[TrialRecord] = []
    with stop_on_signal() as stop:
        runner = TrialRunner(store, progress, resources, stop)
        for environment in sweep.environments:
            _search(sweep, environment, startup, runner, ran)
    return 1 if runner.failed else 0


def _search(
    sweep: Sweep,
    environment: EnvironmentEntry,
    startup: int,
    runner: TrialRunner,
    ran: list[TrialRecord],
) -> None:
    """All rounds of one environment; adds its trials to `ran`."""
    compiled = _once(compile_in_background(runner.progress))
    running = [
        (entry, study)
        for entry in sweep.agents
        for study in make_studies(environment.display_name, entry, startup)
    ]
    while True:
        asked = [(entry, study, study.ask()) for entry, study in running]
        asked = [(entry, study, found) for entry, study, found in asked if found is not None]
        if not asked:
            return
        members = expand_cells(
            _round(sweep, environment, ((entry, found) for entry, _, found in asked))
        )
        runner.run(members, compiled)
        for entry, study, found in asked:
            study.tell(runner.value([cell for cell in members if cell.label == found.label]))
            settings = dict(found.settings)
            ran.append(
                TrialRecord(
                    env=environment.display_name,
                    agent=entry.display_name,
                    label=found.label,
                    settings=settings,
                )
            )
        write_trials(runner.store.folder, ran)


def _round(
    sweep: Sweep,
    environment: EnvironmentEntry,
    asked: Iterable[tuple[AgentEntry, Proposal]],
) -> Sweep:
    """The sweep of one round: explicit entries, in one environment."""

    def explicit(entry: AgentEntry, found: Proposal) -> AgentEntry:
        fixed: dict[str, Any] = dict(entry.fixed)
        for key in dict.fromkeys((entry.name, entry.display_name)):
            if entry in matching_agents(sweep, key):
                fixed |= environment.agents.get(key, {})
        changed = {"label": found.label, "fixed": fixed | dict(found.settings)}
        return entry.model_copy(update={**changed, "grid": {}, "random": None})

    agents = tuple(explicit(entry, found) for entry, found in asked)
    world = environment.model_copy(update={"agents": {}})
    return sweep.model_copy(update={"environments": (world,), "agents": agents})


def _once(compiled: Compile) -> Compile:
    """The same function with a memory: nothing is compiled twice."""
    kept: dict[tuple[str, int], Program] = {}

    def reused(work: PlacedGroup) -> Program:
        key = work.group.key, work.lanes
        if key not in kept:
            kept[key] = compiled(work)
        return kept[key]

    return reused
