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
