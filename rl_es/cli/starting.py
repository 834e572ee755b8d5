"""The commands for environments and agents of one's own: new, check."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from rl_es.cli.refusing import PROG
from rl_es.errors import UserError, check_number


@dataclasses.dataclass(frozen=True)
class New:
    """Write an environment or an agent to start from, and a sweep that compares it."""

    kind: Annotated[Positional[Literal["env", "agent"]], arg(help="of what")]
    name: Annotated[
        Positional[str],
        arg(metavar="NAME", help="of the files, such as my_env", help_behavior_hint=""),
    ]
    out: Annotated[Path, arg(metavar="DIR", help="where they go")] = Path()

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es import skeletons

        source, sweep, reference = skeletons.write(self.kind, self.name, self.out)
        print(f"{source}\n{sweep}")
        print(f"next: {PROG} check {reference}, then {PROG} run {sweep}")
        return 0


@dataclasses.dataclass(frozen=True)
class Check:
    """Check that an environment or an agent keeps what the engine relies on; say what to do."""

    name: Annotated[
        Positional[str],
        arg(
            metavar="NAME",
            help="as in a sweep file: CartPole-v1, eggroll, ./my_env.py:MyEnv",
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
    steps: Annotated[int, arg(help="of an agent's training on CartPole; 0 for none")] = 300_000

    def __call__(self) -> int:
        """Returns the exit code."""
        check_number("--steps", self.steps, 0, 1e9)
        from rl_es import findings
        from rl_es.conformance import subjects
        from rl_es.sweep.reading import parse_value

        try:
            stated = {} if self.settings is None else parse_value(self.settings)
        except UserError as error:
            raise UserError(f"--settings: {error}") from None
        if not isinstance(stated, dict):
            raise UserError("--settings: must be a mapping, such as '{rank: 4}'")
        subjects.is_agent(self.name)
        from rl_es.training.platform import prepare

        prepare(None)
        return findings.run(subjects.checks(self.name, stated, self.steps))
