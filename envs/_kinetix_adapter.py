"""A Kinetix level as the engine's `Environment`, with the parameters of its file."""

from typing import Any

from kinetix.environment.env import make_kinetix_env
from kinetix.environment.spaces import ActionType, ObservationType
from kinetix.util.saving import load_from_json_file

from rl_es.envs._adapter import LimitedEnvironment, box
from rl_es.rollout.wrappers import implicit_promotion


def make_adapted(name: str) -> tuple[Any, Any]:
    """Returns Kinetix's own environment of a level, and the level's parameters."""
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


def kinetix_environment(name: str) -> LimitedEnvironment:
    """Returns the environment of a level."""
    env, params = make_adapted(name)
    actions = env.action_space(params)
    space = box(actions.low, actions.high, actions.shape)
    return LimitedEnvironment(name, env, params, space, None)
