"""The command that says what there is."""

import dataclasses
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg


@dataclasses.dataclass(frozen=True)
class List:
    """List agents and environments, by default both."""

    what: Annotated[
        Positional[Literal["all", "agents", "environments"]], arg(help="which of them")
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
