"""The sweep files that come with the package: `rl_es run paper/cartpole` finds them by name.

A clone has them in its folder `sweeps`, to which `rl_es/sweeps` is a link; a wheel has copies.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results.files import check_folder

FOLDER = Path(__file__).parents[1] / "sweeps"


def packaged_sweeps() -> dict[str, Path]:
    """Returns the package's sweep files by name, sorted.

    A name is the path below the folder of sweeps, without suffix: `paper/cartpole`.
    """
    paths = sorted(FOLDER.rglob("*.yaml"))
    return {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in paths}


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
    files = path.parent.glob("*.yaml") if path.parent.is_dir() else ()
    near = did_you_mean(name, [*sweeps, *map(str, files)])
    raise UserError(f"{brief(name)}: no such file, and no such sweep in the package{near}")


@dataclasses.dataclass(frozen=True)
class SweepsCommand:
    """List the sweeps that come with the package, or copy one to change it."""

    copy: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help="copy this sweep file; existing files are never overwritten",
            help_behavior_hint="(default: list them)",
        ),
    ] = None
    out: Annotated[
        Path | None,
        arg(
            metavar="FOLDER",
            help="folder of the copy",
            help_behavior_hint="(default: the working directory)",
        ),
    ] = None

    def __call__(self) -> int:
        """Returns the exit code."""
        if self.copy is not None:
            print(copy_sweep(self.copy, self.out or Path()))
        elif self.out is not None:
            raise UserError("--out: needs --copy NAME")
        else:
            print_sweeps()
        return 0


def copy_sweep(name: str, folder: Path) -> Path:
    """Copies a sweep of the package into a folder, and returns the copy's path.

    Raises:
      UserError: there is no such sweep, or the folder has a file of that name.
    """
    sweeps = packaged_sweeps()
    if name not in sweeps:
        raise UserError(f"--copy: unknown sweep '{brief(name)}'{did_you_mean(name, sweeps)}")
    path = check_folder(folder) / sweeps[name].name
    content = sweeps[name].read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "xb") as file:
            file.write(content)
    except FileExistsError:
        raise UserError(f"{path}: exists already; choose another folder with --out") from None
    return path


def print_sweeps() -> None:
    """Prints name and description of each sweep, and the commands that take the names."""
    from rl_es.sweep.yaml_reader import read_yaml
    from rl_es.terminal import plain_console, plain_table, start_command

    table = plain_table(("sweep", "description"))
    for name, path in packaged_sweeps().items():
        table.add_row(name, read_yaml(path).content.get("description", ""))
    console = plain_console()
    console.print(table)
    command = start_command()
    console.print(f"\n{command} run NAME runs one; {command} speed NAME runs one of speed/.")
