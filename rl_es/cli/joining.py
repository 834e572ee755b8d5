"""The commands that make one table of several things: merge, references."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from rl_es.cli.afterwards import write_report
from rl_es.files.naming import check_file
from rl_es.files.whole import check_folder


@dataclasses.dataclass(frozen=True)
class Merge:
    """Write the tables of several results folders as those of one, with a report of it."""

    folders: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="DIR", help="results folders", help_behavior_hint=""),
    ]
    out: Annotated[Path, arg(metavar="DIR", help="the folder of the tables")]

    def __call__(self) -> int:
        """Returns the exit code."""
        check_folder(self.out)
        from rl_es.analysis import merging

        for path in merging.merge(self.folders, self.out):
            print(path)
        write_report(self.out)
        return 0


@dataclasses.dataclass(frozen=True)
class References:
    """Write a table of reference scores: random actions, untrained policies, labels of results."""

    folders: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="DIR", help="results folders; random actions are played anew"),
    ]
    out: Annotated[Path, arg(metavar="FILE", help="CSV file")]
    label: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            help="a column of final returns",
            help_behavior_hint="(may be repeated; default: ppo, where it is)",
        ),
    ] = ()
    episodes: Annotated[int, arg(help="of random actions, in each environment")] = 1000
    seed: Annotated[int, arg(help="of these episodes")] = 0

    def __call__(self) -> int:
        """Returns the exit code."""
        check_file(self.out)
        from rl_es import references

        print(references.write(self.folders, self.out, self.label, self.episodes, self.seed))
        return 0
