"""Options and arguments that several commands have."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.errors import UserError
from rl_es.results.files import check_folder

if TYPE_CHECKING:
    from rl_es.training.resources import Resources

SweepFile = Annotated[
    Positional[Path], arg(metavar="SWEEP", help="sweep file (YAML), or the name of one of `sweeps`")
]
ResultsFolder = Annotated[Positional[Path], arg(metavar="DIR", help="results folder")]
Overrides = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(
        metavar="PATH=VALUE",
        help="override a value of the sweep, such as budget.env_steps=1e5 or "
        "agents.eggroll.with.lr=0.1",
        help_behavior_hint="(may be repeated)",
    ),
]
Out = Annotated[
    Path | None,
    arg(
        metavar="DIR",
        help="results folder",
        help_behavior_hint="(default: results/<name>, or results/<verb>/<name>)",
    ),
]
Quiet = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="print only failures and the result", help_behavior_hint=""),
]
NoReplays = Annotated[
    FlagCreatePairsOff[bool],
    arg(help="film no trained policies", help_behavior_hint=""),
]


@dataclasses.dataclass(frozen=True)
class MachineOptions:
    """Devices and memory that a command may use."""

    devices: Annotated[
        int | None,
        arg(
            metavar="N",
            help="devices of each process that share populations or runs; a CPU counts as N",
            help_behavior_hint="(default: 1 on CPU, else all)",
        ),
    ] = None
    lanes: Annotated[
        int | None,
        arg(
            metavar="N",
            help="number of runs of a group that share one call of its program",
            help_behavior_hint="(default: 1 on CPU, else as many as fit in memory)",
        ),
    ] = None
    population_chunk: Annotated[
        int | None,
        arg(
            metavar="N",
            help="largest number of members that a device evaluates at once; results stay equal",
            help_behavior_hint="(default: as many as fit in memory)",
        ),
    ] = None
    memory: Annotated[
        float | None,
        arg(
            metavar="GIB",
            help="memory of a device that populations may fill",
            help_behavior_hint="(default: half of what there is)",
        ),
    ] = None

    def resources(self) -> "Resources":
        """Returns the options as `Resources`.

        Raises:
          UserError: a number is out of bounds.
        """
        from rl_es.training.resources import Resources

        memory = self.memory
        if memory is not None and not 0 < memory < 2**30:
            raise UserError(f"--memory: must be a number of GiB above 0; is {memory:g}")
        size = None if memory is None else round(memory * 2**30)
        return Resources(self.devices, self.lanes, self.population_chunk, size)


ALL = MachineOptions()
Machine = Annotated[MachineOptions, arg(name="")]


def results_folder(out: Path | None, *default: str) -> Path:
    """Returns the results folder: `out`, or else the default below `results`."""
    return check_folder(out or Path("results", *default))
