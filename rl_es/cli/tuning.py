"""The commands of tuning: tune, tuned."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from rl_es.cli.afterwards import write_report
from rl_es.cli.flags import (
    ALL,
    Machine,
    Out,
    Overrides,
    Quiet,
    SweepFile,
    results_folder,
)
from rl_es.errors import UserError, check_number
from rl_es.files.whole import write_text


@dataclasses.dataclass(frozen=True)
class Tune:
    """Run a sweep whose random settings a guided search proposes (TPE, by optuna)."""

    sweep: SweepFile
    out: Out = None
    set: Overrides = ()
    startup: Annotated[
        int, arg(metavar="N", help="random trials of each agent before the first guided one")
    ] = 10
    machine: Machine = ALL
    quiet: Quiet = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.sweep.fields import MAX_CELLS
        from rl_es.sweep.loading import load
        from rl_es.sweep.progress import progress

        check_number("--startup", self.startup, 1, MAX_CELLS)
        sweep = load(self.sweep, self.set)
        if not any(entry.random for entry in sweep.agents):
            raise UserError(f"{self.sweep}: no agent has random settings; `run` it")
        out = results_folder(self.out, "tune", sweep.name)
        from rl_es.tuning import studies

        studies.required()
        from rl_es.tuning import search

        shown = progress(self.quiet)
        try:
            code = search.run(sweep, out, shown, self.machine.resources(), self.startup)
        finally:
            shown.end()
        write_report(out)
        return code


@dataclasses.dataclass(frozen=True)
class Tuned:
    """Put the best settings of a tuning run into sweep files; without --write, show them."""

    results: Annotated[
        Positional[Path], arg(metavar="RESULTS", help="results folder of a tuning run")
    ]
    sweeps: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="SWEEP", help="sweep files with the same labels", help_behavior_hint=""),
    ]
    write: Annotated[
        FlagCreatePairsOff[bool], arg(help="change the files", help_behavior_hint="")
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        if not self.sweeps:
            raise UserError("tuned: needs a results folder and the sweep files to change")
        from rl_es.tuning import showing, trials
        from rl_es.tuning.feeding import feed

        found = trials.read(self.results)
        fed = [feed(found, path) for path in self.sweeps]
        if self.write:
            for one in fed:
                write_text(one.path, one.after)
        showing.show(fed, self.write)
        return 0
