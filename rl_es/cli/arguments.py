"""Options and arguments that several commands have, and the sweep files that they name.

The package's sweep files are found by name, as in `rl_es run paper/cartpole`. A clone has them in
its folder `sweeps`, to which `rl_es/sweeps` is a link; a wheel has copies.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results.files import check_folder

if TYPE_CHECKING:
    from rl_es.sweep.schema import Sweep
    from rl_es.training.resources import Resources

SWEEPS = Path(__file__).parents[1] / "sweeps"


def option(help: str | None, metavar: str | None = None, note: str | None = None) -> Any:
    """Returns the annotation of an option or argument.

    Args:
      help: help text.
      metavar: the word for the value; None: the one of its type.
      note: note on the default, '' for none; None: the default itself.
    """
    return arg(help=help, metavar=metavar, help_behavior_hint=note)


Flag = FlagCreatePairsOff[bool]
Texts = UseAppendAction[tuple[str, ...]]  # of an option that may be repeated
Counts = UseAppendAction[tuple[int, ...]]
Paths = Positional[tuple[Path, ...]]
SweepFile = Annotated[
    Positional[Path], option("sweep file (YAML), or the name of one of `sweeps`", "SWEEP")
]
ResultsFolder = Annotated[Positional[Path], option("results folder", "DIR")]
Overrides = Annotated[
    Texts,
    option(
        "override a value of the sweep, such as budget.env_steps=1e5 or agents.eggroll.with.lr=0.1",
        "PATH=VALUE",
        "(may be repeated)",
    ),
]
Out = Annotated[
    Path | None,
    option("results folder", "DIR", "(default: results/<name>, or results/<verb>/<name>)"),
]
Quiet = Annotated[Flag, option("print only failures and the result", note="")]
NoReplays = Annotated[Flag, option("film no trained policies", note="")]


@dataclasses.dataclass(frozen=True)
class MachineOptions:
    """Devices and memory that a command may use."""

    devices: Annotated[
        int | None,
        option(
            "devices of each process that share populations or runs; a CPU counts as N",
            "N",
            "(default: 1 on CPU, else all)",
        ),
    ] = None
    lanes: Annotated[
        int | None,
        option(
            "number of runs of a group that share one call of its program",
            "N",
            "(default: 1 on CPU, else as many as fit in memory)",
        ),
    ] = None
    population_chunk: Annotated[
        int | None,
        option(
            "largest number of members that a device evaluates at once; results stay equal",
            "N",
            "(default: as many as fit in memory)",
        ),
    ] = None
    memory: Annotated[
        float | None,
        option(
            "memory of a device that populations may fill",
            "GIB",
            "(default: half of what there is)",
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


def read_sweep(path: Path, overrides: Sequence[str]) -> "Sweep":
    """Reads the sweep that a command line names.

    Raises:
      UserError: there is no such file, or the sweep is invalid.
    """
    from rl_es.sweep.loading import load_sweep

    return load_sweep(find_sweep(path), overrides)


def packaged_sweeps() -> dict[str, Path]:
    """Returns the package's sweep files by name, sorted.

    A name is the path below the folder of sweeps, without suffix: `paper/cartpole`.
    """
    paths = sorted(SWEEPS.rglob("*.yaml"))
    return {path.relative_to(SWEEPS).with_suffix("").as_posix(): path for path in paths}


def find_sweep(path: Path) -> Path:
    """Returns the sweep file that a command line names: a file, else one of the package's by name.

    The package's names may be written as in a clone, `sweeps/paper/cartpole.yaml`. Another path
    that ends in `.yaml`, and a folder, are returned as they are: the reader refuses them.

    Raises:
      UserError: there is neither; names the nearest.
    """
    try:
        if path.exists() and not path.is_dir():
            return path
    except OSError:  # such as a name that is too long: the reader says so
        return path
    sweeps = packaged_sweeps()
    name = path.as_posix()
    name_in_clone = name.removeprefix("sweeps/").removesuffix(".yaml")
    if name_in_clone in sweeps:
        return sweeps[name_in_clone]
    if path.suffix in (".yaml", ".yml") or path.is_dir():
        return path
    files = path.parent.glob("[!.]*.yaml") if path.parent.is_dir() else ()
    near = did_you_mean(name, [*sweeps, *map(str, files)])
    raise UserError(f"{brief(name)}: no such file, and no such sweep in the package{near}")
