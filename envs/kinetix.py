"""Kinetix 3.0.2, levels of rigid-body physics in the plane, by the names `kinetix/...`; an extra.

Matthews et al. 2024, "Kinetix: Investigating the Training of General Agents through Open-Ended
Physics-Based Control Tasks". The level files come with the package. A level always starts from the
same state and its physics are deterministic, so an episode depends on the actions alone. Touching
the goal pays 1, touching what is forbidden -1, and either ends the episode; 0.1 times what the
distance to the goal shrinks by is added.

Observations are Kinetix's flat symbolic ones, a vector whose length depends on the level. Actions
are its continuous ones, which a `Box` can hold (the multi-discrete ones would need one choice a
motor): in [-1, 1], one for each of four motor bindings and two thruster bindings; a thruster is off
below 0, and a binding that a level does not use has no effect. Episodes are truncated after the 256
steps that the level files say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rl_es.config import Config
from rl_es.registry import check_requires

if TYPE_CHECKING:
    from rl_es.interfaces import Environment

NUMERICS = 1
NAMES = (
    "kinetix/l/hard_pinball",
    "kinetix/m/h17_thrustcontrol_left",
    "kinetix/s/h1_thrust_over_ball",
)


class Options(Config):
    """Kinetix levels are used with the parameters that their files say."""


check = check_requires("kinetix", "kinetix")


def make(name: str, options: Options) -> Environment:
    """The level of this name, one of `NAMES`.

    Raises:
      UserError: Kinetix is not installed.
    """
    check(name, options)
    from rl_es.envs._adapter import LimitedEnvironment, box

    env, params = make_raw(name)
    actions = env.action_space(params)
    space = box(actions.low, actions.high, actions.shape)
    return LimitedEnvironment(name, env, params, space, None)


def make_raw(name: str) -> tuple[Any, Any]:
    """Returns Kinetix's own environment of a level, and the parameters of its file."""
    from kinetix.environment.env import make_kinetix_env
    from kinetix.environment.spaces import ActionType, ObservationType
    from kinetix.util.saving import load_from_json_file

    from rl_es.rollout.wrappers import implicit_promotion

    with implicit_promotion():
        start, sizes, params = load_from_json_file(name.removeprefix("kinetix/"))
        environment = make_kinetix_env(
            ActionType.CONTINUOUS,
            ObservationType.SYMBOLIC_FLAT,
            lambda key: start,
            params,
            sizes,
            auto_reset=False,
        )
    return environment, params
