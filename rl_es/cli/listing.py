"""The commands that say what there is: list, schema."""

import dataclasses
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg


@dataclasses.dataclass(frozen=True)
class List:
    """List agents and environments, by default both, or one by its name."""

    what: Annotated[
        Positional[str],
        arg(metavar="WHAT", help="agents, environments, all, or a name such as ./my_env.py:MyEnv"),
    ] = "all"
    long: Annotated[
        FlagCreatePairsOff[bool],
        arg(help="with every setting: type, default, help", help_behavior_hint=""),
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es import listing

        listing.show(self.what, self.long)
        return 0


@dataclasses.dataclass(frozen=True)
class Schema:
    """Print the format of sweep files: a JSON schema for editors, or tables of every key."""

    format: Annotated[
        Literal["json", "markdown"], arg(help="json: a schema, draft 7; markdown: tables")
    ] = "json"

    def __call__(self) -> int:
        """Returns the exit code."""
        import json

        from rl_es.schemas import editor, reference

        if self.format == "markdown":
            print(reference.markdown(), end="")
        else:
            print(json.dumps(editor.sweep(), indent=1, ensure_ascii=False))
        return 0
