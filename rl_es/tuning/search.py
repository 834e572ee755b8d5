"""A search over random settings: rounds of trials, each an ordinary run of cells.

Environments come one after the other. A round holds the next trial of every study of the
environment, with all seeds. Trials that share a program are compiled once. All rounds write into
one results folder, so that an interrupted search reads its finished trials back.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_es.sweep import execution
from rl_es.sweep.cells import Cell, expand_cells, group_cells, matching_agents
from rl_es.sweep.execution import stop_on_signal
from rl_es.sweep.groups import GroupRunner
from rl_es.sweep.progress import Progress, SweepStart
from rl_es.sweep.queue import (
    Compile,
    PlacedGroup,
    make_group_compiler,
    report_ended,
)
from rl_es.sweep.schema import AgentEntry, EnvironmentEntry, Sweep
from rl_es.sweep.store import Store
from rl_es.sweep.variants import Variant
from rl_es.training.compilation import prepare_jax
from rl_es.training.program import Program
from rl_es.training.resources import DEFAULT_RESOURCES, Resources
from rl_es.tuning.studies import STARTUP_TRIALS, import_optuna, make_studies, next_trial
from rl_es.tuning.trials import TrialRecord, write_trials


def run_search(
    sweep: Sweep,
    out: Path,
    progress: Progress,
    resources: Resources = DEFAULT_RESOURCES,
    startup: int = STARTUP_TRIALS,
    command: Sequence[str] = (),
) -> int:
    """Runs a sweep with its random settings proposed by a guided search.

    Args:
      sweep: validated; entries without `random` run as they are.
      out: the results folder; trials that it holds are read back, not run again.
      progress: display of every run.
      resources: devices, lanes and memory that may be used.
      startup: random trials of each study before the first guided one.
      command: the words of the command line that runs it, for the manifest.

    Returns:
      0, or 1 if a cell failed.

    Raises:
      UserError: optuna is not installed, or values do not fit together.
      KeyboardInterrupt: a signal stopped the search; the same call continues it.
    """
    import_optuna()
    prepare_jax(resources.devices)
    store = Store(out, note=progress.note)
    # The cells of a random search: the guided one has as many, with the same budgets.
    cells = expand_cells(sweep)
    store.write_manifest(sweep, cells, cells=len(cells), command=[*command])
    progress.begin(SweepStart(group_cells(cells), 0, len(cells)))
    records: list[TrialRecord] = []
    with stop_on_signal() as stop:
        runner = TrialRunner(store, progress, resources, stop)
        for environment in sweep.environments:
            _search_environment(sweep, environment, startup, runner, records)
    return 1 if runner.failures else 0


@dataclass
class TrialRunner:
    """A runner of the cells of one round after another.

    Attributes:
      store: the results folder.
      progress: display of every run.
      resources: devices, lanes and memory that may be used.
      stop: read between calls of a program.
      failures: number of cells that failed so far.
    """

    store: Store
    progress: Progress
    resources: Resources
    stop: threading.Event
    failures: int = 0

    def run(self, cells: Sequence[Cell], compile_group: Compile) -> None:
        """Runs the missing cells of a round; finished runs get their current labels.

        Raises:
          KeyboardInterrupt: it was stopped; finished runs are kept, the others are saved.
        """
        states = self.store.states(cells)
        ended_ids = {run_id for run_id, state in states.items() if state != "missing"}
        for cell in cells:
            if cell.run_id in ended_ids:
                self.store.refresh(cell)
                report_ended(self.progress, cell, self.store.read(cell)[1], "before")
        groups = [
            group
            for group in group_cells(tuple(cells))
            if any(cell.run_id not in ended_ids for cell in group.cells)
        ]
        runner = GroupRunner(self.store, self.progress, self.stop, compile_group, self.resources)
        self.failures += execution.run_groups(runner.queue(groups), runner)

    def mean_final_return(self, cells: Sequence[Cell]) -> float | None:
        """Returns the mean final return of a trial's runs; None if one of them was lost."""
        records = [self.store.read(cell)[1] for cell in cells]
        returns = [
            record.get("final_return") for record in records if record.get("status") == "finished"
        ]
        finite = [value for value in returns if value is not None]
        return float(np.mean(finite)) if len(finite) == len(cells) else None


def _search_environment(
    sweep: Sweep,
    environment: EnvironmentEntry,
    startup: int,
    runner: TrialRunner,
    records: list[TrialRecord],
) -> None:
    """Runs all rounds of one environment; adds its trials to `records`."""
    env = environment.display_name
    programs: dict[tuple[str, int], Program] = {}
    compile_new = make_group_compiler(runner.progress)

    def compile_group(work: PlacedGroup) -> Program:
        """Compiles a group's program, none twice in this environment."""
        key = work.group.key, work.lanes
        if key not in programs:
            programs[key] = compile_new(work)
        return programs[key]

    studies = [
        (entry, study) for entry in sweep.agents for study in make_studies(env, entry, startup)
    ]
    values: list[float | None] = [None] * len(studies)
    while True:
        proposals = [
            (entry, study, next_trial(study, value))
            for (entry, study), value in zip(studies, values, strict=True)
        ]
        trials = [(entry, study, trial) for entry, study, trial in proposals if trial is not None]
        if not trials:
            return
        cells = expand_cells(
            _round_sweep(sweep, environment, ((entry, trial) for entry, _, trial in trials))
        )
        runner.run(cells, compile_group)
        studies, values = [(entry, study) for entry, study, _ in trials], []
        for entry, _, trial in trials:
            trial_cells = [cell for cell in cells if cell.label == trial.label]
            values.append(runner.mean_final_return(trial_cells))
            identity = {"env": env, "agent": entry.display_name, "label": trial.label}
            records.append(TrialRecord(**identity, settings=trial.settings))
        write_trials(runner.store.folder, records)


def _round_sweep(
    sweep: Sweep, environment: EnvironmentEntry, trials: Iterable[tuple[AgentEntry, Variant]]
) -> Sweep:
    """Returns the sweep of one round: an entry with fixed settings per trial, one environment."""

    def fixed_entry(entry: AgentEntry, trial: Variant) -> AgentEntry:
        fixed: dict[str, Any] = dict(entry.fixed)
        for key in dict.fromkeys((entry.name, entry.display_name)):
            if entry in matching_agents(sweep, key):
                fixed |= environment.agents.get(key, {})
        changes = {"label": trial.label, "fixed": fixed | dict(trial.settings)}
        return entry.model_copy(update={**changes, "grid": {}, "random": None})

    agents = tuple(fixed_entry(entry, trial) for entry, trial in trials)
    plain_environment = environment.model_copy(update={"agents": {}})
    return sweep.model_copy(update={"environments": (plain_environment,), "agents": agents})
