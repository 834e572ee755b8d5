"""MuJoCo Playground 0.2.0: the 25 tasks of the DeepMind Control Suite, as `playground/...`.

Simulated by MJX in JAX itself, with the tasks' own settings: a step is one control step of the task
(its physics takes several, its action repeat is 1), an observation one flat vector, a reward lies
in [0, 1], and an episode is truncated after 1000 steps. Nothing else ends it, unless the simulation
breaks down.

Left out: Playground's locomotion and manipulation tasks, which download their robots' meshes
(MuJoCo Menagerie) when they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_es.config import Config
from rl_es.registry import check_requires

if TYPE_CHECKING:
    from rl_es.interfaces import Drawing, Environment

NUMERICS = 1
EPISODE_LENGTH = 1000

NAMES = (
    "playground/AcrobotSwingup",
    "playground/AcrobotSwingupSparse",
    "playground/BallInCup",
    "playground/CartpoleBalance",
    "playground/CartpoleBalanceSparse",
    "playground/CartpoleSwingup",
    "playground/CartpoleSwingupSparse",
    "playground/CheetahRun",
    "playground/FingerSpin",
    "playground/FingerTurnEasy",
    "playground/FingerTurnHard",
    "playground/FishSwim",
    "playground/HopperHop",
    "playground/HopperStand",
    "playground/HumanoidRun",
    "playground/HumanoidStand",
    "playground/HumanoidWalk",
    "playground/PendulumSwingup",
    "playground/PointMass",
    "playground/ReacherEasy",
    "playground/ReacherHard",
    "playground/SwimmerSwimmer6",
    "playground/WalkerRun",
    "playground/WalkerStand",
    "playground/WalkerWalk",
)
DRAWN = NAMES


class Options(Config):
    """Playground's tasks are used with their default settings."""


check = check_requires("mujoco_playground", "playground")


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: Playground is not installed.
    """
    check(name, options)
    from rl_es.envs._playground_adapter import PlaygroundEnvironment
    from rl_es.rollout.wrappers import TimeLimit

    return TimeLimit(PlaygroundEnvironment(name), EPISODE_LENGTH)


def drawing(name: str, options: Options, width: int, height: int) -> Drawing:
    """Pictures of one of `DRAWN`, rendered by MuJoCo.

    Raises:
      UserError: Playground is not installed, or there is nothing to render with.
    """
    check(name, options)
    from rl_es.envs._mujoco_rendering import PlaygroundDrawing
    from rl_es.envs._playground_adapter import make_environment

    return PlaygroundDrawing(make_environment(name), width, height)
