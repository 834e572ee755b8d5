"""The commands about agents, environments, sweep files and the installation.

new and check serve authors of agents and environments; doctor examines the installation; list and
schema print the agents, the environments and the format of sweep files; sweeps lists or copies the
sweep files of the package. A command is called, and returns the exit code.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from rl_es.cli.arguments import Flag, option, packaged_sweeps
from rl_es.errors import UserError, brief, check_number, did_you_mean
from rl_es.results.files import check_folder


@dataclasses.dataclass(frozen=True)
class NewCommand:
    """Write an environment or an agent to start from, and a sweep that compares it."""

    kind: Annotated[Positional[Literal["env", "agent"]], option("kind of the template")]
    name: Annotated[Positional[str], option("name of the files, such as my_env", "NAME", "")]
    out: Annotated[Path, option("folder of the files", "DIR")] = Path()
    agents: Annotated[
        int | None, option("agents that act in the environment as a team; one if absent", "N", "")
    ] = None

    def __call__(self) -> int:
        if self.agents is not None:
            check_number("--agents", self.agents, 2, 1000)
        from rl_es.terminal import start_command
        from rl_es.tools import scaffold

        source, sweep, reference = scaffold.write_template(
            self.kind, self.name, self.out, self.agents
        )
        print(f"{source}\n{sweep}")
        command = start_command()
        print(f"next: {command} check {reference}, then {command} run {sweep}")
        return 0


@dataclasses.dataclass(frozen=True)
class CheckCommand:
    """Check that an environment or an agent keeps what the engine relies on; say what to do."""

    name: Annotated[
        Positional[str],
        option("name as in a sweep file: CartPole-v1, eggroll, ./my_env.py:MyEnv", "NAME", ""),
    ]
    settings: Annotated[
        str | None,
        option("an agent's settings, or an environment's options: '{rank: 4}'", "MAPPING", ""),
    ] = None
    steps: Annotated[
        int, option("environment steps of an agent's training on CartPole; 0: no training")
    ] = 300_000

    def __call__(self) -> int:
        check_number("--steps", self.steps, 0, 1e9)
        from rl_es import terminal
        from rl_es.tools import check

        settings = check.parse_settings(self.settings)
        check.is_agent(self.name)
        from rl_es.training.compilation import prepare_jax

        prepare_jax(None)
        return terminal.run_checks(check.checks_of(self.name, settings, self.steps))


@dataclasses.dataclass(frozen=True)
class DoctorCommand:
    """Examine packages, devices and folders, and train for some seconds; say what to do."""

    out: Annotated[Path, option("future results folder", "DIR")] = Path("results")

    def __call__(self) -> int:
        check_folder(self.out)
        from rl_es import terminal
        from rl_es.tools import doctor

        return terminal.run_checks(doctor.doctor_checks(self.out))


@dataclasses.dataclass(frozen=True)
class ListCommand:
    """List agents and environments, by default both, or one by its name."""

    subject: Annotated[
        Positional[str],
        option("agents, environments, all, or a name such as ./my_env.py:MyEnv", "WHAT"),
    ] = "all"
    long: Annotated[Flag, option("print every setting with type, default and help", note="")] = (
        False
    )

    def __call__(self) -> int:
        from rl_es.tools import catalogue

        catalogue.show_catalogue(self.subject, self.long)
        return 0


@dataclasses.dataclass(frozen=True)
class SchemaCommand:
    """Print the format of sweep files: a JSON schema for editors, or tables of every key."""

    format: Annotated[
        Literal["json", "markdown"], option("json: a schema, draft 7; markdown: tables")
    ] = "json"

    def __call__(self) -> int:
        import json

        from rl_es.tools import catalogue

        if self.format == "markdown":
            print(catalogue.reference_markdown(), end="")
        else:
            print(json.dumps(catalogue.sweep_schema(), indent=1, ensure_ascii=False))
        return 0


@dataclasses.dataclass(frozen=True)
class SweepsCommand:
    """List the sweeps that come with the package, or copy one to change it."""

    copy: Annotated[
        str | None,
        option(
            "copy this sweep file; existing files are never overwritten",
            "NAME",
            "(default: list them)",
        ),
    ] = None
    out: Annotated[
        Path | None, option("folder of the copy", "FOLDER", "(default: the working directory)")
    ] = None

    def __call__(self) -> int:
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
