"""A guided search: rounds of trials, each an ordinary run of cells in one results folder.

Environments come one after the other. A round holds the next trial of every study of the
environment, with all seeds; trials that share a program are compiled once.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_es.sweep import execution, records
from rl_es.sweep.background import stopping
from rl_es.sweep.cells import Cell, cells, groups
from rl_es.sweep.groups import Runner as GroupRunner
from rl_es.sweep.placing import ANY_RESOURCES, Resources
from rl_es.sweep.progress import Progress
from rl_es.sweep.queue import Queue, report
from rl_es.sweep.resolving import meant_by
from rl_es.sweep.schema import AgentEntry, EnvironmentEntry, Sweep
from rl_es.sweep.store import Store
from rl_es.sweep.work import Compile, Work, compiling, work_of
from rl_es.training.platform import prepare
from rl_es.training.program import Program
from rl_es.tuning import record
from rl_es.tuning.record import Ran
from rl_es.tuning.studies import STARTUP, Proposal, required, studies


@dataclass
class Runner:
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
                records.refresh(cell, self.store)
                report(self.progress, cell, self.store.read(cell)[1], "before")
        missing = [g for g in groups(tuple(members)) if any(c.run_id not in ended for c in g.cells)]
        works = [work_of(group, self.resources) for group in missing]
        queue = Queue(works, self.store, self.progress)
        runner = GroupRunner(self.store, self.progress, self.stop, compiled, self.resources)
        self.failed += execution.work_through(queue, runner)

    def value(self, members: Sequence[Cell]) -> float | None:
        """The mean final return of a trial's runs; None if a run was lost."""
        held = [self.store.read(cell)[1] for cell in members]
        finals = [one.get("final_return") for one in held if one.get("status") == "finished"]
        known = [final for final in finals if final is not None]
        return float(np.mean(known)) if len(known) == len(members) else None


def run(
    sweep: Sweep,
    out: Path,
    progress: Progress,
    resources: Resources = ANY_RESOURCES,
    startup: int = STARTUP,
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
    required()
    prepare(resources.devices)
    store = Store(out, note=progress.note)
    every = cells(sweep)  # those of a random search, which are as many and have the same budgets
    store.write_manifest(sweep, len(every))
    progress.begin(groups(every), 0, len(every))
    ran: list[Ran] = []
    with stopping() as stop:
        runner = Runner(store, progress, resources, stop)
        for environment in sweep.environments:
            _search(sweep, environment, startup, runner, ran)
    return 1 if runner.failed else 0


def _search(
    sweep: Sweep, environment: EnvironmentEntry, startup: int, runner: Runner, ran: list[Ran]
) -> None:
    """All rounds of one environment; adds its trials to `ran`."""
    compiled = _once(compiling(runner.progress))
    running = [
        (entry, study)
        for entry in sweep.agents
        for study in studies(environment.shown, entry, startup)
    ]
    while True:
        asked = [(entry, study, study.ask()) for entry, study in running]
        asked = [(entry, study, found) for entry, study, found in asked if found is not None]
        if not asked:
            return
        members = cells(_round(sweep, environment, ((entry, found) for entry, _, found in asked)))
        runner.run(members, compiled)
        for entry, study, found in asked:
            study.tell(runner.value([cell for cell in members if cell.label == found.label]))
            settings = dict(found.settings)
            ran.append(
                Ran(env=environment.shown, agent=entry.shown, label=found.label, settings=settings)
            )
        record.write(runner.store.folder, ran)


def _round(
    sweep: Sweep,
    environment: EnvironmentEntry,
    asked: Iterable[tuple[AgentEntry, Proposal]],
) -> Sweep:
    """The sweep of one round: explicit entries, in one environment."""

    def explicit(entry: AgentEntry, found: Proposal) -> AgentEntry:
        fixed: dict[str, Any] = dict(entry.fixed)
        for key in dict.fromkeys((entry.name, entry.shown)):
            if entry in meant_by(sweep, key):
                fixed |= environment.agents.get(key, {})
        changed = {"label": found.label, "fixed": fixed | dict(found.settings)}
        return entry.model_copy(update={**changed, "grid": {}, "random": None})

    agents = tuple(explicit(entry, found) for entry, found in asked)
    world = environment.model_copy(update={"agents": {}})
    return sweep.model_copy(update={"environments": (world,), "agents": agents})


def _once(compiled: Compile) -> Compile:
    """The same function with a memory: nothing is compiled twice."""
    kept: dict[tuple[str, int], Program] = {}

    def reused(work: Work) -> Program:
        key = work.group.key, work.lanes
        if key not in kept:
            kept[key] = compiled(work)
        return kept[key]

    return reused
