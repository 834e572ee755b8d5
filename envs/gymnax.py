"""gymnax 1.0.1: classic control, MinAtar, bsuite and small tasks, by the names gymnax gives them.

Left out: MNISTBandit-bsuite, which downloads its data when it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config

if TYPE_CHECKING:
    from rl_es.interfaces import Drawing, Environment

NUMERICS = 1
NAMES = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "SimpleBandit-bsuite",
    "FourRooms-misc",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
    "Pong-misc",
    "FrozenLake-misc",
)

DRAWN = NAMES[:5]
_MINATAR = (
    "differs from the MinAtar paper: no sticky actions (there, the last action repeats with chance "
    "0.1); an episode is truncated after {limit} steps"
)
NOTES = {
    "MountainCarContinuous-v0": "the left wall stops the car, which gymnax forgets",
    **{
        f"{game}-MinAtar": _MINATAR.format(limit="2,500" if game == "Freeway" else "1,000")
        for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
    },
    "DiscountingChain-bsuite": "bsuite terminates after 100 steps, gymnax truncates there",
    "SimpleBandit-bsuite": (
        "nothing can be learnt: gymnax draws the best arm anew each episode, bsuite once"
    ),
    "MetaMaze-misc": (
        "a reached goal moves the agent to one of 65 cells, and the episode ends only where that "
        "is the goal, by a chance of 1/65"
    ),
    "Pong-misc": (
        "there is no wall at row 0: a ball that goes there leaves the field, drawn in row 0 until "
        "it passes a side"
    ),
}


class Options(Config):
    """gymnax environments are used with their default parameters."""


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`."""
    from rl_es.envs._gymnax_adapter import GymnaxEnvironment, make_environment

    del options
    return GymnaxEnvironment(name, *make_environment(name))


def drawing(name: str, options: Options, width: int, height: int) -> Drawing:
    """Pictures of one of `DRAWN`."""
    from rl_es.envs._classic_control_rendering import ClassicControl

    del options
    return ClassicControl(name, width, height)
