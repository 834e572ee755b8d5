"""The commands about agents, environments, sweep files and the installation.

new and check serve authors of agents and environments; doctor examines the installation; list and
schema print the agents, the environments and the format of sweep files.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from rl_es.errors import UserError, check_number
from rl_es.results.files import check_folder


@dataclasses.dataclass(frozen=True)
class NewCommand:
    """Write an environment or an agent to start from, and a sweep that compares it."""

    kind: Annotated[Positional[Literal["env", "agent"]], arg(help="kind of the template")]
    name: Annotated[
        Positional[str],
        arg(metavar="NAME", help="name of the files, such as my_env", help_behavior_hint=""),
    ]
    out: Annotated[Path, arg(metavar="DIR", help="folder of the files")] = Path()

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.terminal import start_command
        from rl_es.tools import scaffold

        source, sweep, reference = scaffold.write_template(self.kind, self.name, self.out)
        print(f"{source}\n{sweep}")
        command = start_command()
        print(f"next: {command} check {reference}, then {command} run {sweep}")
        return 0


@dataclasses.dataclass(frozen=True)
class CheckCommand:
    """Check that an environment or an agent keeps what the engine relies on; say what to do."""

    name: Annotated[
        Positional[str],
        arg(
            metavar="NAME",
            help="name as in a sweep file: CartPole-v1, eggroll, ./my_env.py:MyEnv",
            help_behavior_hint="",
        ),
    ]
    settings: Annotated[
        str | None,
        arg(
            metavar="MAPPING",
            help="an agent's settings, or an environment's options: '{rank: 4}'",
            help_behavior_hint="",
        ),
    ] = None
    steps: Annotated[
        int, arg(help="environment steps of an agent's training on CartPole; 0: no training")
    ] = 300_000

    def __call__(self) -> int:
        """Returns the exit code."""
        check_number("--steps", self.steps, 0, 1e9)
        from rl_es import terminal
        from rl_es.sweep.yaml_reader import parse_value
        from rl_es.tools import check

        try:
            stated = {} if self.settings is None else parse_value(self.settings)
        except UserError as error:
            raise UserError(f"--settings: {error}") from None
        if not isinstance(stated, dict):
            raise UserError("--settings: must be a mapping, such as '{rank: 4}'")
        check.is_agent(self.name)
        from rl_es.training.compilation import prepare_jax

        prepare_jax(None)
        return terminal.run_checks(check.checks_of(self.name, stated, self.steps))


@dataclasses.dataclass(frozen=True)
class DoctorCommand:
    """Examine packages, devices and folders, and train for some seconds; say what to do."""

    out: Annotated[Path, arg(metavar="DIR", help="future results folder")] = Path("results")

    def __call__(self) -> int:
        """Returns the exit code."""
        check_folder(self.out)
        from rl_es import terminal
        from rl_es.tools import doctor

        return terminal.run_checks(doctor.doctor_checks(self.out))


@dataclasses.dataclass(frozen=True)
class ListCommand:
    """List agents and environments, by default both, or one by its name."""

    what: Annotated[
        Positional[str],
        arg(metavar="WHAT", help="agents, environments, all, or a name such as ./my_env.py:MyEnv"),
    ] = "all"
    long: Annotated[
        FlagCreatePairsOff[bool],
        arg(help="print every setting with type, default and help", help_behavior_hint=""),
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.tools import catalogue

        catalogue.show_catalogue(self.what, self.long)
        return 0


@dataclasses.dataclass(frozen=True)
class SchemaCommand:
    """Print the format of sweep files: a JSON schema for editors, or tables of every key."""

    format: Annotated[
        Literal["json", "markdown"], arg(help="json: a schema, draft 7; markdown: tables")
    ] = "json"

    def __call__(self) -> int:
        """Returns the exit code."""
        import json

        from rl_es.tools import catalogue

        if self.format == "markdown":
            print(catalogue.reference_markdown(), end="")
        else:
            print(json.dumps(catalogue.sweep_schema(), indent=1, ensure_ascii=False))
        return 0
