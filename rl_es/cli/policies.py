"""The commands that take trained policies: evaluate, replay."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from rl_es.cli.flags import ResultsFolder


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate the saved policies of a results folder on fresh episodes; write evaluations.csv."""

    folder: ResultsFolder
    env: Annotated[
        str | None,
        arg(help="the environment's name or label", help_behavior_hint="(default: all)"),
    ] = None
    label: Annotated[
        str | None, arg(help="the agent's label", help_behavior_hint="(default: all)")
    ] = None
    episodes: Annotated[int, arg(help="of each policy")] = 10
    seed: Annotated[int, arg(help="of the episodes, the same for all policies")] = 0
    native: Annotated[
        FlagCreatePairsOff[bool],
        arg(
            help="in native physics as well: MuJoCo's own for some of brax's environments",
            help_behavior_hint="",
        ),
    ] = False
    stage: Annotated[
        Literal["early", "middle", "final"],
        arg(help="final, or on the way (the first seed has these)"),
    ] = "final"

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es import evaluating

        print(evaluating.run(**vars(self)))
        return 0


@dataclasses.dataclass(frozen=True)
class Replay:
    """Film an episode of a trained policy: MP4, GIF, or a page with early, middle and final."""

    folder: ResultsFolder
    env: Annotated[
        str | None,
        arg(help="the environment's name or label", help_behavior_hint="(default: the only one)"),
    ] = None
    label: Annotated[
        str | None,
        arg(help="the agent's label", help_behavior_hint="(default: highest final return)"),
    ] = None
    agent: Annotated[
        str | None,
        arg(help="its best label, where several have it", help_behavior_hint="(default: any)"),
    ] = None
    seed: Annotated[int, arg(help="of the run")] = 0
    stage: Annotated[
        Literal["early", "middle", "final", "all"] | None,
        arg(
            help="of training; all: side by side",
            help_behavior_hint="(default: final; html: all)",
        ),
    ] = None
    episode_seed: Annotated[int, arg(help="of the episode")] = 0
    format: Annotated[
        Literal["mp4", "gif", "html"] | None,
        arg(help="of the file", help_behavior_hint="(default: as --out ends, else mp4)"),
    ] = None
    size: Annotated[str, arg(metavar="WxH", help="of each picture, in pixels")] = "320x240"
    out: Annotated[
        Path | None,
        arg(metavar="FILE", help="file", help_behavior_hint="(default: one in DIR/replays)"),
    ] = None
    open: Annotated[
        FlagCreatePairsOff[bool], arg(help="open it in a browser", help_behavior_hint="")
    ] = False

    def __call__(self) -> int:
        """Returns the exit code."""
        from rl_es.replay import command

        chosen = vars(self) | {}
        opened = chosen.pop("open")
        path = command.run(**chosen)
        print(path)
        if opened:
            command.open_in_browser(path)
        return 0
