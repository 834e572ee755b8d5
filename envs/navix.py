"""navix 0.7.4: MiniGrid's tasks on grids, under the names `navix/Navix-...`.

An observation is the whole grid [height, width, 3]: what stands in a cell, its colour, its state.
The seven actions are MiniGrid's. Episodes are truncated after 100 steps, as `navix.make` has it, of
whatever size the grid is; MiniGrid itself gives more time on larger ones. They end where the goal
is reached, which pays 1 once, however long it took (MiniGrid pays less for later); nothing else is
paid for. LavaGap and Dynamic-Obstacles end, at no reward or penalty, in lava and where an obstacle
runs into the agent. The lava of DistShift stops nobody: its two layouts only look different.
GoToDoor has no goal: facing the right door ends it and pays, whatever the action is.

Left out: KeyCorridor. Its goal is a ball, which navix neither lets be picked up nor counts as
reached: no episode of it ever pays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config
from rl_es.registry import check_requires

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
EPISODE_LENGTH = 100

_SIZES = ("5x5", "6x6", "8x8", "16x16")
_TASKS = (
    *(f"Empty-{size}" for size in _SIZES),
    *(f"Empty-Random-{size}" for size in _SIZES),
    *(f"DoorKey-{size}" for size in _SIZES),
    *(f"DoorKey-Random-{size}" for size in _SIZES),
    "FourRooms",
    "LavaGapS5",
    "LavaGapS6",
    "LavaGapS7",
    "SimpleCrossingS9N1",
    "SimpleCrossingS9N2",
    "SimpleCrossingS9N3",
    "SimpleCrossingS11N5",
    "Dynamic-Obstacles-5x5",
    "Dynamic-Obstacles-5x5-Random",
    "Dynamic-Obstacles-6x6",
    "Dynamic-Obstacles-6x6-Random",
    "Dynamic-Obstacles-8x8",
    "Dynamic-Obstacles-16x16",
    "DistShift1",
    "DistShift2",
    "GoToDoor-5x5",
    "GoToDoor-6x6",
    "GoToDoor-8x8",
)
NAMES = tuple(f"navix/Navix-{task}-v0" for task in _TASKS)


class Options(Config):
    """navix environments are used as navix registers them."""


check = check_requires("navix", "navix")


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: navix is not installed.
    """
    check(name, options)
    from rl_es.envs._navix_adapter import NavixEnvironment
    from rl_es.rollout.wrappers import TimeLimit

    return TimeLimit(NavixEnvironment(name), EPISODE_LENGTH)
