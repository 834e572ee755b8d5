"""brax 0.14.2: continuous control on four physics backends, under the names `brax/...`.

An episode is truncated after 1000 steps. A step's length in time differs between backends, and so
do the returns: they do not compare, and the backend is part of an environment's identity. Three
robots exist in MuJoCo itself as well (`native`); `envs/_native_mujoco.py` lists the differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rl_es.config import Config, static
from rl_es.errors import UserError

if TYPE_CHECKING:
    from rl_es.interfaces import Drawing, Environment, Native

NUMERICS = 1
EPISODE_LENGTH = 1000

_ALL = ("spring", "generalized", "positional", "mjx")
# Those that an environment runs on, its default first.
BACKENDS: dict[str, tuple[str, ...]] = {
    "brax/ant": _ALL,
    "brax/halfcheetah": _ALL,
    "brax/hopper": _ALL,
    "brax/humanoid": _ALL,
    "brax/humanoidstandup": _ALL,
    "brax/inverted_double_pendulum": _ALL,
    "brax/inverted_pendulum": _ALL,
    "brax/pusher": _ALL,
    "brax/reacher": _ALL,
    "brax/swimmer": ("generalized",),
    "brax/walker2d": _ALL,
}
NAMES = tuple(BACKENDS)
DRAWN = NAMES
NATIVE = ("brax/halfcheetah", "brax/hopper", "brax/swimmer")


class Options(Config):
    """Settings of a brax environment."""

    backend: Literal["auto", "spring", "generalized", "positional", "mjx"] = static(
        "auto", "physics; auto: spring, and generalized for swimmer, which has no other"
    )


def check(name: str, options: Options) -> None:
    """Refuses a backend that the environment does not run on.

    Raises:
      UserError: names the backends that it has.
    """
    if options.backend != "auto" and options.backend not in BACKENDS[name]:
        raise UserError(
            f"{name} has no backend '{options.backend}'; valid: {', '.join(BACKENDS[name])}"
        )


def make(name: str, options: Options) -> Environment:
    """The environment of this name, one of `NAMES`.

    Raises:
      UserError: it does not run on the backend asked for.
    """
    check(name, options)
    from rl_es.envs._brax_adapter import BraxEnvironment, make_environment
    from rl_es.rollout.wrappers import TimeLimit

    return TimeLimit(
        BraxEnvironment(name, make_environment(name, _backend(name, options))), EPISODE_LENGTH
    )


def native(name: str) -> Native:
    """The robot of one of `NATIVE` in MuJoCo itself, on Gymnasium's model.

    Raises:
      UserError: Gymnasium, which has the models, is not installed.
    """
    from rl_es.envs._native_mujoco import NativeTask

    return NativeTask(name)


def drawing(name: str, options: Options, width: int, height: int) -> Drawing:
    """Pictures of one of `DRAWN`, rendered by MuJoCo.

    Raises:
      UserError: there is nothing to render with.
    """
    from rl_es.envs._mujoco_rendering import BraxDrawing

    return BraxDrawing(name, _backend(name, options), width, height)


def _backend(name: str, options: Options) -> str:
    return BACKENDS[name][0] if options.backend == "auto" else options.backend
