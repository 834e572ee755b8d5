"""The commands of tuning: tuned."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from rl_es.errors import UserError
from rl_es.files import write_text


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
